"""The one thing that this kit takes from EXIF: which way up an image is (CIPA DC-008, tag 0x0112)."""

from __future__ import annotations

import struct

_ORIENTATION = 0x0112


def exif_orientation(tiff: bytes) -> int:
    """Orientation 1…8 of an EXIF block (a small TIFF). Damaged or missing metadata means upright: no reason to refuse
    an image."""
    try:
        value = _first_values(tiff).get(_ORIENTATION, 1)
    except (struct.error, IndexError):
        return 1
    return value if 1 <= value <= 8 else 1


def _first_values(tiff: bytes) -> dict[int, int]:
    """First image directory of a TIFF: tag → first value, for SHORT and LONG tags."""
    order = "<" if tiff[:2] == b"II" else ">"
    (start,) = struct.unpack_from(order + "I", tiff, 4)
    (count,) = struct.unpack_from(order + "H", tiff, start)
    tags: dict[int, int] = {}
    for index in range(count):
        entry = start + 2 + 12 * index
        tag, kind, number = struct.unpack_from(order + "HHI", tiff, entry)
        if kind not in (3, 4):
            continue
        letter, size = ("H", 2) if kind == 3 else ("I", 4)
        place = entry + 8
        if number * size > 4:  # the value does not fit its field, which then holds an offset
            (place,) = struct.unpack_from(order + "I", tiff, place)
        (tags[tag],) = struct.unpack_from(order + letter, tiff, place)
    return tags
