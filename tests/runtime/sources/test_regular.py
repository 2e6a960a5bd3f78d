"""What is no ordinary file, or too large for an image, is refused with its reason, and never waited for."""

from __future__ import annotations

import os
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from fieldlens.runtime.errors import SourceError
from fieldlens.runtime.sources import regular
from fieldlens.runtime.sources.path_list import paths_from
from fieldlens.runtime.sources.regular import FILE, FOLDER, MISSING, kind_of, read_image
from tests.runtime.test_classify import ROOT, command, lines


@pytest.fixture
def odd(tmp_path: Path) -> Iterator[Path]:
    """A folder with one of everything."""
    folder = tmp_path / "odd"
    folder.mkdir()
    os.mkfifo(folder / "fifo.jpg")
    os.mkfifo(folder / "fifo.mp4")
    with (folder / "sparse.jpg").open("wb") as file:
        file.truncate(6 * 10**9)
    with (folder / "sparse.mjpeg").open("wb") as file:
        file.truncate(6 * 10**9)
    (folder / "device.jpg").symlink_to("/dev/zero")
    (folder / "dangling.jpg").symlink_to(folder / "nowhere")
    (folder / "loop.jpg").symlink_to(folder / "loop.jpg")
    with socket.socket(socket.AF_UNIX) as bound:
        before = Path.cwd()
        os.chdir(folder)  # the address of a socket has room for 107 bytes
        bound.bind("socket.jpg")
        os.chdir(before)
        yield folder


REASONS = {
    "fifo.jpg": "this is a pipe (FIFO)",
    "fifo.mp4": "this is a pipe (FIFO)",
    "sparse.jpg": "6,000 MB; nothing over 200 MB is read as an image",
    "sparse.mjpeg": "not a video that OpenCV can decode",
    "device.jpg": "this is a device",
    "socket.jpg": "this is a socket",
    "dangling.jpg": "there is no such file",
    "loop.jpg": "cannot be read (Too many levels of symbolic links)",
}


def reasons(results: Path) -> dict[str, str]:
    return {Path(each["source"]).name: each["error"] for each in lines(results)}


@pytest.mark.parametrize("workers", [2, pytest.param(0, marks=pytest.mark.full)])
def test_what_is_no_image_is_refused_and_the_run_goes_on(
    basic: Sequence[object], odd: Path, pictures: Path, tmp_path: Path, workers: int
) -> None:
    """As a path, in a folder, and in a list; with an image behind each."""
    results, image = tmp_path / "r.jsonl", pictures / "grey.png"
    words = ("classify", *sorted(odd.iterdir()), image, odd, image, "-", image)
    listed = "\n".join(map(str, [*odd.iterdir(), "a\0b", "x" * 5000, "", f"{odd}/none-*.jpg"]))
    began = time.monotonic()
    done = subprocess.run(
        command(*words, *basic, "--workers", workers, "--json", results),
        cwd=ROOT, input=listed, capture_output=True, text=True, check=False, timeout=20,
    )  # fmt: skip
    assert done.returncode == 3, done.stderr
    assert time.monotonic() - began < 10
    found = lines(results)
    assert sum(each["error"] is None for each in found) == 3
    in_folder = [name for name in REASONS if name.endswith(".jpg") and name not in ("dangling.jpg", "loop.jpg")]
    assert "links left out because they lead nowhere: 2 (for example dangling.jpg)" in done.stderr + done.stdout
    assert len(found) == 3 + 2 * len(REASONS) + len(in_folder) + 3
    for name, error in reasons(results).items():
        if name in REASONS:
            assert REASONS[name] in error
    assert "no file can have this name" in next(each["error"] for each in found if "\0" in each["source"])


def test_a_device_is_not_even_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object) -> int:
        raise AssertionError("opened")

    monkeypatch.setattr(os, "open", never)
    with pytest.raises(SourceError, match="a device"):
        read_image(Path("/dev/null"))


def test_a_pipe_that_takes_the_files_place_does_not_block(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "1.jpg"
    path.write_bytes(b"x")
    check = regular._check

    def swapped(*words: object) -> None:
        check(*words)  # type: ignore[arg-type]
        if not path.is_fifo():
            path.unlink()
            os.mkfifo(path)

    monkeypatch.setattr(regular, "_check", swapped)
    with pytest.raises(SourceError, match="a pipe"):
        read_image(path)


def test_a_file_that_says_nothing_of_its_size_is_read_up_to_the_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert len(read_image(Path("/proc/self/status"))) > 100
    monkeypatch.setattr(regular, "LARGEST_BYTES", 50)
    with pytest.raises(SourceError, match="nothing over"):
        read_image(Path("/proc/self/status"))


@pytest.mark.parametrize("changes", [1, 1000])
def test_a_file_that_changes_while_it_is_read_is_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: int
) -> None:
    """One image, whole, or none: never the beginning of one and the end of another."""
    path, read, left = tmp_path / "1.jpg", os.fstat, [changes]
    path.write_bytes(b"old" * 1000)

    def changing(handle: int) -> os.stat_result:
        found = read(handle)
        if left[0]:
            left[0] -= 1
            path.write_bytes(b"new" * 1000)
            os.utime(path, (left[0], left[0]))
        return found

    monkeypatch.setattr(os, "fstat", changing)
    if changes == 1:
        assert read_image(path) == b"new" * 1000
    else:
        with pytest.raises(SourceError, match="being written while it is read"):
            read_image(path)


@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (lambda path: path.touch(), FILE),
        (lambda path: path.mkdir(), FOLDER),
        (lambda path: path.symlink_to("nowhere"), MISSING),
        (lambda path: None, MISSING),
    ],
)
def test_kinds(tmp_path: Path, make: Callable[[Path], None], kind: str) -> None:
    make(tmp_path / "thing")
    assert kind_of(str(tmp_path / "thing")) == kind
    assert kind_of("a\0b") == kind_of("x" * 5000) == MISSING


# ---------------------------------------------------------------- lists


def test_a_list_comes_line_by_line_whatever_the_blocks() -> None:
    read, write = os.pipe()

    def feed() -> None:
        for part in (b"1.jp", b"g\r\n2.jpg\n\nb\xffd.jp", b"g"):
            os.write(write, part)
            time.sleep(0.15)
        os.close(write)

    threading.Thread(target=feed).start()
    found = list(paths_from(read, 0.05))
    os.close(read)
    assert [each for each in found if each] == ["1.jpg", "2.jpg", "b\udcffd.jpg"]
    assert None in found


def test_a_line_that_does_not_end_is_refused() -> None:
    handle = os.open("/dev/zero", os.O_RDONLY)
    with pytest.raises(SourceError, match="are no list") as caught:
        list(paths_from(handle, 0.1))
    os.close(handle)
    assert "-print" in caught.value.hint


def test_standard_input_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    handle = os.open(tmp_path, os.O_RDONLY)
    with pytest.raises(SourceError, match="Is a directory"):
        list(paths_from(handle, 0.1))
    os.close(handle)
