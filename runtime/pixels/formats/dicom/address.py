"""Whether bytes are a DICOM file, and which of its frames a name means. Needs no DICOM library."""

from __future__ import annotations

SUFFIXES = frozenset({".dcm", ".dicom", ".dic", ".ima"})
_AT, _MAGIC = 128, b"DICM"
HEAD_BYTES = _AT + len(_MAGIC)
"""So much of a file shows what it is."""


def is_dicom(data: bytes | memoryview) -> bool:
    """By the four letters after the preamble (PS3.10, 7.1), whatever the file is called."""
    return bytes(data[_AT:HEAD_BYTES]) == _MAGIC


def frame_of(name: str) -> int | None:
    """The k of ``FILE#k``, from 1; None where the name says none."""
    _, mark, number = name.rpartition("#")
    return int(number) if mark and number.isascii() and number.isdigit() and len(number) < 10 else None


def frame_name(name: str, frame: int, frames: int) -> str:
    """``FILE#k`` where there are several, from 1; the name itself where there is one."""
    return name if frames == 1 else f"{name}#{frame}"
