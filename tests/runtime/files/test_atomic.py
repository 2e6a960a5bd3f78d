"""Whole, or not at all."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
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


def holding(code: str, target: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen([sys.executable, "-c", code, str(target)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "open\n"
    return process


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_what_a_killed_process_left_goes(tmp_path: Path) -> None:
    with holding(HOLDS, tmp_path / "out") as killed:
        killed.send_signal(signal.SIGKILL)
    assert len(names(tmp_path)) == 2  # the folder and the lock
    with atomic.folder(tmp_path / "out") as folder:
        assert names(tmp_path) == [folder.name, ".out.lock"]
    assert names(tmp_path) == ["out"]


def test_two_cannot_make_the_same_folder_and_the_second_is_told_at_once(tmp_path: Path) -> None:
    with holding(HOLDS, tmp_path / "out") as living:
        before = names(tmp_path)
        with pytest.raises(atomic.InUse, match="another process is making"), atomic.folder(tmp_path / "out"):
            pass
        assert names(tmp_path) == before
        with atomic.folder(tmp_path / "other") as folder:  # beside it, whose sweeping leaves the living alone
            (folder / "part").touch()
        assert names(tmp_path) == sorted([*before, "other"])
        living.kill()
    with atomic.folder(tmp_path / "out"):
        pass
    assert names(tmp_path) == ["other", "out"]


def test_folders_above_are_made_and_go_where_the_work_fails(tmp_path: Path) -> None:
    target = tmp_path / "there" / "a" / "b" / "out"
    (tmp_path / "there").mkdir()

    def fail() -> None:
        with atomic.alone(target):
            assert names(target.parent) == [".out.lock"]
            raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        fail()
    assert names(tmp_path / "there") == []


CONTENDS = """
import sys, time
from pathlib import Path
from fieldlens.runtime.files import atomic
won = 0
end = time.monotonic() + 1.0
while time.monotonic() < end:
    try:
        with atomic.alone(Path(sys.argv[1])):
            holder = Path(sys.argv[1] + ".holder")
            holder.touch(exist_ok=False)
            holder.unlink()
            won += 1
    except atomic.InUse:
        pass
print(won)
"""


def test_a_lock_whose_file_comes_and_goes_is_held_by_one_at_a_time(tmp_path: Path) -> None:
    command = [sys.executable, "-c", CONTENDS, str(tmp_path / "out")]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    won = [int(process.communicate(timeout=20)[0]) for process in processes]
    assert all(process.returncode == 0 for process in processes)
    assert min(won) > 0
    assert names(tmp_path) == []


WRITES = """
import os, sys, time
from pathlib import Path
from fieldlens.runtime.files import atomic
def slow(handle):
    print("open", flush=True)
    time.sleep(600)
os.fsync = slow
atomic.write_bytes(Path(sys.argv[1]), b"x")
"""


def test_what_a_killed_process_left_of_a_file_goes_and_a_living_ones_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with holding(WRITES, tmp_path / "1.jpg") as killed:
        killed.send_signal(signal.SIGKILL)
    (tmp_path / ".theirs.tmp").touch()
    with holding(WRITES, tmp_path / "2.jpg") as living:
        monkeypatch.setattr(atomic, "_SWEPT", set())
        atomic.write_bytes(tmp_path / "3.jpg", b"x")
        (left,) = (name for name in names(tmp_path) if name.endswith(".fieldlens.tmp"))
        assert left.startswith(".2.jpg.")
        assert names(tmp_path) == [left, ".theirs.tmp", "3.jpg"]
        living.kill()


def test_a_scratch_folder_goes_with_its_block_or_its_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    code = HOLDS.replace("atomic.folder(Path(sys.argv[1]))", "atomic.scratch('test')")
    with holding(code, tmp_path) as killed:
        killed.send_signal(signal.SIGKILL)
    (left,) = names(tmp_path)
    with holding(code, tmp_path) as living:
        with atomic.scratch("test") as folder:
            assert mode(folder) == 0o700
            assert folder.name in names(tmp_path)
            assert left not in names(tmp_path)
        assert len(names(tmp_path)) == 1
        living.kill()


# ---------------------------------------------------------------- who may read it


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


@pytest.fixture(params=[0o022, 0o077, 0o002, 0o000, 0o277], ids=oct)
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def test_what_is_new_is_closed_to_others_and_the_umask_closes_it_further(tmp_path: Path, umask: int) -> None:
    path = tmp_path / ("deep/er/a" if not umask & 0o200 else "a")
    atomic.write_text(path, "x")
    assert mode(path) == 0o600 & ~umask
    if path.parent != tmp_path:
        assert mode(path.parent) == mode(path.parent.parent) == 0o700
    atomic.write_text(tmp_path / "public", "x", atomic.PUBLIC)
    assert mode(tmp_path / "public") == 0o644 & ~umask


@pytest.mark.parametrize("wanted", [atomic.PRIVATE_FOLDER, atomic.PUBLIC_FOLDER])
def test_a_folder_is_for_whom_it_says_and_so_is_what_is_in_it(tmp_path: Path, wanted: int) -> None:
    before = os.umask(0o022)
    with atomic.folder(tmp_path / "deep" / "out", wanted) as folder:
        (folder / "in").mkdir()
        (folder / "in" / "file").write_text("x")
        (folder / "link").symlink_to("in/file")
    os.umask(before)
    found = [mode(tmp_path / name) for name in ("deep", "deep/out", "deep/out/in", "deep/out/in/file")]
    assert found == ([0o700] * 3 + [0o600] if wanted == atomic.PRIVATE_FOLDER else [0o755] * 3 + [0o644])


def test_what_the_user_made_keeps_its_rights(tmp_path: Path) -> None:
    path = tmp_path / "made" / "a.html"
    path.parent.mkdir(mode=0o755)
    path.write_text("old")
    path.chmod(0o640)
    atomic.write_text(path, "new")
    assert path.read_text() == "new"
    assert mode(path) == 0o640
    assert mode(path.parent) == 0o755


def test_a_name_as_long_as_the_system_allows_can_be_written(tmp_path: Path) -> None:
    for name in ("x" * 255, "é" * 127, os.fsdecode(b"\xff" * 255)):
        atomic.write_text(tmp_path / name, "x")
    assert len(names(tmp_path)) == 3


def test_a_name_that_is_not_utf8_is_exact_in_json(tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9\n.jpg")
    atomic.write_json(tmp_path / "a.json", {"source": name})
    assert json.loads((tmp_path / "a.json").read_text(encoding="utf-8")) == {"source": name}
