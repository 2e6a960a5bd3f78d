"""Folders, and what comes into them."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from fieldlens.runtime.sources.complete import looks_complete
from fieldlens.runtime.sources.folder import REST_S, FolderWatch
from fieldlens.runtime.sources.inotify import Inotify
from fieldlens.runtime.sources.walk import natural, walk


def stamp(path: Path, second: float) -> None:
    os.utime(path, (second, second))


def test_natural_order() -> None:
    assert sorted(["10.jpg", "2.jpg", "a1", "1.jpg"], key=natural) == ["1.jpg", "2.jpg", "10.jpg", "a1"]


def test_images_and_others(tmp_path: Path) -> None:
    for name in ("b/2.jpg", "b/10.PNG", "a.jpeg", "notes.txt", ".hidden.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found = walk(tmp_path)
    assert found.relative() == ["a.jpeg", "b/2.jpg", "b/10.PNG"]
    assert [len(paths) for paths in found.left.values()] == [1, 1]


class Deaf(Inotify):
    """A file system that tells nothing, as a network drive of which the other side writes."""

    def add(self, folder: str) -> None:
        """Listen to nothing."""


JPEG = b"\xff\xd8 the pixels \xff\xd9"
WHOLE = {
    "1.jpg": JPEG,
    "1.png": b"\x89PNG\r\n\x1a\n the pixels \0\0\0\0IEND\xaeB`\x82",
    "1.webp": b"RIFF\x0c\0\0\0WEBP the pixels",
    "1.bmp": b"BM\x14\0\0\0" + bytes(14),
    "1.tif": b"II*\0 the pixels",
}
TELLS_ITSELF = {"1.jpg", "1.png"}


def test_a_file_whose_end_comes_during_a_look_is_given_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its writer had opened it before anybody watched, so the kernel says nothing of him until he closes it."""
    path = tmp_path / "1.jpg"
    path.write_bytes(JPEG[:-2])
    watch = FolderWatch([tmp_path], Deaf())
    assert watch.look(0) == []

    def ends_now(place: str, *, closed: bool) -> bool:
        path.write_bytes(JPEG)
        return looks_complete(place, closed=closed)

    with monkeypatch.context() as patch:
        patch.setattr("fieldlens.runtime.sources.folder.looks_complete", ends_now)
        assert watch.look(1) == []
    given = [each for second in range(2, 30) for each in watch.look(second)]
    assert given == [path]


def names(paths: list[Path]) -> list[str]:
    return [path.name for path in paths]


@pytest.mark.skipif(sys.platform != "linux", reason="inotify is Linux's")
@pytest.mark.parametrize("name", WHOLE)
def test_a_file_is_taken_when_its_writer_closes_it_however_long_he_takes(tmp_path: Path, name: str) -> None:
    watch, path, data = FolderWatch([tmp_path]), tmp_path / name, WHOLE[name]
    assert watch.look(0) == []
    with path.open("wb") as file:
        for second in range(1, 900):  # a quarter of an hour, with a pause after every byte
            file.write(data[second - 1 : second])
            file.flush()
            assert watch.look(second) == []
        assert watch.unfinished == [path]
    assert watch.look(900) == [path]
    assert watch.look(901) == watch.look(2000) == watch.unfinished == []


@pytest.mark.skipif(sys.platform != "linux", reason="inotify is Linux's")
def test_a_file_that_is_moved_here_is_taken_and_so_is_a_link(tmp_path: Path) -> None:
    folder, outside = tmp_path / "in", tmp_path / "1.jpg"
    folder.mkdir()
    watch = FolderWatch([folder])
    watch.look(0)
    outside.write_bytes(JPEG)
    (folder / "2.jpg").hardlink_to(outside)
    (folder / "3.jpg").symlink_to(outside)
    outside.rename(folder / "1.jpg")
    assert names(watch.look(1)) == ["1.jpg"]
    (folder / "3.jpg").unlink()
    assert names(watch.look(2)) == ["2.jpg"]


@pytest.mark.skipif(sys.platform != "linux", reason="inotify is Linux's")
def test_whoever_closes_the_file_after_every_part_is_waited_for(tmp_path: Path) -> None:
    watch, path = FolderWatch([tmp_path]), tmp_path / "1.jpg"
    watch.look(0)
    for second in range(1, 1 + len(JPEG)):
        with path.open("ab") as file:
            file.write(JPEG[second - 1 : second])
        assert watch.look(second) == ([path] if second == len(JPEG) else [])


@pytest.mark.skipif(sys.platform != "linux", reason="inotify is Linux's")
def test_a_new_folder_is_listened_to(tmp_path: Path) -> None:
    watch, path = FolderWatch([tmp_path]), tmp_path / "a" / "b" / "1.bmp"
    watch.look(0)
    path.parent.mkdir(parents=True)
    watch.look(1)
    with path.open("wb") as file:
        file.write(WHOLE["1.bmp"])
        file.flush()
        assert watch.look(2) == watch.look(60) == []
    assert watch.look(61) == [path]


def test_more_than_the_kernel_can_tell_is_judged_by_its_end(tmp_path: Path) -> None:
    kernel, path = Inotify(), tmp_path / "1.jpg"
    watch = FolderWatch([tmp_path], kernel)
    watch.look(0)
    path.write_bytes(JPEG)
    kernel._events = lambda: iter([(-1, 0x4000, b"")])  # type: ignore[method-assign]  # IN_Q_OVERFLOW
    assert watch.look(1) == []
    assert watch.look(2) == [path]


@pytest.mark.parametrize("name", WHOLE)
def test_where_the_kernel_tells_nothing_a_file_is_taken_when_its_end_is_there(tmp_path: Path, name: str) -> None:
    watch, path, data = FolderWatch([tmp_path], Deaf()), tmp_path / name, WHOLE[name]
    for second in range(1, len(data)):
        path.write_bytes(data[:second])
        assert watch.look(second) == []
    path.write_bytes(data)
    assert watch.look(100) == []
    expected = [path] if name in TELLS_ITSELF else []
    assert watch.look(101) == expected
    assert watch.look(100 + REST_S) == [path][len(expected) :]


def test_what_never_becomes_complete_is_taken_once_when_it_rests(tmp_path: Path) -> None:
    watch, path = FolderWatch([tmp_path], Deaf()), tmp_path / "1.jpg"
    path.write_bytes(JPEG[:-1])
    assert watch.look(0) == watch.look(REST_S - 0.1) == []
    assert watch.unfinished == [path]
    assert watch.look(REST_S) == [path]
    assert watch.look(1000) == watch.unfinished == []


def test_room_that_is_reserved_is_no_content(tmp_path: Path) -> None:
    watch, path = FolderWatch([tmp_path], Deaf()), tmp_path / "1.jpg"
    path.write_bytes(JPEG[:-2] + bytes(100_000))
    assert watch.look(0) == watch.look(1) == []


@pytest.mark.parametrize("kernel", [Inotify, Deaf])
def test_a_file_written_anew_is_a_new_image_and_a_gone_one_is_forgotten(tmp_path: Path, kernel: type[Inotify]) -> None:
    watch, path = FolderWatch([tmp_path], kernel()), tmp_path / "deep" / "capture.jpg"
    path.parent.mkdir()
    path.write_bytes(JPEG)
    stamp(path, 100)
    watch.look(0)
    assert watch.look(1) == [path]
    path.write_bytes(JPEG)
    stamp(path, 200)
    assert [*watch.look(2), *watch.look(3)] == [path]
    path.unlink()
    assert watch.look(4) == []
    assert not any((watch._done, watch._before, watch._since, watch._kernel._state))


def test_an_empty_file_waits_for_its_content_but_not_for_ever(tmp_path: Path) -> None:
    watch, path = FolderWatch([tmp_path], Deaf()), tmp_path / "1.jpg"
    path.touch()
    assert watch.look(0) == watch.look(REST_S - 1) == []
    assert watch.look(REST_S) == [path]


def test_hidden_files_other_files_and_missing_folders_are_passed_over(tmp_path: Path) -> None:
    watch = FolderWatch([tmp_path, tmp_path / "gone"])
    watch.look(0)
    for name in (".tmp.jpg", "notes.txt", "1.jpg.part"):
        (tmp_path / name).write_bytes(JPEG)
    assert watch.look(1) == watch.look(2) == watch.look(1000) == []
    assert watch._kernel._state == {}


def test_a_folder_that_cannot_be_looked_into_is_told(tmp_path: Path) -> None:
    found = walk(tmp_path / "gone")
    assert (found.images, found.left) == ([], {})
    assert [Path(error.filename).name for error in found.failed] == ["gone"]


def test_what_is_no_ordinary_file_is_told_at_once_and_once(tmp_path: Path) -> None:
    watch = FolderWatch([tmp_path])
    os.mkfifo(tmp_path / "pipe.jpg")
    assert names(watch.look(0)) == ["pipe.jpg"]
    assert watch.look(1) == watch.look(100) == []
