"""What a table's columns mean."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fieldlens.runtime.tables.csv_rows import read_csv
from fieldlens.train.errors import DataError
from fieldlens.train.new_recipe.columns import columns_of


def found(root: Path, text: str, *positive: str) -> dict[str, Any]:
    """The guess for a table beside eight images."""
    for index in range(8):
        (root / f"img{index}.png").write_bytes(b"")
    path = root / "table.csv"
    path.write_text(text)
    return columns_of(read_csv(path), root, positive)


def table(head: str, *rows: str) -> str:
    """Eight rows, those given in turn; ``#`` is the number."""
    lines = [rows[index % len(rows)].replace("#", str(index)) for index in range(8)]
    return "\n".join([head, *lines]) + "\n"


def test_the_kits_own_names(tmp_path: Path) -> None:
    text = table("image,label,group,site,split", "img#.png,ill,P#,north,train", "img#.png,well,P#,south,test")
    assert found(tmp_path, text, "ill") == {
        "image_column": "image", "label_column": "label", "group_column": "group", "site_column": "site",
        "split_column": "split",
    }  # fmt: skip


def test_names_as_hospitals_write_them(tmp_path: Path) -> None:
    text = table("Patient ID;File Name;Dx;Age;Sex;Hospital", "K#;img#.png;mel;6#;f;A", "K#;img#.png;nv;7#;m;B")
    assert found(tmp_path, text, "mel") == {
        "image_column": "File Name", "label_column": "Dx", "group_column": "Patient ID", "site_column": "Hospital",
        "subgroup_columns": ("Sex",),
    }  # fmt: skip


def test_the_positive_class_tells_which_column_has_the_classes(tmp_path: Path) -> None:
    text = table("id,colour,result", "img#,red,bad", "img#,blue,good")
    assert found(tmp_path, text, "bad")["label_column"] == "result"
    with pytest.raises(DataError, match="the classes may be in 'colour' or 'result'"):
        found(tmp_path, text)
    with pytest.raises(DataError, match="no column has classes, 'green' among them"):
        found(tmp_path, text, "green")


def test_several_findings(tmp_path: Path) -> None:
    marks = table("image,Mass,Effusion", "img#.png,1,0", "img#.png,0,1")
    assert found(tmp_path, marks, "Mass") == {
        "image_column": "image", "task": "multilabel", "label_columns": ("Mass", "Effusion"),
    }  # fmt: skip
    words = table("image,Finding Labels", "img#.png,Mass|Effusion", "img#.png,No Finding")
    assert found(tmp_path, words, "Mass") == {
        "image_column": "image", "label_column": "Finding Labels", "task": "multilabel",
    }  # fmt: skip


def test_a_set_column_that_is_no_split_is_left_alone(tmp_path: Path) -> None:
    text = table("image,label,set", "img#.png,ill,A", "img#.png,well,B")
    assert "split_column" not in found(tmp_path, text, "ill")


def test_a_table_without_images_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no column names image files beside it") as caught:
        found(tmp_path, table("image,label", "other#.png,ill", "other#.png,well"), "ill")
    assert "beside the images" in caught.value.hint
