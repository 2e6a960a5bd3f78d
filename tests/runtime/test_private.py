"""What names patients is for its owner alone: results, reports, overlays, and what is put aside."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from fieldlens.runtime.output.linefile import LineFile
from tests.runtime.test_classify import run


def modes(folder: Path) -> dict[str, int]:
    return {str(path.relative_to(folder)): path.stat().st_mode & 0o777 for path in folder.rglob("*")}


@pytest.fixture
def wide_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


@pytest.mark.usefixtures("wide_umask")
def test_all_that_a_run_writes_is_for_its_owner(basic: Sequence[object], pictures: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = run(
        "classify", pictures, *basic, "--json", out / "a" / "r.jsonl", "--csv", out / "r.csv", "--rotate", "1k",
        "--report", out / "b" / "r.html", "--overlays", out / "c" / "maps",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = modes(tmp_path)
    assert {"out/a/r.jsonl.1", "out/r.csv", "out/b/r.html", "out/b/r.json", "out/c/maps/grey.jpg"} <= set(found)
    for name, mode in found.items():
        assert mode == (0o700 if (tmp_path / name).is_dir() else 0o600), name


@pytest.mark.usefixtures("wide_umask")
def test_files_of_the_users_own_keep_their_rights_also_when_they_rotate(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    path.touch()
    path.chmod(0o640)
    file = LineFile(path, rotate_bytes=30)
    for number in range(10):
        file.write(f"line {number}, of some length\n")
    file.close()
    assert set(modes(tmp_path).values()) == {0o640}
    assert len(modes(tmp_path)) == 10


def test_a_umask_closes_them_further(tmp_path: Path) -> None:
    before = os.umask(0o277)
    LineFile(tmp_path / "r.jsonl").close()
    os.umask(before)
    assert modes(tmp_path) == {"r.jsonl": 0o400}
