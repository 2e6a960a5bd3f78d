"""Tables as Excel, pandas, R, Kaggle, macOS and Windows leave them: read right, or refused in words that name the line.

Every case is a kind of fault; the right value beside it is the test.
"""

from __future__ import annotations

import unicodedata
from pathlib import Path

import cv2
import numpy as np
import pytest

from fieldlens.train.config import DataConfig
from fieldlens.train.data.load import load_data, load_split
from fieldlens.train.errors import DataError

GOOD = ["a.png,ill,p1", "b.png,well,p2", "c.png,ill,p3", "d.png,well,p4"]
HEADER = "image,label,group"
NFD = unicodedata.normalize("NFD", "früh")


def images(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        encoded = cv2.imencode(".png", np.zeros((8, 8), np.uint8))[1].tobytes()
        (root / name).write_bytes(encoded)
    return root


def table(root: Path, text: str | bytes, *names: str) -> Path:
    images(root, *(names or [f"{letter}.png" for letter in "abcd"]))
    (root / "labels.csv").write_bytes(text.encode() if isinstance(text, str) else text)
    return root


def rows(*lines: str, header: str = HEADER) -> str:
    return "\n".join([header, *lines]) + "\n"


REFUSED = {
    "a cell more": (rows(*GOOD[:3], "d.png,well,extra,p4"), "line 5: 4 cells, and the header has 3"),
    "a comma in a label": (rows(*GOOD[:3], "d.png,well, left eye,p4"), "line 5: 4 cells"),
    "a cell less": (rows(*GOOD[:3], "d.png,p4"), "line 5: 2 cells, and the header has 3"),
    "one cell": (rows(*GOOD, "d.png"), "line 6: 1 cell, and the header has 3"),
    "a decimal comma": (rows("a.png,ill,p1,3,5", "b.png,well,p2,4", header=f"{HEADER},size"), "line 2: 5 cells"),
    "a quote that is never closed": (rows('a.png,"ill,p1', *GOOD[1:]), "line 2: a quote is opened and never closed"),
    "text behind a quote": (rows('a.png,"ill"s,p1', *GOOD[1:]), "line 2: something stands behind a closing quote"),
    "a quote that swallows a row": (
        rows('a.png,ill,p1,"seen', "b.png,well,p2,", 'c.png,ill,p3,"again"', "d.png,well,p4,", header=f"{HEADER},note"),
        "line 2: something stands behind",
    ),
    "a quote closed two rows below": (
        rows('a.png,ill,p1,"seen', 'b.png,well,p2,twice"', "c.png,ill,p3,", "d.png,well,p4,", header=f"{HEADER},note"),
        "line 2: a quoted cell holds line 3, which is a row of its own",
    ),
    "a label over two lines": (rows('a.png,"il\nl",p1', *GOOD[1:]), "line 2: 'label' has a line break"),
    "a cell that never ends": (rows(f'a.png,"{"x" * 140_000}",p1', *GOOD[1:]), "line 2: a cell of more than 131,072"),
    "the header again": (rows(*GOOD[:2], HEADER, *GOOD[2:]), "line 4: this is the header again"),
    "the header in quotes again": (rows(*GOOD[:2], '"image","label","group"'), "line 4: this is the header again"),
    "a column twice": (rows(*(f"{row},x" for row in GOOD), header=f"{HEADER},label"), "header names 'label' 2 times"),
    "zero bytes": (rows(*GOOD).replace("well,p4", "well\0,p4"), "line 5: it holds zero bytes"),
    "the group in the label": (rows(*GOOD, "e.png,p1,"), "line 6: the label 'p1' is elsewhere in the column 'group'"),
    "a number among words": (rows(*GOOD, "e.png,34,p5"), "line 6: the label '34' is a number"),
    "a name in the label": (rows(*GOOD, "e.png,f.png,p5"), "line 6: the label 'f.png' is an image's name"),
    "two cells in one": (rows(*GOOD, "e.png,ill p1,p1"), "line 6: the label 'ill p1' holds another label"),
}  # fmt: skip


@pytest.mark.parametrize(("text", "reported"), REFUSED.values(), ids=REFUSED)
def test_what_does_not_fit_is_refused_with_its_line(text: str, reported: str, tmp_path: Path) -> None:
    many = "".join(f"{number}.png,{('ill', 'well')[number % 2]},q{number}\n" for number in range(12))
    if not reported.partition(":")[2].startswith(" the label"):
        many = ""
    names = [f"{letter}.png" for letter in "abcde"] + [f"{number}.png" for number in range(12)]
    with pytest.raises(DataError) as caught:
        load_data(table(tmp_path / "d", text + many, *names), DataConfig())
    assert reported in caught.value.message
    assert caught.value.hint


READ = {
    "as it should be": rows(*GOOD),
    "Windows' line ends": rows(*GOOD).replace("\n", "\r\n"),
    "old Macs' line ends": rows(*GOOD).replace("\n", "\r"),
    "Excel's sep line": "sep=;\n" + rows(*GOOD).replace(",", ";"),
    "Excel's sep line in quotes": '"sep=,"\r\n' + rows(*GOOD),
    "a sep line with a tab": "SEP=\t\n" + rows(*GOOD).replace(",", "\t"),
    "a mark and a sep line": "\ufeffsep=;\n" + rows(*GOOD).replace(",", ";"),
    "bars": rows(*GOOD).replace(",", "|"),
    "empty lines above, between and below": "\n\n" + rows(*GOOD).replace("\n", "\n\n") + "\n,,\n\n",
    "separators at the end": rows(*(f"{row},,," for row in GOOD)),
    "an unnamed column": rows(*(f"{row}," for row in GOOD), header=f"{HEADER},"),
    "pandas' index": rows(*(f"{n},{row}" for n, row in enumerate(GOOD)), header=f",{HEADER}"),
    "quotes and spaces": rows(*(", ".join(f'"{cell}" ' for cell in row.split(",")) for row in GOOD)),
    "a semicolon header with commas in a name": rows(
        *(f"{row.replace(',', ';')};x" for row in GOOD), header="image;label;group;notes, signs, remarks, more"
    ),
    "spaces that do not break": rows(*(row.replace(",ill", ",\u00a0ill\u200b") for row in GOOD)),
    "UTF-8 with a mark": "\ufeff" + rows(*GOOD),
}


@pytest.mark.parametrize("text", READ.values(), ids=READ)
def test_what_programs_write_is_read_the_same(text: str, tmp_path: Path) -> None:
    data = load_data(table(tmp_path / "d", text), DataConfig())
    assert data.classes == ("ill", "well")
    assert [(sample.id, sample.label, sample.group) for sample in data.samples] == [
        ("a.png", 0, "p1"), ("b.png", 1, "p2"), ("c.png", 0, "p3"), ("d.png", 1, "p4"),
    ]  # fmt: skip


MISSING = [
    "nan",
    "NaN",
    "NA",
    "N/A",
    "#N/A",
    "None",
    "null",
    "NULL",
    "-",
    "--",
    "–",
    "?",
    "<NA>",
    "NaT",
    "\\N",
    "#REF!",
    " ",
    ".",
]


@pytest.mark.parametrize("word", MISSING)
def test_words_for_nothing_are_no_label_and_no_group(word: str, tmp_path: Path) -> None:
    root = table(tmp_path / "d", rows(f"a.png,ill,{word}", f"b.png,well,{word}", "c.png,ill,p3", "d.png,well,p4"))
    data = load_data(root, DataConfig())
    assert [sample.group for sample in data.samples] == [None, None, "p3", "p4"]
    assert any("2 images have no group while others do" in note for note in data.notes)
    table(root, rows(f"a.png,{word},p1", *GOOD[1:]))
    with pytest.raises(DataError, match=r"line 2: 'a\.png' has no label"):
        load_data(root, DataConfig())


def test_a_recipe_may_have_a_class_that_is_called_none(tmp_path: Path) -> None:
    root = table(tmp_path / "d", rows("a.png,none,p1", "b.png,lip,p2"))
    with pytest.raises(DataError, match="'none' is what programs write where there is none") as caught:
        load_data(root, DataConfig())
    assert "data.classes" in caught.value.hint
    assert load_data(root, DataConfig(classes=("none", "lip"))).classes == ("none", "lip")


def test_class_names_in_two_unicode_forms_are_one(tmp_path: Path) -> None:
    root = table(tmp_path / "d", rows("a.png,früh,p1", f"b.png,{NFD},p2", "c.png,spät,p3", "d.png,spät\u200b,p4"))
    for config in (DataConfig(), DataConfig(classes=(NFD, "spät")), DataConfig(labels={"früh": "x", "spät": "y"})):
        data = load_data(root, config)
        assert [sample.label for sample in data.samples] == [0, 0, 1, 1]
        assert len(data.classes) == 2


def with_a_third_label(root: Path, label: str) -> Path:
    names = [f"{n}.png" for n in range(20)]
    lines = [f"{name},{('ill', 'well', label)[n % 3]},p{n}" for n, name in enumerate(names)]
    return table(root, rows(*lines), *names)


@pytest.mark.parametrize("label", ["ill ", "i\u00adll", "ill\u00a0", "\ufeffill"])
def test_labels_that_look_the_same_are_one(label: str, tmp_path: Path) -> None:
    assert load_split(with_a_third_label(tmp_path / "d", label), DataConfig())[0].classes == ("ill", "well")


@pytest.mark.parametrize("label", ["ILL", "ｉｌｌ", "Ill"])
def test_labels_that_differ_in_their_form_only_are_refused(label: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="differ in case, spaces or Unicode form only"):
        load_split(with_a_third_label(tmp_path / "d", label), DataConfig())


def test_numbers_that_pandas_wrote_as_fractions(tmp_path: Path) -> None:
    root = table(tmp_path / "d", rows("1.0,1.0,7.0", "2.0,0.0,8.0"), "001.png", "002.png")
    data = load_data(root, DataConfig(labels={"0": "well", "1": "ill"}))
    assert [(sample.id, sample.label) for sample in data.samples] == [("001.png", 1), ("002.png", 0)]


@pytest.mark.parametrize(
    "files",
    [("a.png", "a.jpg"), ("images/a.png", "images/a.jpg"), ("images/a.png", "masks/a.png"), ("a.png", "x/y/a.tif")],
)
def test_an_id_with_two_files_is_never_chosen_for(files: tuple[str, str], tmp_path: Path) -> None:
    root = table(tmp_path / "d", rows("a,ill,p1", "b,well,p2"), *files, "b.png")
    with pytest.raises(DataError, match=r"line 2: 'a' may be .*a\.(png|jpg|tif) or .*a\.(png|jpg|tif)"):
        load_data(root, DataConfig())
    folder = files[0].rpartition("/")[0]
    if folder and not files[1].startswith(folder):
        assert load_data(root, DataConfig(image_folders=(folder,))).samples[0].id == files[0]


def test_a_number_that_is_two_names_is_ambiguous(tmp_path: Path) -> None:
    root = table(tmp_path / "d", rows("7,ill,p1", "8,well,p2"), "7.png", "007.png", "8.png")
    with pytest.raises(DataError, match=r"'7' may be 7\.png or 007\.png"):
        load_data(root, DataConfig())


ELSEWHERE = [
    r"C:\Users\ann\set\images\one\a.png", r"images\one\a.png", r"\\server\share\one\a.png", "/home/a/images/one/a.png",
    "/mnt/c/images/one/a.png", r"D:images\one\a.png", "file:///C:/images/one/a.png", "~/set/one/a.png",
    r"\\?\C:\images\one\a.png", "./images/one/a.png", "images/two/../one/a.png", r".\images\one\A.PNG", "one/a.png",
]  # fmt: skip


@pytest.mark.parametrize("cell", ELSEWHERE)
def test_paths_of_another_machine_are_found_by_name_and_said(cell: str, tmp_path: Path) -> None:
    names = ("images/one/a.png", "images/two/a.png", "images/one/b.png")
    root = table(tmp_path / "d", rows(f"{cell},ill,p1", "images/one/b.png,well,p2"), *names)
    data = load_data(root, DataConfig())
    assert [sample.id for sample in data.samples] == ["images/one/a.png", "images/one/b.png"]
    direct = cell.replace("\\", "/").startswith(("images", "./images")) and "PNG" not in cell
    assert direct or any("1 images are not at the path that labels.csv names" in note for note in data.notes)


@pytest.mark.parametrize("cell", [r"C:\other\a.png", "/other/a.png", "../a.png", r"..\one\a.png", "three/a.png"])
def test_paths_that_may_mean_two_files_or_none_are_refused(cell: str, tmp_path: Path) -> None:
    names = ("images/one/a.png", "images/two/a.png", "images/one/b.png")
    root = table(tmp_path / "d", rows(f"{cell},ill,p1", "images/one/b.png,well,p2"), *names)
    with pytest.raises(
        DataError, match=r"line 2: (no image file for|'.*' may be images/one/a\.png or images/two/a\.png)"
    ):
        load_data(root, DataConfig())


def test_an_absolute_path_on_this_machine(tmp_path: Path) -> None:
    root = tmp_path / "d"
    table(root, rows(f"{root}/images/a.png,ill,p1", "b.png,well,p2"), "images/a.png", "two/a.png", "b.png")
    assert load_data(root, DataConfig()).samples[0].id == "images/a.png"


def test_two_rows_that_find_one_file_are_refused(tmp_path: Path) -> None:
    root = table(tmp_path / "d", rows(r"C:\x\a.png,ill,p1", r"C:\y\a.png,well,p2"), "images/a.png")
    with pytest.raises(DataError, match="is named twice"):
        load_data(root, DataConfig())


def test_names_in_the_form_of_another_file_system(tmp_path: Path) -> None:
    root = table(tmp_path / "d", rows("früh.png,ill,p1", "B,well,p2"), f"{NFD}.png", "b.png")
    assert [sample.id for sample in load_data(root, DataConfig()).samples] == [f"{NFD}.png", "b.png"]


NO_TABLES = [b"PK\x03\x04xlsx", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", b"PAR1", b"\x1f\x8b\x08", b"<!DOCTYPE html><html>",
             b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n", b"%PDF-1.7", b"{\\rtf1"]  # fmt: skip


@pytest.mark.parametrize("content", NO_TABLES)
def test_what_is_no_table_is_named_for_what_it_is(content: bytes, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"labels\.csv is .*, not a CSV file"):
        load_data(table(tmp_path / "d", content), DataConfig())


@pytest.mark.parametrize(
    "config",
    [DataConfig(table="HAM10000_metadata.csv"), DataConfig(group_column="lesion_id"), DataConfig(label_column="dx"),
     DataConfig(split_files={"train.txt": "train"}), DataConfig(subgroup_columns=("sex",))],
)  # fmt: skip
def test_a_recipe_without_its_table_does_not_guess_at_folders(config: DataConfig, tmp_path: Path) -> None:
    root = images(tmp_path / "d", *(f"{name}/{n}.png" for name in ("one", "two") for n in range(3)))
    (root / "metadata.csv").write_text("x")
    with pytest.raises(DataError, match=f"the recipe's table {config.table} is not here") as caught:
        load_data(root, config)
    assert "--set data.table='metadata.csv'" in caught.value.hint


def test_a_table_in_a_folder_of_its_own(tmp_path: Path) -> None:
    root = images(tmp_path / "d", "images/a.png", "images/b.png")
    (root / "tables").mkdir()
    (root / "tables/all.csv").write_text(rows("../images/a.png,ill,p1", "b.png,well,p2"))
    data = load_data(root, DataConfig(table="tables/all.csv"))
    assert [sample.id for sample in data.samples] == ["images/a.png", "images/b.png"]
    assert data.read(data.samples[0])


def test_a_broken_quote_in_every_line_is_not_read_for_ever(tmp_path: Path) -> None:
    text = rows(*(f'{n}.png,"ill"x,p{n}' for n in range(5000)))
    with pytest.raises(DataError, match=r"\(21\)"):
        load_data(table(tmp_path / "d", text), DataConfig())


SPLITS = {
    "a column of another name": ("partition", ["train", "val", "test", "train"], "the column 'partition' names parts"),
    "in other words": ("subset", ["Training", "validate", "testing", "Training"], "the column 'subset' names parts"),
}


@pytest.mark.parametrize(("column", "words", "reported"), SPLITS.values(), ids=SPLITS)
def test_an_official_split_is_never_dropped(column: str, words: list[str], reported: str, tmp_path: Path) -> None:
    text = rows(*(f"{row},{word}" for row, word in zip(GOOD, words, strict=True)), header=f"{HEADER},{column}")
    root = table(tmp_path / "d", text)
    with pytest.raises(DataError, match=reported):
        load_data(root, DataConfig())
    found = [sample.split for sample in load_data(root, DataConfig(split_column=column)).samples]
    assert found == ["train", "val", "test", "train"]
    assert {sample.split for sample in load_data(root, DataConfig(split_column="")).samples} == {None}


def test_folders_of_a_tables_images_are_its_split(tmp_path: Path) -> None:
    names = ("train/a.png", "train/b.png", "test/c.png", "test/d.png")
    text = rows(*(row.replace(row[:5], name) for row, name in zip(GOOD, names, strict=True)))
    root = table(tmp_path / "d", text, *names)
    data = load_data(root, DataConfig())
    assert [sample.split for sample in data.samples] == ["train", "train", "test", "test"]
    assert any("taken for its split" in note for note in data.notes)
    table(root, text + "e.png,ill,p5\n", *names, "e.png")
    with pytest.raises(DataError, match=r"lie in folders of test, train, but e\.png in none"):
        load_data(root, DataConfig())


def test_lists_of_the_set_must_be_there_and_agree(tmp_path: Path) -> None:
    config = DataConfig(split_files={"train.txt": "train", "test.txt": "test"})
    root = table(tmp_path / "d", rows(*GOOD))
    with pytest.raises(DataError, match=r"the recipe's list train\.txt is not here"):
        load_data(root, config)
    (root / "train.txt").write_bytes(b"\xef\xbb\xbfa.png\r\nimages\\b.png\r\n")
    (root / "test.txt").write_text("c\nd.png")
    assert [sample.split for sample in load_data(root, config).samples] == ["train", "train", "test", "test"]
    (root / "test.txt").write_text("c.png\nd.png\nb.png\n")
    with pytest.raises(DataError, match=r"1 images are in two of train\.txt, test\.txt \(for example b\.png\)"):
        load_data(root, config)


def test_a_rare_class_that_other_columns_speak_of_too_is_a_class(tmp_path: Path) -> None:
    names = [f"{n}.png" for n in range(24)]
    words = ["large polyp" if n < 2 else ("polyp", "well")[n % 2] for n in range(24)]
    lines = [f"{name},{word},p{n},{word}" for n, (name, word) in enumerate(zip(names, words, strict=True))]
    root = table(tmp_path / "d", rows(*lines, header=f"{HEADER},text"), *names)
    assert load_data(root, DataConfig()).classes == ("large polyp", "polyp", "well")
