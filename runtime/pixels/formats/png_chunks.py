"""The chunks of a PNG, every one with its checksum (W3C PNG 3).

libpng hands out what it has of a file that ends early, and some versions of OpenCV tell it to ignore wrong checksums.
"""

from __future__ import annotations

import struct
import zlib
from typing import NamedTuple

from fieldlens.runtime.errors import ImageError
from fieldlens.runtime.pixels.decode_limits import Work
from fieldlens.runtime.pixels.formats.exif import exif_orientation

_MOST_CHUNKS = 100_000
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
_PIXELS = frozenset({b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"})
_SMALL = _PIXELS | {b"gAMA", b"cHRM", b"sRGB", b"sBIT", b"pHYs", b"tIME", b"bKGD", b"eXIf"}
_INFLATED_AT_MOST = 1032
"""Bytes that one byte of deflate can become."""

# Seconds on the machine that decode_limits.py names.
_LEAST_PER_BYTE_S = 0.7e-9  # of the rows: a flat image
_PER_PIXEL_S = 5e-9
_PER_BYTE_S = 6e-9
_PER_STORED_BYTE_S = 80e-9  # deflate blocks that hold nothing but their own codes
_AGAIN = "take or export the image again"


class Png(NamedTuple):
    """``bits`` and ``channels`` as OpenCV gives them unchanged. ``clear``: the grey level that is transparent.

    ``parts``: (start, end) of what holds the pixels, where there is more than that; None: the whole file.
    """

    width: int
    height: int
    bits: int
    channels: int
    orientation: int
    clear: int | None
    parts: tuple[tuple[int, int], ...] | None
    work: Work


def read_png(data: bytes, name: str) -> Png:
    """Walk all chunks. Raises ImageError, and struct.error where the file ends inside its header.

    Compressed texts and profiles are left out of ``parts``: libpng inflates up to 8 MB for each, and the pixels do not
    depend on them.
    """
    position, stored, extras = 8, 0, False
    exif: list[bytes] = []
    parts: list[tuple[int, int]] = [(0, 8)]
    kinds: set[bytes] = set()
    clear = b""
    for _ in range(_MOST_CHUNKS):
        if position + 12 > len(data):
            raise ImageError(f"{name}: truncated PNG (no end chunk)", _AGAIN)
        (length,) = struct.unpack_from(">I", data, position)
        kind, end = data[position + 4 : position + 8], position + 12 + length
        if end > len(data):
            raise ImageError(f"{name}: truncated PNG (chunk {kind!r} ends beyond the file)", _AGAIN)
        (checksum,) = struct.unpack_from(">I", data, end - 4)
        if zlib.crc32(memoryview(data)[position + 4 : end - 4]) != checksum:
            raise ImageError(f"{name}: corrupt PNG (checksum of chunk {kind!r} is wrong)", _AGAIN)
        kinds.add(kind)
        if kind == b"eXIf":
            exif.append(data[position + 8 : end - 4].removeprefix(b"Exif\0\0"))
        if kind == b"tRNS":
            clear = data[position + 8 : end - 4]
        if kind in _PIXELS:
            parts.append((position, end))
            stored += length if kind == b"IDAT" else 0
        extras = extras or kind not in _SMALL
        if kind == b"IEND":
            return _png(data, name, kinds, exif_orientation(*exif), tuple(parts) if extras else None, stored, clear)
        position = end
    raise ImageError(f"{name}: a PNG of more than {_MOST_CHUNKS:,} chunks", "export it again, with larger chunks")


def _png(
    data: bytes,
    name: str,
    kinds: set[bytes],
    orientation: int,
    parts: tuple[tuple[int, int], ...] | None,
    stored: int,
    clear: bytes,
) -> Png:
    width, height, bits, colour = struct.unpack_from(">IIBB", data, 16)
    if data[8:16] != b"\0\0\0\x0dIHDR" or bits not in _DEPTHS.get(colour, ()):
        raise ImageError(f"{name}: corrupt PNG (its header is none)", _AGAIN)
    if b"acTL" in kinds:
        raise ImageError(f"{name}: an animated PNG", "export the one image that is meant")
    rows_bytes = height * (1 + (width * _CHANNELS[colour] * bits + 7) // 8)
    if b"IDAT" not in kinds or stored * _INFLATED_AT_MOST < rows_bytes * 0.99:  # interlaced rows are shorter
        raise ImageError(f"{name}: truncated PNG ({stored:,} bytes cannot hold {width}×{height} pixels)", _AGAIN)
    pixels = width * height
    most_s = pixels * _PER_PIXEL_S + rows_bytes * _PER_BYTE_S + stored * _PER_STORED_BYTE_S
    channels = 4 if colour in (4, 6) or b"tRNS" in kinds else 1 if colour == 0 else 3
    level = None
    if colour == 0 and len(clear) == 2:  # with fewer than 8 bits, OpenCV widens the levels to all of 8
        level = int.from_bytes(clear, "big") * (1 if bits >= 8 else 255 // ((1 << bits) - 1))
    work = Work(rows_bytes * _LEAST_PER_BYTE_S, most_s, 1_000_000)
    return Png(width, height, max(bits, 8), channels, orientation, level, parts, work)
