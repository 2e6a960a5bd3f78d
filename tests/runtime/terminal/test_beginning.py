"""The checks before anything heavy is imported, and the line that cannot be written."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest

from fieldlens.runtime.errors import KitError, OutputError
from fieldlens.runtime.terminal import beginning


def test_an_empty_or_new_folder_is_free(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for name in ("empty", "new", "new/below"):
        beginning.new_folder(tmp_path / name)
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="exists and is not empty"):
        beginning.new_folder(tmp_path / "file")


@pytest.mark.parametrize("words", [["no.jpg", "-"], ["no.jpg", "v4l2://0"], ["*.jpg"], ["photo-[12].jpg"]])
def test_a_source_that_may_be_there_is_left_to_the_run(words: list[str]) -> None:
    beginning.sources(words)


def test_one_source_that_is_there_is_enough(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").touch()
    beginning.sources([str(tmp_path / "no.jpg"), str(tmp_path / "a.jpg")])
    with pytest.raises(KitError, match=r"of 2\); the first: .*no\.jpg: there is no such file"):
        beginning.sources([str(tmp_path / "no.jpg"), str(tmp_path / "neither.jpg")])


def test_names_cannot_move_the_cursor(capsys: pytest.CaptureFixture[str]) -> None:
    beginning.say("info: reading \x1b[2Jx …")
    assert "\x1b" not in capsys.readouterr().err


def test_a_closed_terminal_stops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    class Gone(io.StringIO):
        def write(self, _: str) -> int:
            raise BrokenPipeError

    for stream in (Gone(), None):
        monkeypatch.setattr(sys, "stderr", stream)
        beginning.say("a line")


def test_only_the_first_of_torchruns_processes_speaks(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RANK", "1")
    beginning.say("a line")
    assert capsys.readouterr().err == ""


def test_what_cannot_be_looked_at_is_left_to_the_command(tmp_path: Path) -> None:
    """It says why: a name that is too long, a folder that may not be searched."""
    long = tmp_path / ("x" * 300)
    beginning.bundle(long)
    beginning.file(long, "--key")
    beginning.folder(long, "--images")
    with pytest.raises(OutputError, match="cannot be written"):
        beginning.new_folder(long)
