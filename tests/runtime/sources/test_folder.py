"""Folders, and what comes into them."""

from __future__ import annotations

import os
from pathlib import Path

from fieldlens.runtime.sources.folder import FolderWatch, images_in, natural


def stamp(path: Path, second: float) -> None:
    os.utime(path, (second, second))


def test_natural_order() -> None:
    assert sorted(["10.jpg", "2.jpg", "a1", "1.jpg"], key=natural) == ["1.jpg", "2.jpg", "10.jpg", "a1"]


def test_images_and_others(tmp_path: Path) -> None:
    for name in ("b/2.jpg", "b/10.PNG", "a.jpeg", "notes.txt", ".hidden.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    images, others = images_in(tmp_path)
    assert [path.relative_to(tmp_path).as_posix() for path in images] == ["a.jpeg", "b/2.jpg", "b/10.PNG"]
    assert others == 1


def test_a_file_is_taken_once_it_no_longer_changes(tmp_path: Path) -> None:
    watch, path = FolderWatch([tmp_path]), tmp_path / "1.jpg"
    path.write_bytes(b"part")
    stamp(path, 100)
    assert watch.look(0) == []
    path.write_bytes(b"part and more")
    stamp(path, 100)
    assert watch.look(0) == []
    assert watch.look(0) == [path]
    assert watch.look(0) == []


def test_a_file_written_anew_is_a_new_picture_and_a_gone_one_is_forgotten(tmp_path: Path) -> None:
    watch, path = FolderWatch([tmp_path]), tmp_path / "deep" / "capture.jpg"
    path.parent.mkdir()
    path.write_bytes(b"one")
    stamp(path, 100)
    watch.look(0)
    assert watch.look(0) == [path]
    path.write_bytes(b"two")
    stamp(path, 200)
    watch.look(0)
    assert watch.look(0) == [path]
    path.unlink()
    watch.look(0)
    assert watch._done == {}
    assert watch._before == {}


def test_an_empty_file_waits_for_its_content_but_not_for_ever(tmp_path: Path) -> None:
    watch, path = FolderWatch([tmp_path]), tmp_path / "1.jpg"
    path.touch()
    stamp(path, 100)
    now = 101 * 10**9
    assert watch.look(now) == watch.look(now) == []
    assert watch.look(106 * 10**9) == [path]


def test_hidden_files_other_files_and_missing_folders_are_passed_over(tmp_path: Path) -> None:
    watch = FolderWatch([tmp_path, tmp_path / "gone"])
    for name in (".tmp.jpg", "notes.txt", "1.jpg.part"):
        (tmp_path / name).write_bytes(b"x")
    watch.look(0)
    assert watch.look(0) == []
