"""Whole, or not at all."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from fieldlens.runtime.files import atomic


def test_a_failed_write_leaves_the_old_file_and_no_litter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.json"
    atomic.write_json(path, {"old": 1})

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        atomic.write_json(path, {"new": 2})
    assert path.read_text() == '{\n  "old": 1\n}\n'
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


def test_json_refuses_what_is_not_json(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        atomic.write_json(tmp_path / "a.json", float("nan"))


def test_files_are_readable_for_others(tmp_path: Path) -> None:
    atomic.write_text(tmp_path / "a", "x")
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o644


def test_a_folder_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    target = tmp_path / "out.bundle"
    with pytest.raises(FileNotFoundError), atomic.folder(target) as folder:
        (folder / "missing" / "part").write_text("x")
    assert not list(tmp_path.iterdir())
    with atomic.folder(target) as folder:
        (folder / "deep").mkdir()
        (folder / "deep" / "part").write_text("x")
        assert not target.exists()
    assert (target / "deep" / "part").read_text() == "x"


def test_a_finished_folder_is_never_touched(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "file").write_text("old")
    with pytest.raises(FileExistsError), atomic.folder(tmp_path / "there"):
        pass
    assert (tmp_path / "there" / "file").read_text() == "old"


HOLDS = """
import sys, time
from pathlib import Path
from fieldlens.runtime.files import atomic
with atomic.folder(Path(sys.argv[1])) as folder:
    (folder / "half").write_text("x")
    print("open", flush=True)
    time.sleep(600)
"""


def test_what_a_killed_process_left_goes_and_what_a_living_one_writes_stays(tmp_path: Path) -> None:
    def holding() -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", HOLDS, str(tmp_path / "out")], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        assert process.stdout.readline() == "open\n"
        return process

    with holding() as killed:
        killed.send_signal(signal.SIGKILL)
    (left,) = tmp_path.iterdir()
    with holding() as living:
        (theirs,) = tmp_path.iterdir()
        assert theirs != left
        with atomic.folder(tmp_path / "out") as folder:
            (folder / "part").write_text("x")
            assert theirs.exists()
        living.kill()
    assert sorted(path.name for path in tmp_path.iterdir()) == [theirs.name, "out"]
