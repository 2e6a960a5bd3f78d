"""Which encoding a table is in, and whether it is text at all."""

from __future__ import annotations

import codecs

from fieldlens.runtime.tables.problems import Problem

_NOT_TEXT = (
    (b"PK\x03\x04", "an Excel or OpenDocument workbook, or another archive"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Excel workbook"),
    (b"PAR1", "a Parquet file"),
    (b"ARROW1", "an Arrow file"),
    (b"\x1f\x8b", "compressed with gzip"),
    (b"BZh", "compressed with bzip2"),
    (b"\xfd7zXZ", "compressed with xz"),
    (b"\x28\xb5\x2f\xfd", "compressed with zstd"),
    (b"7z\xbc\xaf", "a 7z archive"),
    (b"Rar!", "a RAR archive"),
    (b"%PDF", "a PDF"),
    (b"SQLite format 3", "an SQLite database"),
    (b"\x89PNG", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"{\\rtf", "a rich-text document"),
)
_PAGES = (b"<!doctype html", b"<html", b"<?xml", b"<table", b"version https://git-lfs")
_MARKS = (
    (codecs.BOM_UTF32_LE, "UTF-32"), (codecs.BOM_UTF32_BE, "UTF-32"),  # before UTF-16, whose mark begins alike
    (codecs.BOM_UTF16_LE, "UTF-16"), (codecs.BOM_UTF16_BE, "UTF-16"),
)  # fmt: skip


def not_text(data: bytes) -> str:
    """What a file is that is no table; empty where it may be one."""
    for begin, what in _NOT_TEXT:
        if data.startswith(begin):
            return what
    head = data[:200].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if head.startswith(_PAGES[-1]):
        return "a Git LFS pointer to the file (git lfs pull)"
    return "a page of HTML or XML" if head.startswith(_PAGES[:-1]) else ""


def decoded(data: bytes) -> tuple[str, str]:
    """The text, and the encoding by iconv's name. Spreadsheets write UTF-16 with a mark, or Windows-1252."""
    for mark, name in _MARKS:
        if data.startswith(mark):
            return data.decode(name, errors="replace"), name
    if b"\0" in data[:4] and (name := _wide(data[:4])):
        return data.decode(name, errors="replace"), name
    for encoding, name in (("utf-8-sig", "UTF-8"), ("cp1252", "WINDOWS-1252")):
        try:
            return data.decode(encoding), name
        except UnicodeDecodeError:
            continue
    return data.decode("latin-1"), "ISO-8859-1"


def _wide(head: bytes) -> str:
    """Two bytes a letter without a mark: every second one of the first four is zero."""
    zeros = "".join("0" if byte == 0 else "x" for byte in head)
    return {"x0x0": "UTF-16LE", "0x0x": "UTF-16BE"}.get(zeros, "")


def not_utf_8(name: str, encoding: str) -> Problem:
    """Names the encoding, and the command that changes it."""
    hint = f"save it as 'CSV UTF-8', or run: iconv -f {encoding} -t UTF-8 {name} > new.csv"
    return Problem(f"{name} is not UTF-8; it looks like {encoding}", hint)
