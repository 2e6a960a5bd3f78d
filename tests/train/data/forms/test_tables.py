from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from fieldlens.train.config import DataConfig
from fieldlens.train.data.load import load_data
from fieldlens.train.errors import DataError


def blank(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.zeros((8, 8, 3), np.uint8))


def table(root: Path, text: str, *images: str, encoding: str = "utf-8") -> Path:
    """A table ``labels.csv`` and blank images beside it."""
    for image in images:
        blank(root / image)
    root.mkdir(exist_ok=True)
    (root / "labels.csv").write_text(text, encoding=encoding)
    return root


def test_columns_become_samples(table_data: Path) -> None:
    data = load_data(table_data, DataConfig())
    assert data.classes == ("healthy", "ill")
    assert len(data.samples) == 60
    first = data.samples[0]
    assert (first.id, first.label, first.group, first.site, first.split) == ("images/00-0.png", 0, "s0", "hill", None)
    assert data.grouped


def test_the_table_itself_may_be_given(table_data: Path) -> None:
    assert load_data(table_data / "labels.csv", DataConfig()).hash == load_data(table_data, DataConfig()).hash


def test_spaces_in_the_header_and_bare_numbers_for_padded_names(tmp_path: Path) -> None:
    root = table(tmp_path / "ct", "id, hemorrhage\n0, 0\n1, 1\n10, 1\n", *(f"scans/{n:03d}.png" for n in (0, 1, 10)))
    config = DataConfig(
        image_column="id", label_column="hemorrhage", image_folders=("scans",), labels={"0": "none", "1": "bleeding"}
    )
    data = load_data(root, config)
    assert [sample.id for sample in data.samples] == ["scans/000.png", "scans/001.png", "scans/010.png"]
    assert data.classes == ("none", "bleeding")


def test_names_without_suffix_are_found_in_any_of_the_folders(tmp_path: Path) -> None:
    root = table(tmp_path / "d", "image,label\nISIC_1,a\nISIC_2,b\n", "part_1/ISIC_1.jpg", "part_2/ISIC_2.jpg")
    data = load_data(root, DataConfig(image_folders=("part_1", "part_2")))
    assert [sample.id for sample in data.samples] == ["part_1/ISIC_1.jpg", "part_2/ISIC_2.jpg"]


def test_semicolons_a_byte_order_mark_and_a_split_column(tmp_path: Path) -> None:
    text = "image;label;split\nx.png;1;Training\ny.png;10;validation\nz.png;2;test\n"
    root = table(tmp_path / "d", text, "x.png", "y.png", "z.png", encoding="utf-8-sig")
    data = load_data(root, DataConfig())
    assert data.classes == ("1", "2", "10")
    assert [sample.split for sample in data.samples] == ["train", "val", "test"]


def test_all_bad_rows_are_told_at_once(tmp_path: Path) -> None:
    rows = [
        "a.png,x,train",
        "b.png,,train",
        "a.png,y,train",
        "c.png,y,tset",
        "gone.png,y,test",
        "../b.png,y,test",
        ",y,",
    ]
    text = "\n".join(["image,label,split", *rows])
    root = table(tmp_path / "d", text, "a.png", "b.png", "c.png")
    with pytest.raises(DataError) as caught:
        load_data(root, DataConfig())
    message = caught.value.message
    for expected in (
        "line 3: 'b.png' has no label",
        "line 4: 'a.png' is named twice",
        "line 5",
        "'tset'",
        "'gone.png'",
    ):
        assert expected in message
    assert "(6)" in message
    assert "../b.png" in message


def test_a_missing_column_is_named_with_those_there_are(tmp_path: Path) -> None:
    root = table(tmp_path / "d", "image,lable\na.png,x\n", "a.png")
    with pytest.raises(DataError, match="no column 'label'") as caught:
        load_data(root, DataConfig())
    assert "'lable'" in caught.value.hint


def test_an_optional_column_is_required_once_the_recipe_names_it(table_data: Path) -> None:
    with pytest.raises(DataError, match="no column 'lesion_id'") as caught:
        load_data(table_data, DataConfig(group_column="lesion_id"))
    assert "--ungrouped" in caught.value.hint
    data = load_data(table_data, DataConfig(group_column="lesion_id", ungrouped=True))
    assert not data.grouped
    assert "ungrouped, as asked" in data.notes[0]
    assert not load_data(table_data, DataConfig(ungrouped=True)).grouped


def test_another_encoding_is_named_together_with_what_else_is_wrong(tmp_path: Path) -> None:
    root = table(tmp_path / "d", "image,label\na.png,früh\nb.png,spät\n", "a.png", encoding="cp1252")
    with pytest.raises(DataError, match=r"(?s)not UTF-8; it looks like WINDOWS-1252.*no image file for 'b\.png'"):
        load_data(root, DataConfig())


def test_unknown_labels_are_listed(table_data: Path) -> None:
    with pytest.raises(DataError, match=r"unknown label 'ill' of 30 images .*known: healthy, sick"):
        load_data(table_data, DataConfig(classes=("healthy", "sick")))


def test_an_empty_table_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no column 'image'"):
        load_data(table(tmp_path / "d", ""), DataConfig())
    with pytest.raises(DataError, match="no images"):
        load_data(table(tmp_path / "e", "image,label\n"), DataConfig())


def test_one_class_is_refused(tmp_path: Path) -> None:
    root = table(tmp_path / "d", "image,label\na.png,x\nb.png,x\n", "a.png", "b.png")
    with pytest.raises(DataError, match="one class"):
        load_data(root, DataConfig())


def test_a_set_that_unpacks_into_folders_of_its_own(tmp_path: Path) -> None:
    """The public head CT set: integer ids, a space in the header, the images two folders below."""
    root = table(
        tmp_path / "archive", "id, hemorrhage\n0, 1\n7, 0\n11, 0\n", *(f"head_ct/head_ct/{n:03d}.png" for n in (0, 7))
    )
    config = DataConfig(image_column="id", label_column="hemorrhage")
    with pytest.raises(DataError, match=r"labels\.csv line 4: no image file for '11'"):
        load_data(root, config)
    blank(root / "head_ct/head_ct/011.png")
    names = [sample.id for sample in load_data(root, config).samples]
    assert names == ["head_ct/head_ct/000.png", "head_ct/head_ct/007.png", "head_ct/head_ct/011.png"]


def test_the_only_other_column_is_the_label(tmp_path: Path) -> None:
    root = table(tmp_path / "d", "id, label\na, 0\nb, 1\n", "a.png", "b.png")
    data = load_data(root, DataConfig(image_column="id", label_column="hemorrhage"))
    assert [sample.label for sample in data.samples] == [0, 1]
    assert data.notes == ("labels.csv has two columns: 'label' is taken for 'hemorrhage'",)


def test_findings_in_one_column(tmp_path: Path) -> None:
    text = "Image Index,Finding Labels,Patient ID\na.png,Mass|Effusion,1\nb.png,No Finding,1\nc.png,Mass,2\n"
    root = table(tmp_path / "d", text, "images_001/images/a.png", "images_002/images/b.png", "c.png")
    config = DataConfig(
        task="multilabel", image_column="Image Index", label_column="Finding Labels", group_column="Patient ID"
    )
    data = load_data(root, config)
    assert data.classes == ("Effusion", "Mass")
    assert [(s.label, s.group) for s in data.samples] == [((1, 1), "1"), ((0, 0), "1"), ((0, 1), "2")]


def test_a_column_for_each_finding(tmp_path: Path) -> None:
    root = table(tmp_path / "d", "image,mass,effusion\na.png,1,0\nb.png,0,0\nc.png,1.0,1\n", "a.png", "b.png", "c.png")
    config = DataConfig(task="multilabel", label_columns=("effusion", "mass"))
    data = load_data(root, config)
    assert data.classes == ("effusion", "mass")
    assert [sample.label for sample in data.samples] == [(0, 1), (0, 0), (1, 1)]


def test_cells_that_are_neither_0_nor_1_and_findings_beside_none(tmp_path: Path) -> None:
    root = table(tmp_path / "d", "image,mass,label\na.png,-1,No Finding|X\nb.png,0,X\n", "a.png", "b.png")
    with pytest.raises(DataError, match=r"line 2: 'a\.png': 'mass' is '-1'"):
        load_data(root, DataConfig(task="multilabel", label_columns=("mass",)))
    with pytest.raises(DataError, match=r"line 2: 'a\.png' has 'No Finding' beside a finding"):
        load_data(root, DataConfig(task="multilabel"))


def test_lists_of_a_public_set_are_its_split(tmp_path: Path) -> None:
    root = table(tmp_path / "d", "image,label\na.png,x\nb.png,y\nc.png,y\n", "a.png", "b.png", "c.png")
    (root / "rest.txt").write_text("a.png\nb.png\n")
    config = DataConfig(split_files={"rest.txt": "train", "judge.txt": "test"})
    with pytest.raises(DataError, match=r"line 4: 'c\.png' is in none of rest\.txt, judge\.txt"):
        load_data(root, config)
    (root / "judge.txt").write_text("c.png\n")
    assert [sample.split for sample in load_data(root, config).samples] == ["train", "train", "test"]


def test_subgroups_and_a_column_for_them_that_is_not_there(table_data: Path) -> None:
    data = load_data(table_data, DataConfig(subgroup_columns=("site", "sex")))
    assert data.samples[0].subgroups == (("site", "hill"),)
    assert data.notes == ("labels.csv has no column sex: no figures for these subgroups",)


def test_images_without_a_row_are_noted(table_data: Path) -> None:
    blank(table_data / "images/new.png")
    data = load_data(table_data, DataConfig())
    assert data.notes == ("1 images are in no row of labels.csv (for example images/new.png): left out",)
