"""The one thing that this kit takes from EXIF: which way up an image is (CIPA DC-008, tag 0x0112)."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence

_ORIENTATION = 0x0112


def exif_orientation(*blocks: bytes) -> int:
    """Orientation 1…8 of a file's EXIF blocks (each a small TIFF); the first valid one counts.

    EXIF beyond 64 kB lies in several segments of a JPEG, which belong together; they are read as one first, as Pillow
    does. Damaged, empty or missing metadata means nothing: no reason to refuse an image, or to turn it.
    """
    if len(blocks) == 1:
        return _valid(blocks[0]) or 1
    return next((value for block in _readings(blocks) if (value := _valid(block))), 1)


def _readings(blocks: Sequence[bytes]) -> Iterator[bytes]:
    if blocks:
        yield b"".join(blocks)
        yield from blocks


def _valid(tiff: bytes) -> int:
    """The first orientation of a block that is one; 0: it has none."""
    if tiff[:4] not in (b"II*\0", b"MM\0*"):
        return 0
    try:
        return next((value for value in _orientations(tiff) if 1 <= value <= 8), 0)
    except struct.error:  # it ends inside its directory
        return 0


def _orientations(tiff: bytes) -> Iterator[int]:
    """The values of the first directory, SHORT or LONG."""
    order = "<" if tiff[:2] == b"II" else ">"
    (start,) = struct.unpack_from(order + "I", tiff, 4)
    (count,) = struct.unpack_from(order + "H", tiff, start)
    for index in range(count):
        entry = start + 2 + 12 * index
        tag, kind, number = struct.unpack_from(order + "HHI", tiff, entry)
        if tag != _ORIENTATION or kind not in (3, 4):
            continue
        letter, size = ("H", 2) if kind == 3 else ("I", 4)
        place = entry + 8
        if number * size > 4:  # the value does not fit its field, which then holds an offset
            (place,) = struct.unpack_from(order + "I", tiff, place)
        yield struct.unpack_from(order + letter, tiff, place)[0]
