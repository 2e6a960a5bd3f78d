"""The header of a BMP (BITMAPCOREHEADER, and BITMAPINFOHEADER with its successors).

A BMP has no checksum, so its length is all that can be held against its header.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from fieldlens.runtime.errors import ImageError
from fieldlens.runtime.pixels.decode_limits import Work

_HEADERS = (12, 40, 52, 56, 64, 108, 124)
_DEPTHS = {0: (1, 4, 8, 16, 24, 32), 3: (16, 32)}
_COMPRESSIONS = {1: "RLE8", 2: "RLE4", 4: "JPEG", 5: "PNG", 6: "alpha masks"}
_PADDING = 3
_PER_PIXEL_S, _LEAST_PER_PIXEL_S = 6e-9, 0.4e-9
_AGAIN = "take or export the image again"
_AS_PNG = "export it as PNG"


class Bmp(NamedTuple):
    """``channels`` as OpenCV gives them unchanged."""

    width: int
    height: int
    channels: int
    work: Work


def read_bmp(data: bytes, name: str) -> Bmp:
    """Raises ImageError (truncated, more than the image, a kind that is not read), and struct.error where the file ends
    inside its header."""
    size, offset, header = struct.unpack_from("<I4xII", data, 2)
    if header not in _HEADERS:
        raise ImageError(f"{name}: corrupt BMP (a header of {header} bytes)", _AGAIN)
    if header == 12:
        width, height, planes, depth = struct.unpack_from("<HHHH", data, 18)
        compression = 0
    else:
        width, height, planes, depth, compression = struct.unpack_from("<iiHHI", data, 18)
    height = abs(height)  # negative: top row first
    if compression in _COMPRESSIONS:
        raise ImageError(f"{name}: a BMP with {_COMPRESSIONS[compression]}, which this kit does not read", _AS_PNG)
    if planes != 1 or depth not in _DEPTHS.get(compression, ()) or width < 0:
        raise ImageError(f"{name}: corrupt BMP ({planes} planes of {depth} bits, compression {compression})", _AGAIN)
    palette = 0 if depth > 8 else 2 if header == 12 else 4  # at least one colour
    if width and height and offset < 14 + header + palette:
        raise ImageError(f"{name}: corrupt BMP (its pixels begin inside its header)", _AGAIN)
    end = offset + (width * depth + 31) // 32 * 4 * height
    if len(data) < end:
        raise ImageError(f"{name}: truncated BMP ({len(data)} of {end} bytes)", _AGAIN)
    if len(data) > max(end, size) + _PADDING:
        raise ImageError(f"{name}: corrupt BMP ({len(data)} bytes, of which {end} are the image)", _AGAIN)
    pixels = width * height
    return Bmp(width, height, 4 if depth == 32 else 3, Work(pixels * _LEAST_PER_PIXEL_S, pixels * _PER_PIXEL_S))
