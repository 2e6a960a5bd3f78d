"""The pixels of a plain TIFF, strictly: every strip must hold its pixels, no fewer and no more.

OpenCV reads eight bits per channel through a call of libtiff that hides its errors (``TIFFReadRGBAStrip``), and sixteen
through one that reports them (``TIFFReadEncodedStrip``). So LZW is handed to it as an image of 16-bit samples, two
bytes of a row in each, and taken apart here. Deflate is left to zlib, which also compares the checksum that libtiff
passes over, and PackBits is read here, because libtiff only warns of strips that hold more than they should.
"""

from __future__ import annotations

import struct
import sys
import time
import zlib
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from fieldlens.runtime.errors import ImageError
from fieldlens.runtime.pixels.formats.tiff_structure import (
    ASSOCIATED,
    DEFLATE,
    DEFLATE_OLD,
    LZW,
    NONE,
    PACKBITS,
    Layout,
)
from fieldlens.runtime.pixels.transparency import on_black

_PIECE = 65_536
_AGAIN = "take or export the image again"


def reads(layout: Layout) -> bool:
    """Whether :func:`pixels_rgb` can read this one; OpenCV takes the others."""
    if not layout.plain or layout.predictor not in (1, 2):
        return False
    return layout.compression != LZW or layout.across % 2 == 0


def pixels_rgb(data: bytes, layout: Layout, name: str, seconds: float) -> npt.NDArray[Any]:
    """Grey ``[H,W]`` or RGB ``[H,W,3]``, uint8 or uint16. Raises ImageError, after ``seconds`` of unpacking too."""
    rows = _rows(data, layout, name, time.monotonic() + seconds)
    samples: npt.NDArray[Any] = rows.view(np.uint8 if layout.bits == 8 else layout.order + "u2")
    if not samples.dtype.isnative:
        samples = samples.astype(np.uint16)
    pixels = samples.reshape(layout.height, layout.width, layout.channels)
    if layout.predictor == 2:  # each sample is stored as what it adds to its neighbour on the left
        pixels = np.cumsum(pixels, axis=1, dtype=pixels.dtype)
    if layout.inverted:
        pixels = pixels.copy()
        np.subtract(np.iinfo(pixels.dtype).max, pixels[..., 0], out=pixels[..., 0])
    if layout.alpha:
        return on_black(pixels, premultiplied=layout.alpha == ASSOCIATED)
    return pixels[..., 0] if layout.channels < 3 else pixels[..., :3]


def _rows(data: bytes, layout: Layout, name: str, until: float) -> npt.NDArray[np.uint8]:
    """The decoded strips, one below the other, ``[H, across]``."""
    if layout.compression == LZW:
        return _through_opencv(data, layout, name)
    rows, read = bytearray(), _READERS[layout.compression]
    for offset, stored, size in layout.blocks:
        strip = read(memoryview(data)[offset : offset + stored], size, until)
        if len(strip) != size:
            late = time.monotonic() > until
            what = "unpacking took too long (decompression bomb?)" if late else "corrupt TIFF (a strip is not its rows)"
            raise ImageError(f"{name}: {what}", _AGAIN)
        rows += strip
    return np.frombuffer(rows, np.uint8).reshape(layout.height, layout.across)


def _plain(strip: memoryview, size: int, until: float) -> memoryview:
    return strip[:size]


def _inflated(strip: memoryview, size: int, until: float) -> bytearray:
    """One zlib stream; of the right size only where it ends there and keeps its checksum. In pieces, so that one that
    only pretends to hold data can be stopped."""
    inflater, inflated = zlib.decompressobj(), bytearray()
    try:
        for start in range(0, len(strip), _PIECE):
            inflated += inflater.decompress(strip[start : start + _PIECE], size + 1 - len(inflated))
            if len(inflated) > size or time.monotonic() > until:
                break
    except zlib.error:
        return bytearray()
    return inflated if inflater.eof else bytearray()


def _unpacked(strip: memoryview, size: int, until: float) -> bytearray:
    """PackBits (TIFF 6.0, section 9)."""
    stored, unpacked, place, end = bytes(strip), bytearray(), 0, len(strip)
    while place < end:
        if len(unpacked) > size or (place % 1024 == 0 and time.monotonic() > until):
            return bytearray()
        count = stored[place]
        if count < 128:
            unpacked += stored[place + 1 : place + 2 + count]
            place += 2 + count
        elif count > 128:
            unpacked += stored[place + 1 : place + 2] * (257 - count)
            place += 2
        else:  # nothing
            place += 1
    return unpacked if place == end else bytearray()


_READERS: dict[int, Callable[[memoryview, int, float], bytes | bytearray | memoryview]] = {
    NONE: _plain,
    DEFLATE: _inflated,
    DEFLATE_OLD: _inflated,
    PACKBITS: _unpacked,
}


def _through_opencv(data: bytes, layout: Layout, name: str) -> npt.NDArray[np.uint8]:
    try:
        words = cv2.imdecode(np.frombuffer(_as_words(data, layout), np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error:
        words = None
    if words is None or words.shape != (layout.height, layout.across // 2) or words.dtype != np.uint16:
        raise ImageError(f"{name}: corrupt TIFF (a strip does not hold its pixels)", _AGAIN)
    # libtiff turned each pair of bytes into a number of this machine's; turn it back.
    stored = words if (layout.order == "<") == (sys.byteorder == "little") else words.byteswap()
    return stored.view(np.uint8)


def _as_words(data: bytes, layout: Layout) -> bytes:
    """The same file with another directory at its end: one grey 16-bit sample for two bytes of a row."""
    start = len(data) + len(data) % 2
    count = len(layout.blocks)
    offsets_at = start + 2 + 10 * 12 + 4
    tags = (
        (256, 4, 1, layout.across // 2), (257, 4, 1, layout.height), (258, 3, 1, 16), (259, 3, 1, layout.compression),
        (262, 3, 1, 1), (273, 4, count, offsets_at), (277, 3, 1, 1), (278, 4, 1, layout.rows),
        (279, 4, count, offsets_at + 4 * count), (284, 3, 1, 1),
    )  # fmt: skip
    order, directory = layout.order, b""
    for tag, kind, number, value in tags:
        if tag in (273, 279) and number == 1:
            value = layout.blocks[0][0 if tag == 273 else 1]  # fits into the entry itself
        directory += struct.pack(order + ("HHIHxx" if kind == 3 else "HHII"), tag, kind, number, value)
    arrays = struct.pack(f"{order}{2 * count}I", *(block[0] for block in layout.blocks), *(b[1] for b in layout.blocks))
    head = data[:4] + struct.pack(order + "I", start)
    return b"".join(
        (head, data[8:], bytes(len(data) % 2), struct.pack(order + "H", len(tags)), directory, bytes(4), arrays)
    )
