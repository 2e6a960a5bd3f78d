"""The chunks of a WebP (RFC 9649): a still image, whose frame is as large as its canvas, and nothing behind it.

A WebP has no checksum. Runs of zeros are no sign of damage either: both of its codings write them for flat parts.
"""

from __future__ import annotations

import math
import struct
from typing import NamedTuple

from fieldlens.runtime.errors import ImageError
from fieldlens.runtime.pixels.decode_limits import Work
from fieldlens.runtime.pixels.formats.exif import exif_orientation

_MOST_CHUNKS = 1000
_ALPHA, _ANIMATED = 0x10, 0x02
_ONCE = (b"VP8 ", b"VP8L", b"VP8X", b"ALPH")
_PER_PIXEL_S = 40e-9
_PER_BYTE_S = 40e-9
_LEAST_PER_PIXEL_S = 2e-9
_LOSSLESS_BYTES, _ALPHA_BYTES = 2, 4  # per pixel, beside the result and its copy
_AGAIN = "take or export the image again"


class Webp(NamedTuple):
    """``channels`` as OpenCV gives them unchanged."""

    width: int
    height: int
    channels: int
    orientation: int
    work: Work


def read_webp(data: bytes, name: str) -> Webp:
    """Raises ImageError, and struct.error where the file ends inside a header."""
    (size,) = struct.unpack_from("<I", data, 4)
    if len(data) < size + 8:
        raise ImageError(f"{name}: truncated WebP ({len(data)} of {size + 8} bytes)", _AGAIN)
    if len(data) > size + 8 + size % 2:
        raise ImageError(f"{name}: corrupt WebP ({len(data) - size - 8} bytes behind its end)", _AGAIN)
    chunks = _chunks(data, name)
    canvas, alpha = None, False
    if extended := chunks.get(b"VP8X"):
        if data[extended[0]] & _ANIMATED or b"ANIM" in chunks or b"ANMF" in chunks:
            raise ImageError(f"{name}: an animated WebP", "export the one image that is meant")
        width, height = (int.from_bytes(data[extended[0] + at : extended[0] + at + 3], "little") for at in (4, 7))
        canvas, alpha = (width + 1, height + 1), b"ALPH" in chunks or bool(data[extended[0]] & _ALPHA)
    lossless = b"VP8L" in chunks
    if lossless == (b"VP8 " in chunks) or (lossless and b"ALPH" in chunks):
        raise ImageError(f"{name}: corrupt WebP (it must hold one image)", _AGAIN)
    start, length = chunks[b"VP8L" if lossless else b"VP8 "]
    width, height, transparent = (_lossless if lossless else _lossy)(data, start, length, name)
    if canvas not in (None, (width, height)):
        raise ImageError(f"{name}: corrupt WebP (an image of {width}×{height} on a canvas of {canvas})", _AGAIN)
    exif = chunks.get(b"EXIF", (0, 0))
    orientation = exif_orientation(data[exif[0] : sum(exif)].removeprefix(b"Exif\0\0")) if exif[1] else 1
    pixels = width * height
    most_s = math.inf if lossless or alpha else pixels * _PER_PIXEL_S + len(data) * _PER_BYTE_S
    beside = pixels * (_LOSSLESS_BYTES * lossless + _ALPHA_BYTES * (alpha or transparent)) + 1_000_000
    work = Work(pixels * _LEAST_PER_PIXEL_S, most_s, beside)
    return Webp(width, height, 4 if alpha or transparent else 3, orientation, work)


def _chunks(data: bytes, name: str) -> dict[bytes, tuple[int, int]]:
    """Name → (start of the body, length) of the first of each; they fill the file exactly."""
    chunks: dict[bytes, tuple[int, int]] = {}
    position = 12
    for _ in range(_MOST_CHUNKS):
        if position >= len(data):
            return chunks
        kind = data[position : position + 4]
        (length,) = struct.unpack_from("<I", data, position + 4)
        if kind in chunks and kind in _ONCE:
            raise ImageError(f"{name}: corrupt WebP (several chunks {kind!r})", _AGAIN)
        chunks.setdefault(kind, (position + 8, length))
        position += 8 + length
        if position > len(data):
            raise ImageError(f"{name}: truncated WebP (chunk {kind!r} ends beyond the file)", _AGAIN)
        position += length % 2
    raise ImageError(f"{name}: a WebP of more than {_MOST_CHUNKS} chunks", "export the one image that is meant")


def _lossy(data: bytes, start: int, length: int, name: str) -> tuple[int, int, bool]:
    """Width and height of a VP8 key frame (RFC 6386, 9.1)."""
    tag = int.from_bytes(data[start : start + 3], "little")
    shown, partition = tag >> 4 & 1, tag >> 5
    if tag & 1 or not shown or data[start + 3 : start + 6] != b"\x9d\x01\x2a" or partition > length - 10:
        raise ImageError(f"{name}: corrupt WebP (no key frame)", _AGAIN)
    width, height = struct.unpack_from("<HH", data, start + 6)
    return width & 0x3FFF, height & 0x3FFF, False


def _lossless(data: bytes, start: int, length: int, name: str) -> tuple[int, int, bool]:
    """Width, height and whether alpha is used, of a VP8L stream (RFC 9649, 3.4)."""
    (packed,) = struct.unpack_from("<I", data, start + 1)
    if length < 6 or data[start] != 0x2F or packed >> 29:
        raise ImageError(f"{name}: corrupt WebP (no lossless stream)", _AGAIN)
    return (packed & 0x3FFF) + 1, (packed >> 14 & 0x3FFF) + 1, bool(packed >> 28 & 1)
