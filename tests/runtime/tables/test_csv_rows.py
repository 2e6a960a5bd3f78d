from __future__ import annotations

from pathlib import Path

import pytest

from fieldlens.runtime.tables.csv_rows import read_csv
from fieldlens.runtime.tables.encodings import decoded

TEXT = "image,label\na.png,früh\n"


@pytest.mark.parametrize(
    ("encoding", "reported"),
    [
        ("utf-8", "UTF-8"),
        ("utf-8-sig", "UTF-8"),
        ("cp1252", "WINDOWS-1252"),
        ("utf-16", "UTF-16"),
        ("utf-16-le", "UTF-16LE"),
        ("utf-16-be", "UTF-16BE"),
    ],
)
def test_encodings_are_recognised_and_read_all_the_same(encoding: str, reported: str) -> None:
    assert decoded(TEXT.encode(encoding)) == (TEXT, reported)


def test_bytes_of_no_windows_letter_are_latin_1() -> None:
    assert decoded(b"image\x81") == ("image\x81", "ISO-8859-1")


def test_a_wrong_encoding_is_named_with_the_command_that_mends_it(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text(TEXT, encoding="cp1252")
    table = read_csv(tmp_path / "labels.csv")
    assert table.rows == ((2, {"image": "a.png", "label": "früh"}),)
    (problem,) = table.problems
    assert "WINDOWS-1252" in problem.text
    assert "iconv -f WINDOWS-1252 -t UTF-8 labels.csv" in problem.hint


def test_quoted_cells_may_hold_the_delimiter_and_line_ends(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text('image;label\n"a;b.png";"x\ny"\n\n c.png ; z \n', encoding="utf-8")
    table = read_csv(tmp_path / "x.csv")
    assert [row for _, row in table.rows] == [
        {"image": "a;b.png", "label": "x\ny"},
        {"image": "c.png", "label": "z"},
    ]
    assert not table.problems
