"""Whether bytes are a DICOM file, and which of its frames a name means. Needs no DICOM library."""

from __future__ import annotations

SUFFIXES = frozenset({".dcm", ".dicom", ".dic", ".ima"})
_AT, _MAGIC = 128, b"DICM"
_LAST_ELEMENT = 0x18
"""(0008,0018), the image's own number, is in every file: no first element lies behind it."""
HEAD_BYTES = _AT + len(_MAGIC)
"""So much of a file shows what it is."""


WITH_HEADER = "export it again, with the file's header (PS3.10)"


def is_dicom(data: bytes | memoryview) -> bool:
    """By the four letters after the preamble (PS3.10, 7.1), whatever the file is called."""
    return bytes(data[_AT:HEAD_BYTES]) == _MAGIC


def lacks_header(data: bytes | memoryview) -> bool:
    """Whether it looks like a DICOM data set alone, as old programs stored them: a first element of the groups 0002 or
    0008, with a VR or a short length. Such a file is refused: nothing in it says how it is encoded."""
    head = bytes(data[:8])
    if len(head) < 8 or head[:2] not in (b"\x08\0", b"\x02\0") or head[3] != 0 or head[2] > _LAST_ELEMENT:
        return False
    explicit = head[4:6].isalpha() and head[4:6].isupper()
    return explicit or head[5:8] == b"\0\0\0"


def frame_of(name: str) -> int | None:
    """The k of ``FILE#k``, from 1; None where the name says none."""
    _, mark, number = name.rpartition("#")
    return int(number) if mark and number.isascii() and number.isdigit() and len(number) < 10 else None


def frame_name(name: str, frame: int, frames: int) -> str:
    """``FILE#k`` where there are several, from 1; the name itself where there is one."""
    return name if frames == 1 else f"{name}#{frame}"
