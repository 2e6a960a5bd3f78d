"""What the system refuses is said in the kit's words, by whoever meets it, in every command and every locale.

As a user for whom the rights of files count, also where the tests run as root.
"""

from __future__ import annotations

import errno
import io
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from fieldlens.benchmarks.cli import main as benchmarks
from fieldlens.convert.cli import main as convert
from fieldlens.runtime.boundary import run_cli
from fieldlens.runtime.cli import main as runtime
from fieldlens.runtime.errors import EXIT_OK, EXIT_REFUSED
from fieldlens.train.cli import main as train
from tests.runtime.test_classify import ROOT, command, lines
from tests.runtime.test_read_only import NOTHING_KEPT, as_a_user

PLACES = {
    "read-only": ("ro/x", "Permission denied"),
    "closed": ("no/x", "Permission denied"),
    "below-a-file": ("file/x", ""),
    "long": ("x" * 300, "File name too long"),
    "dangling": ("link/x", ""),
}


@pytest.fixture
def places(tmp_path: Path) -> Path:
    folder = tmp_path / "places"
    folder.mkdir()
    (folder / "ro").mkdir(mode=0o555)
    (folder / "no").mkdir(mode=0)
    (folder / "file").write_text("")
    (folder / "link").symlink_to("nowhere/at/all")
    return folder


@pytest.fixture
def one(pictures: Path) -> Path:
    return pictures / "scene-0.jpg"


def refused(done: subprocess.CompletedProcess[str], words: str) -> None:
    assert done.returncode == EXIT_REFUSED, done.stderr
    assert "Traceback" not in done.stderr
    assert "\nerror: " in f"\n{done.stderr}"
    assert "\nhint: " in done.stderr
    assert words in done.stderr


@pytest.mark.parametrize("place", ["closed", *(pytest.param(place, marks=pytest.mark.full) for place in PLACES)])
@pytest.mark.parametrize(
    ("option", "ending"),
    [
        pytest.param("--json", "", marks=pytest.mark.full), pytest.param("--csv", "", marks=pytest.mark.full),
        pytest.param("--report", ".html", marks=pytest.mark.full), ("--overlays", ""),
    ],
)  # fmt: skip
def test_an_output_that_cannot_be_is_refused_before_the_run(
    basic: Sequence[object], one: Path, places: Path, option: str, ending: str, place: str
) -> None:
    name, words = PLACES[place]
    done = as_a_user("classify", one, *basic, option, f"{places / name}{ending}")
    refused(done, words)
    assert " ms\n" not in done.stdout


@pytest.mark.parametrize("what", ["overlays", "twin", pytest.param("report", marks=pytest.mark.full)])
def test_a_place_that_is_there_already_and_will_not_do(
    basic: Sequence[object], one: Path, places: Path, what: str
) -> None:
    (places / "r.html" if what == "report" else places / "r.json").mkdir()
    options = ("--overlays", places / "ro") if what == "overlays" else ("--report", places / "r.html")
    done = as_a_user("classify", one, *basic, *options)
    refused(
        done, "cannot be written (Permission denied)" if what == "overlays" else "cannot be written (Is a directory)"
    )
    assert " ms\n" not in done.stdout


@pytest.mark.parametrize("option", ["--json", pytest.param("--csv", marks=pytest.mark.full)])
def test_a_device_or_a_pipe_is_written_as_it_is(basic: Sequence[object], one: Path, option: str) -> None:
    assert as_a_user("classify", one, *basic, option, "/dev/null").returncode == EXIT_OK
    read, write = os.pipe()
    done = subprocess.run(
        command("classify", one, *basic, option, f"/dev/fd/{write}"), cwd=ROOT, pass_fds=[write],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    os.close(write)
    with os.fdopen(read) as file:
        assert str(one) in file.read()
    assert done.returncode == EXIT_OK, done.stderr


@pytest.mark.parametrize("option", ["--json", pytest.param("--csv", marks=pytest.mark.full)])
def test_a_full_device_is_an_error_of_the_kit(basic: Sequence[object], one: Path, option: str) -> None:
    refused(as_a_user("classify", one, *basic, option, "/dev/full"), "No space left on device")


@pytest.mark.parametrize(
    "words",
    [("info",), *(pytest.param(words, marks=pytest.mark.full) for words in (("doctor", "--bundle"), ("verify",)))],
)
def test_a_full_standard_output_is_an_error_of_the_kit(bundle_folder: Path, words: tuple[str, ...]) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            command(*words, bundle_folder), cwd=ROOT, stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    refused(done, "No space left on device")


IN_CI = ("ro/x", "no")


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[] if name in IN_CI else pytest.mark.full)
        for name in (*(name for name, _ in PLACES.values()), "ro", "no", "ro/a/b/c")
    ],
)
def test_a_state_that_cannot_be_written_keeps_nothing_and_says_so(
    bundle_folder: Path, one: Path, places: Path, tmp_path: Path, name: str
) -> None:
    options = ("--bundle", bundle_folder, "--backend", "openvino", "--json", tmp_path / "r.jsonl")
    done = as_a_user("classify", one, *options, "--state", places / name)
    if name == "link/x":  # what a state folder is a link to may be anybody's
        assert done.returncode in (EXIT_OK, EXIT_REFUSED)
        return
    assert done.returncode == EXIT_OK, done.stderr
    assert NOTHING_KEPT in done.stdout
    assert len(lines(tmp_path / "r.jsonl")) == 1


def _almost_full() -> None:
    """No file may grow beyond 100 bytes: as a disk that is full, but without another file system."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))


def test_a_state_on_a_full_disk_keeps_nothing_and_says_so(bundle_folder: Path, one: Path, tmp_path: Path) -> None:
    options = ("--bundle", bundle_folder, "--backend", "openvino", "--state", tmp_path / "state")
    done = subprocess.run(
        command("classify", one, *options), cwd=ROOT, preexec_fn=_almost_full, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == EXIT_OK, done.stderr
    assert f"{NOTHING_KEPT} {tmp_path}/state" in done.stdout


LOCALES = {
    "ascii": {"PYTHONIOENCODING": "ascii"},
    "latin": {"PYTHONIOENCODING": "latin-1"},
    "strict": {"PYTHONIOENCODING": "ascii:strict"},
    "C": {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
}
COMMANDS = {
    "info": ("info", "{bundle}"),
    "doctor": ("doctor", "--bundle", "{bundle}"),
    "verify": ("verify", "{bundle}"),
    "selftest": ("selftest", "{bundle}"),
    "classify": ("classify", "{image}", "{missing}", "--bundle", "{bundle}", "--backend", "fake"),
    "help": ("classify", "--help"),
}


@pytest.mark.parametrize(
    ("locale", "name"),
    [
        pytest.param(each, name, marks=[] if (each, name) in (("C", "info"), ("ascii", "doctor")) else pytest.mark.full)
        for each in LOCALES
        for name in COMMANDS
    ],
)
def test_every_command_speaks_in_a_locale_without_an_arrow(
    bundle_folder: Path, one: Path, name: str, locale: str
) -> None:
    filled = {"{bundle}": str(bundle_folder), "{image}": str(one), "{missing}": "grüße→\udcff.jpg"}
    words = [filled.get(word, word) for word in COMMANDS[name]]
    done = subprocess.run(
        command(*words), cwd=ROOT, env={**os.environ, **LOCALES[locale]}, capture_output=True, check=False
    )
    assert b"Traceback" not in done.stderr
    assert done.returncode in (0, 2 if name == "doctor" else 0, 3 if name == "classify" else 0), done.stderr
    if name == "info":
        assert b"orient -> resize" in done.stdout


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8", "cp1252"])
def test_nothing_that_is_said_ends_a_command(monkeypatch: pytest.MonkeyPatch, encoding: str) -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    monkeypatch.setattr(sys, "stdout", stream)

    def says() -> int:
        print("a → b … × \udcff 日本")
        return EXIT_OK

    assert run_cli(says) == EXIT_OK
    said = stream.buffer.getvalue().decode(encoding)
    assert "\\udcff" in said
    assert ("->" in said) == (encoding != "utf-8")


NUMBERS = [errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EDQUOT, errno.EIO, errno.ENAMETOOLONG, errno.ESTALE]


@pytest.mark.parametrize("number", NUMBERS)
@pytest.mark.parametrize("name", [None, "place", b"pl\xfface"])
def test_what_no_command_named_is_named_at_the_boundary(
    capfd: pytest.CaptureFixture[str], number: int, name: str | bytes | None
) -> None:
    def fails() -> int:
        raise OSError(number, os.strerror(number), name)

    standing_in: Callable[[], int] = fails
    output = os.dup(1)
    assert run_cli(standing_in) == EXIT_REFUSED
    os.dup2(output, 1)
    os.close(output)
    said = capfd.readouterr().err
    assert os.strerror(number) in said
    assert "\nhint: " in said


def test_a_librarys_own_error_is_still_a_bug() -> None:
    def fails() -> int:
        raise OSError("no errno: not the system's")

    with pytest.raises(OSError, match="no errno"):
        run_cli(fails)


EMPTY = [
    (runtime, ("classify", "x.jpg", "--bundle", "")),
    (runtime, ("classify", "x.jpg", "--bundle", "x", "--state", "")),
    (runtime, ("classify", "x.jpg", "--bundle", "x", "--overlays=")),
    (runtime, ("info", "")),
    (train, ("fit", "--recipe", "x.toml", "--data", "", "--out", "x")),
    (train, ("demo-data", "")),
    (convert, ("verify", "")),
    (convert, ("bundle", "x", "--out=")),
    (benchmarks, ("compare", "--out", "")),
]


@pytest.mark.parametrize(("main", "words"), EMPTY)
def test_an_empty_name_is_not_the_current_folder(
    capsys: pytest.CaptureFixture[str], main: Callable[[Sequence[str]], int], words: tuple[str, ...]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == EXIT_REFUSED
    assert "an empty name (an unset variable of the shell?)" in capsys.readouterr().err
