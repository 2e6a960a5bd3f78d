"""The journal of a watched folder: what identifies a file, what is marked, and what happens where it cannot be kept."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from fieldlens.runtime.files import keeping
from fieldlens.runtime.sources.folder import REST_S, FolderWatch
from fieldlens.runtime.sources.journal import Journal
from tests.runtime.conftest import jpeg, scene

GOOD = jpeg(scene(1, 120, 160))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "in"
    folder.mkdir()
    for name in ("a.jpg", "b.jpg", os.fsdecode(b"c\xff.jpg")):
        (folder / name).write_bytes(GOOD)
    return folder


def run(folder: Path, state: Path, end: int | None = None, *, cut: bool = False) -> list[tuple[str, bool]]:
    """What one run answers, and whether it is marked. ``end``: killed at this image; ``cut``: before its record."""
    journal = Journal(state, [folder])
    watch = FolderWatch([folder], journal=journal)
    answered: list[tuple[str, bool]] = []
    for now_s in (0.0, 1.0, 2.0 + REST_S):
        for path in watch.look(now_s):
            watch.gives(path, str(path), last=True, private=False)
            if len(answered) == end:
                if cut:
                    watch.begin(str(path))
                journal.close()
                return answered
            answered.append((path.name, watch.begin(str(path))))
            watch.done(str(path))
    journal.close()
    return answered


def names(answered: list[tuple[str, bool]]) -> list[str]:
    return [name for name, _ in answered]


ALL = ["a.jpg", "b.jpg", "c\udcff.jpg"]


def test_a_second_run_answers_nothing_again(folder: Path, tmp_path: Path) -> None:
    assert run(folder, tmp_path / "state") == [(name, False) for name in ALL]
    assert run(folder, tmp_path / "state") == []
    assert run(folder, tmp_path / "state") == []


@pytest.mark.parametrize("end", range(3))
def test_a_killed_run_is_gone_on_with(folder: Path, tmp_path: Path, end: int) -> None:
    assert names(run(folder, tmp_path / "state", end)) == ALL[:end]
    assert run(folder, tmp_path / "state") == [(name, False) for name in ALL[end:]]


@pytest.mark.parametrize("end", range(3))
def test_what_was_under_way_is_marked_and_nothing_else(folder: Path, tmp_path: Path, end: int) -> None:
    run(folder, tmp_path / "state", end, cut=True)
    assert run(folder, tmp_path / "state") == [(name, name == ALL[end]) for name in ALL[end:]]
    assert run(folder, tmp_path / "state") == []


def test_a_renamed_file_is_a_new_one(folder: Path, tmp_path: Path) -> None:
    run(folder, tmp_path / "state")
    (folder / "a.jpg").rename(folder / "d.jpg")
    assert run(folder, tmp_path / "state") == [("d.jpg", False)]


@pytest.mark.parametrize("change", ["size", "time", "both"])
def test_a_file_that_was_written_again_is_a_new_one(folder: Path, tmp_path: Path, change: str) -> None:
    run(folder, tmp_path / "state")
    before = (folder / "b.jpg").stat()
    (folder / "b.jpg").write_bytes(GOOD if change == "time" else jpeg(scene(2, 120, 160)))
    changed_ns = before.st_mtime_ns + (0 if change == "size" else 10**9)
    os.utime(folder / "b.jpg", ns=(changed_ns, changed_ns))
    assert run(folder, tmp_path / "state") == [("b.jpg", False)]


def test_a_file_that_was_begun_and_written_again_is_not_marked(folder: Path, tmp_path: Path) -> None:
    run(folder, tmp_path / "state", 0, cut=True)
    (folder / "a.jpg").write_bytes(jpeg(scene(2, 120, 160)))
    assert ("a.jpg", False) in run(folder, tmp_path / "state")


def the_journal(state: Path) -> Path:
    (found,) = (state / "watch").glob("*.jsonl")
    return found


DAMAGE = {
    "cut": lambda data: data[:-9],
    "zeros": lambda data: data[:40] + bytes(30) + data[70:],
    "text": lambda data: data + b"hello\n",
    "another-shape": lambda data: data + b'{"a": 1}\n',
    "a-number": lambda data: data + b"7\n",
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_what_nobody_can_know_is_marked(folder: Path, tmp_path: Path, damage: str) -> None:
    state = tmp_path / "state"
    run(folder, state, 2)
    the_journal(state).write_bytes(DAMAGE[damage](the_journal(state).read_bytes()))
    answered = run(folder, state)
    assert "c\udcff.jpg" in names(answered)
    assert all(marked for _, marked in answered)
    assert run(folder, state) == []


def test_it_holds_each_file_once_and_forgets_those_that_are_gone(folder: Path, tmp_path: Path) -> None:
    state = tmp_path / "state"
    for number in range(5):
        (folder / "a.jpg").write_bytes(jpeg(scene(number, 120, 160)))
        os.utime(folder / "a.jpg", ns=(number, number))
        run(folder, state)
    (folder / "b.jpg").unlink()
    run(folder, state)
    run(folder, state)
    assert len(the_journal(state).read_bytes().splitlines()) == 2


def test_a_folder_that_is_empty_for_a_while_forgets_nothing(folder: Path, tmp_path: Path) -> None:
    run(folder, tmp_path / "state")
    folder.rename(tmp_path / "away")
    folder.mkdir()
    assert run(folder, tmp_path / "state") == []
    folder.rmdir()
    (tmp_path / "away").rename(folder)
    assert run(folder, tmp_path / "state") == []


def test_other_folders_and_other_results_have_journals_of_their_own(folder: Path, tmp_path: Path) -> None:
    run(folder, tmp_path / "state")
    other = Journal(tmp_path / "state", [folder], [tmp_path / "r.jsonl"])
    assert other.known == {}
    other.close()
    assert Journal(tmp_path / "state", [folder.parent]).known == {}
    relative = Journal(tmp_path / "state", [folder / ".." / folder.name])
    assert len(relative.known) == 3


def test_one_run_at_a_time_keeps_it(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeping, "_REFUSED", {})
    first = Journal(tmp_path / "state", [folder])
    second = Journal(tmp_path / "state", [folder])
    second.done("a.jpg", (1, 1))
    assert "another run keeps the same journal" in keeping.notes()[0]
    second.close()
    first.close()
    assert Journal(tmp_path / "state", [folder]).known == {}


@pytest.mark.parametrize("place", ["file", "long", "full"])
def test_where_it_cannot_be_kept_the_run_goes_on_and_says_so(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    monkeypatch.setattr(keeping, "_REFUSED", {})
    (tmp_path / "file").write_text("")
    state = {"file": tmp_path / "file/state", "long": tmp_path / ("x" * 300), "full": tmp_path / "state"}[place]
    if place == "full":
        monkeypatch.setattr(os, "write", lambda handle, data: 1)
    assert names(run(folder, state)) == ALL
    assert "nothing is kept in" in keeping.notes()[0]
