from __future__ import annotations

import os
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from fieldlens.train.config import DataConfig
from fieldlens.train.data.load import load_data, load_split
from fieldlens.train.errors import DataError


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no data"):
        load_data(tmp_path / "none", DataConfig())


def test_a_file_of_another_form(tmp_path: Path) -> None:
    path = tmp_path / "data.parquet"
    path.write_bytes(b"PAR1")
    with pytest.raises(DataError, match="not a form of data"):
        load_data(path, DataConfig())


def test_another_table_name_may_be_set(table_data: Path) -> None:
    (table_data / "labels.csv").rename(table_data / "metadata.csv")
    assert len(load_data(table_data, DataConfig(table="metadata.csv")).samples) == 60


def test_everything_that_is_wrong_is_told_at_once(table_data: Path) -> None:
    """Rows, labels, images and the split: one run, one list."""
    table = table_data / "labels.csv"
    lines = table.read_text(encoding="utf-8").splitlines()
    lines += [lines[1], "images/none.png,ill,s1,hill", "images/extra.png,il,s2,hill", "images/more.png,,s2,hill"]
    table.write_text("\n".join(lines), encoding="utf-8")
    for name in ("extra", "more"):
        shutil.copy(table_data / "images/00-0.png", table_data / f"images/{name}.png")
    broken = table_data / "images/03-1.png"
    broken.write_bytes(broken.read_bytes()[:60])
    with pytest.raises(DataError) as caught:
        load_split(table_data, DataConfig())
    for reported in (
        "everything that is wrong (5)",
        "line 62: 'images/00-0.png' is named twice",
        "line 63: no image file for 'images/none.png'",
        "line 65: 'images/more.png' has no label",
        "class 'il' has 1 image: a typo of 'ill'?",
        "images/03-1.png: ",
    ):
        assert reported in caught.value.message
    assert "--skip-bad" in caught.value.hint


def test_what_hinders_the_split_and_unreadable_images_come_together(folder_data: Path) -> None:
    (folder_data / "b_").mkdir()
    (folder_data / "b/0.png").rename(folder_data / "b_/0.png")
    (folder_data / "a/3.png").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"(?s)class 'b_' has 1 image.*a/3\.png") as caught:
        load_split(folder_data, DataConfig())
    assert "merge it with data.labels" in caught.value.hint


def test_bad_images_are_left_out_only_if_asked_and_are_named(folder_data: Path) -> None:
    (folder_data / "a/3.png").write_bytes(b"no image")
    assert len(load_data(folder_data, DataConfig()).samples) == 24
    data, parts = load_split(folder_data, DataConfig(skip_bad=True))
    assert len(data.samples) == len(parts) == 23
    assert "a/3.png" not in parts
    assert [reason.partition(":")[0] for reason in data.skipped] == ["a/3.png"]


def test_sixteen_bits_are_no_fault_of_the_image(folder_data: Path) -> None:
    cv2.imwrite(str(folder_data / "a/3.png"), np.full((20, 20), 40_000, np.uint16))
    assert len(load_data(folder_data, DataConfig(skip_bad=True)).samples) == 24


@pytest.mark.parametrize("name", [b"caf\xe9.png", b"two\nlines.png", b"a\rb.png"])
def test_a_name_that_fits_into_no_table_is_refused(folder_data: Path, name: bytes) -> None:
    """It would come back from ``split.csv`` as another one."""
    first = next(path for path in sorted(folder_data.rglob("*.png")))
    shutil.copy(first, first.with_name(os.fsdecode(name)))
    with pytest.raises(DataError, match="has a line break or is not UTF-8") as caught:
        load_data(folder_data, DataConfig())
    assert caught.value.message.isprintable()
