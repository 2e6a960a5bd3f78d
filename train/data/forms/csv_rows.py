"""A CSV file as people save it: comma, semicolon or tab, spaces after them, and perhaps in another encoding."""

from __future__ import annotations

import codecs
import csv
import io
from dataclasses import dataclass
from pathlib import Path

from fieldlens.train.errors import Problem

Row = dict[str, str]


@dataclass(frozen=True)
class Table:
    """Numbered rows and the column names, without the spaces around them. ``problem``: a wrong encoding."""

    name: str
    columns: tuple[str, ...]
    rows: tuple[tuple[int, Row], ...]
    problem: Problem | None = None


def read_csv(path: Path) -> Table:
    """Read the file; in another encoding than UTF-8 it is read all the same, so that all problems are told at once."""
    text, encoding = decoded(path.read_bytes())
    first = text.partition("\n")[0]
    delimiter = max(",;\t", key=first.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True)
    columns = tuple(name.strip() for name in next(reader, []))
    rows = tuple(
        (reader.line_num, {name: cell.strip() for name, cell in zip(columns, cells, strict=False)})
        for cells in reader
        if any(cell.strip() for cell in cells)
    )
    return Table(path.name, columns, rows, _wrong(path.name, encoding))


def decoded(data: bytes) -> tuple[str, str]:
    """The text, and the encoding by iconv's name. Spreadsheets write UTF-16 with a mark, or Windows-1252."""
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return data.decode("utf-16", errors="replace"), "UTF-16"
    if b"\0" in data[:4]:
        name = "UTF-16LE" if data[1:2] == b"\0" else "UTF-16BE"
        return data.decode(name, errors="replace"), name
    for encoding, name in (("utf-8-sig", "UTF-8"), ("cp1252", "WINDOWS-1252")):
        try:
            return data.decode(encoding), name
        except UnicodeDecodeError:
            continue
    return data.decode("latin-1"), "ISO-8859-1"


def _wrong(name: str, encoding: str) -> Problem | None:
    if encoding == "UTF-8":
        return None
    hint = f"save it as 'CSV UTF-8', or run: iconv -f {encoding} -t UTF-8 {name} > new.csv"
    return Problem(f"{name} is not UTF-8; it looks like {encoding}", hint)
