"""Whole lines, whatever happens."""

from __future__ import annotations

import io
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from fieldlens.runtime.errors import OutputError
from fieldlens.runtime.output.linefile import LineFile, LineStream, repair, write_whole

ROOT = Path(__file__).parents[3]


def test_a_new_run_begins_the_file_anew_and_a_rotating_one_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "r.jsonl"
    for text in ("one\n", "two\n"):
        file = LineFile(path)
        file.write(text)
        file.close()
    assert path.read_text() == "two\n"
    file = LineFile(path, rotate_bytes=1000)
    file.write("three\n")
    file.close()
    file.close()
    assert path.read_text() == "two\nthree\n"


def test_rotation_keeps_every_line_and_the_newest_files(tmp_path: Path) -> None:
    path = tmp_path / "r.csv"
    file = LineFile(path, rotate_bytes=100, keep=3, header="head\n")
    for number in range(60):
        file.write(f"line {number:03d}\n")
    file.close()
    names = ["r.csv.3", "r.csv.2", "r.csv.1", "r.csv"]
    assert sorted(each.name for each in tmp_path.iterdir()) == sorted(names)
    found = []
    for name in names:
        head, *lines = (tmp_path / name).read_text().splitlines()
        assert head == "head"
        assert (tmp_path / name).stat().st_size <= 100
        found += lines
    assert found == [f"line {number:03d}" for number in range(60 - len(found), 60)]


@pytest.mark.parametrize("text", ["", "whole\n", "whole\nhalf", "half", "a\n" + "x" * 200_000, "x" * 200_000])
def test_a_half_last_line_is_cut_off(tmp_path: Path, text: str) -> None:
    path = tmp_path / "r.jsonl"
    path.write_text(text)
    repair(path)
    assert path.read_text() == text[: text.rfind("\n") + 1]


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ('head\n"a\nb",1\n', 'head\n"a\nb",1\n'),
        ('head\n"a\nb', "head\n"),
        ('head\n"a ""\nb"",1\n"\n', 'head\n"a ""\nb"",1\n"\n'),
        ('head\n"a ""\nb"",1\n', "head\n"),
        ('head\n"a"\nhalf', 'head\n"a"\n'),
        ("", ""),
    ],
)
def test_a_newline_in_quotes_ends_no_record(tmp_path: Path, text: str, kept: str) -> None:
    path = tmp_path / "r.csv"
    path.write_text(text)
    repair(path, quoted=True)
    assert path.read_text() == kept


def test_a_file_grows_to_its_size_in_bytes_whatever_the_letters(tmp_path: Path) -> None:
    file = LineFile(tmp_path / "r.jsonl", rotate_bytes=100)
    for _ in range(8):
        file.write("é" * 20 + "\n")
    file.close()
    assert sorted(path.stat().st_size for path in tmp_path.iterdir()) == [82] * 4


def test_a_pipe_is_written_as_it_is_and_closed_without_a_word(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    file = LineFile(fifo, rotate_bytes=10, header="head\n")
    file.write("a line longer than the file may be\n")
    file.close()
    assert os.read(reader, 1000) == b"head\na line longer than the file may be\n"
    os.close(reader)


def test_a_byte_that_is_not_utf8_is_written_as_an_escape(tmp_path: Path) -> None:
    file = LineFile(tmp_path / "r.jsonl")
    file.write(os.fsdecode(b"caf\xe9\n"))
    file.close()
    assert (tmp_path / "r.jsonl").read_text() == "caf\\udce9\n"


def limited(lines: str, path: Path, size: int) -> subprocess.CompletedProcess[str]:
    """Run code that writes, where no file may grow beyond ``size`` bytes: the kernel's own way to be full."""

    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))

    imports = "import sys\nfrom pathlib import Path\nfrom fieldlens.runtime.output.linefile import LineFile, LineStream"
    code = f"{imports}\n{lines}"
    return subprocess.run(
        [sys.executable, "-c", code, str(path)], cwd=ROOT, preexec_fn=limit, capture_output=True, text=True, check=False
    )


def test_a_full_disk_takes_the_half_line_back(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    done = limited("file = LineFile(Path(sys.argv[1]))\nfor n in range(100): file.write(f'{n:029d}\\n')", path, 1000)
    assert "OutputError" in done.stderr
    assert path.read_text().splitlines() == [f"{number:029d}" for number in range(33)]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_full_device_is_an_error_with_a_hint() -> None:
    with pytest.raises(OutputError, match="No space left") as caught:
        LineFile(Path("/dev/full")).write("x\n")
    assert "df -h" in caught.value.hint


def test_a_place_that_cannot_be_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot be written"):
        LineFile(tmp_path / "file" / "r.jsonl")


def test_a_pipe_takes_a_line_longer_than_itself() -> None:
    read, write = os.pipe()
    text = "x" * 300_000 + "\n"
    child = os.fork()
    if child == 0:
        os.close(read)
        write_whole(write, text.encode())
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as file:
        assert file.read() == text
    os.waitpid(child, 0)


def test_a_stream_in_memory_is_one_too() -> None:
    stream = io.StringIO()
    LineStream(stream).write("line\n")
    assert stream.getvalue() == "line\n"
