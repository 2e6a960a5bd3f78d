"""One walker: what network drives, archives, links and rights leave in a folder, and who sees the same set."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from fieldlens.runtime.errors import SourceError
from fieldlens.runtime.sources.folder import FolderWatch
from fieldlens.runtime.sources.inputs import Sources
from fieldlens.runtime.sources.item import Broken, File
from fieldlens.runtime.sources.walk import AGAIN, HIDDEN, NOWHERE, OTHERS, image_files, walk

JPEG = b"\xff\xd8 the pixels \xff\xd9"


def put(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(JPEG)


JUNK = [
    ".hidden/a.jpg", ".a.jpg", "@eaDir/a.jpg", "x/@eaDir/a.jpg", "__MACOSX/x/._a.jpg", "._a.jpg", ".Trash-0/a.jpg",
    ".ipynb_checkpoints/a-checkpoint.jpg", "#recycle/a.jpg", "$RECYCLE.BIN/a.jpg", "lost+found/a.jpg", ".git/a.jpg",
    "System Volume Information/a.jpg", ".AppleDouble/a.jpg", ".Spotlight-V100/a.jpg", "#snapshot/a.jpg",
]  # fmt: skip


@pytest.mark.parametrize("name", JUNK)
def test_what_programs_leave_is_left_out_and_counted(name: str, tmp_path: Path) -> None:
    put(tmp_path, "good.jpg", name)
    found = walk(tmp_path)
    assert found.relative() == ["good.jpg"]
    assert len(found.left[HIDDEN]) == 1
    assert "hidden or a program's own: 1" in found.notes()[0]


@pytest.mark.parametrize("name", ["a.jfif", "a.JPE", "a.jpe", "a.Jpeg", "a.WEBP", "a.TIF"])
def test_endings_of_images(name: str, tmp_path: Path) -> None:
    put(tmp_path, name, "a.txt", "a.gif", "jpg", "a.jpg.part")
    found = walk(tmp_path)
    assert found.relative() == [name]
    assert len(found.left[OTHERS]) == 4


def test_links_are_followed_once_and_loops_end(tmp_path: Path) -> None:
    put(tmp_path, "in/real/1.jpg", "in/real/deep/2.jpg", "outside/3.jpg")
    root = tmp_path / "in"
    (root / "a-link").symlink_to(root / "real")
    (root / "real/deep/loop").symlink_to(root)
    (root / "real/self").symlink_to(".")
    (root / "out").symlink_to(tmp_path / "outside")
    (root / "out-again").symlink_to(tmp_path / "outside")
    (root / "real/link.jpg").symlink_to(root / "real/1.jpg")
    (root / "real/hard.jpg").hardlink_to(root / "real/1.jpg")
    (root / "none.jpg").symlink_to("nowhere.jpg")
    found = walk(root)
    assert found.relative() == ["out/3.jpg", "real/1.jpg", "real/deep/2.jpg", "real/hard.jpg"]
    assert sorted(os.path.relpath(path, root) for path in found.left[AGAIN]) == [
        "a-link", "out-again", "real/deep/loop", "real/link.jpg", "real/self",
    ]  # fmt: skip
    assert [Path(path).name for path in found.left[NOWHERE]] == ["none.jpg"]


def test_a_folder_that_is_a_link_itself(tmp_path: Path) -> None:
    put(tmp_path, "real/1.jpg")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert walk(tmp_path / "link").relative() == ["1.jpg"]


def test_a_folder_that_cannot_be_looked_into_is_an_error_where_all_are_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path, "open/1.jpg", "closed/2.jpg")
    scandir = os.scandir

    def refusing(path: str) -> object:
        if str(path).endswith("closed"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)
    found = walk(tmp_path)
    assert found.relative() == ["open/1.jpg"]
    with pytest.raises(SourceError, match=r"closed: cannot be looked into \(Permission denied\)"):
        image_files(tmp_path)
    items = list(Sources([str(tmp_path)]).stored())
    assert [type(item) for item in items] == [Broken, File]


def test_a_deep_tree_does_not_overflow(tmp_path: Path) -> None:
    deep = tmp_path
    for _ in range(600):
        deep = deep / "d"
    deep.mkdir(parents=True)
    (deep / "1.jpg").write_bytes(JPEG)
    assert len(walk(tmp_path).images) == 1


NAMES = ["a", "b", "train", "@eaDir", ".x", "__MACOSX", "früh", "two words", "x.jpg", "#recycle"]
FILES = ["1.jpg", "2.JPE", "x.jfif", "notes.txt", "._1.jpg", "Thumbs.db", ".hidden.png", "no-ending", "3.png"]


def grow(root: Path, chance: random.Random) -> int:
    """A tree with everything that was found in folders; how many entries it has."""
    folders = [root]
    root.mkdir(parents=True)
    for _ in range(chance.randint(3, 25)):
        where = chance.choice(folders)
        kind = chance.random()
        path = where / chance.choice(NAMES if kind < 0.35 else FILES)
        if os.path.lexists(path):
            continue
        if kind < 0.35:
            path.mkdir()
            folders.append(path)
        elif kind < 0.8:
            path.write_bytes(JPEG)
        elif kind < 0.95:
            path.symlink_to(chance.choice([*folders, root / "nowhere", Path(), where / "1.jpg"]))
        else:
            os.mkfifo(path)
    return sum(len(folders) + len(files) for _, folders, files in os.walk(root))


@pytest.mark.parametrize("count", [25, pytest.param(300, marks=pytest.mark.full)])
def test_of_any_tree_every_entry_is_accounted_for_and_watching_sees_the_same(count: int, tmp_path: Path) -> None:
    for seed in range(count):
        root = tmp_path / f"tree{seed}"
        grow(root, random.Random(seed))
        found = walk(root)
        taken, left = set(found.relative()), {os.path.relpath(p, root) for paths in found.left.values() for p in paths}
        assert not taken & left
        assert len(taken) == len(found.images)
        for place, folders, files in os.walk(root):
            for name in [*folders, *files]:
                inside = os.path.relpath(f"{place}/{name}", root)
                above = {"/".join(inside.split("/")[:n]) for n in range(1, inside.count("/") + 1)}
                entered = os.path.relpath(f"{place}/{name}", root) in {os.path.relpath(f, root) for f in found.folders}
                hidden = name.startswith(".") or name == "Thumbs.db"
                assert inside in taken | left or above & left or entered or hidden, (seed, inside)
        watch = FolderWatch([root])
        seen = {*watch.look(0), *watch.look(20)}
        plain = {item.path for item in Sources([str(root)]).stored() if isinstance(item, File)}
        assert plain == seen
        assert {os.path.relpath(path, root) for path in plain} == taken
