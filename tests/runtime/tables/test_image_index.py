from __future__ import annotations

from pathlib import Path

import pytest

from fieldlens.runtime.sources.walk import walk
from fieldlens.runtime.tables.image_index import ImageIndex
from fieldlens.train.errors import Problem


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in ("here.png", "images/7.png", "a/b7.jpg", "a/c/twice.png", "d/twice.png", ".hidden/x.png", "d/y.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path


@pytest.mark.parametrize(
    ("cell", "found"),
    [
        ("here", "here.png"),
        ("7", "images/7.png"),
        ("0007", "images/7.png"),
        ("b7", "a/b7.jpg"),
        ("007", "images/7.png"),
        ("a/c/twice.png", "a/c/twice.png"),
    ],
)
def test_names_stems_numbers_and_paths(root: Path, cell: str, found: str) -> None:
    assert ImageIndex(root, ("images",)).find(cell) == found


def test_a_name_in_two_folders_is_not_guessed(root: Path) -> None:
    found = ImageIndex(root, ("images",)).find("twice")
    assert isinstance(found, Problem)
    assert found.text == "'twice' may be a/c/twice.png or d/twice.png"
    assert ImageIndex(root, ("d",)).find("twice") == "d/twice.png"


NOT_THERE = ["none", "8", "../here.png", "/none.png", "x", "y", "", "a\0b", "here.png\n", "d/none.png", "C:\\none.png"]


@pytest.mark.parametrize("cell", NOT_THERE)
def test_what_is_not_there_hidden_or_outside_is_told(root: Path, cell: str) -> None:
    found = ImageIndex(root, ("images",)).find(cell)
    assert isinstance(found, Problem)
    assert repr(cell) in found.text


def test_images_that_nobody_names(root: Path) -> None:
    (root / "images/8.png").touch()
    (root / "elsewhere/deep").mkdir(parents=True)
    (root / "elsewhere/deep/9.png").touch()
    known = [name for name in walk(root).relative() if name not in ("images/8.png", "elsewhere/deep/9.png")]
    assert ImageIndex(root, ("images",)).strays(known) == ["elsewhere/deep/9.png", "images/8.png"]
