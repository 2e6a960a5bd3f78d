"""What a file says of itself before anything is decoded: format, size in pixels, bit depth, EXIF orientation, and what
decoding it will take.

Read by hand because a decoder asked for the size has often allocated it already, because OpenCV returns a full image
from a file that ends early, and because most formats have nothing but their structure that could show damage.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from fieldlens.runtime.errors import ImageError
from fieldlens.runtime.pixels.decode_limits import Work
from fieldlens.runtime.pixels.formats.bmp_header import read_bmp
from fieldlens.runtime.pixels.formats.jpeg_scans import read_frame
from fieldlens.runtime.pixels.formats.png_chunks import read_png
from fieldlens.runtime.pixels.formats.tiff_structure import Layout, read_tiff
from fieldlens.runtime.pixels.formats.webp_chunks import read_webp

_ASK_AGAIN, _GIVE = "take or export the image again", "give JPEG, PNG, BMP, TIFF or WebP"
_NAMED = (
    (0, b"GIF8", "a GIF"),
    (0, b"II+\0", "a BigTIFF"),
    (0, b"MM\0+", "a BigTIFF"),
    (0, b"\0\0\0\x0cjP  \r\n", "a JPEG 2000"),
    (0, b"\xff\x4f\xff\x51", "a JPEG 2000"),
    (0, b"\0\0\0\x0cJXL ", "a JPEG XL"),
    (0, b"\xff\x0a", "a JPEG XL"),
    (4, b"ftypavif", "an AVIF"),
    (4, b"ftypheic", "a HEIC"),
    (4, b"ftypheix", "a HEIC"),
    (4, b"ftypmif1", "a HEIF"),
    (128, b"DICM", "a DICOM file"),
    (0, b"%PDF", "a PDF"),
    (0, b"v/1\x01", "an OpenEXR"),
)
"""Where in the file, what is there, and what that is."""


class ImageHeader(NamedTuple):
    """``orientation`` is EXIF's 1…8 (1: upright); ``bits`` are per channel; ``channels`` as OpenCV gives them.

    ``parts`` (PNG): what of the file holds pixels, where that is not all of it; ``tiff``: where a TIFF's pixels lie.
    """

    format: str
    width: int
    height: int
    bits: int = 8
    orientation: int = 1
    channels: int = 3
    work: Work = Work(0.0, 0.0)
    parts: tuple[tuple[int, int], ...] | None = None
    tiff: Layout | None = None


def read_header(data: bytes, name: str) -> ImageHeader:
    """Read the header of an encoded image, and check what its format's structure allows.

    Raises ImageError (empty, not an image, truncated, corrupt, zero size, a kind that is not read), naming ``name``.
    """
    if not data:
        raise ImageError(f"{name}: the file is empty (0 bytes)", _ASK_AGAIN)
    try:
        header = _dispatch(data, name)
    except (struct.error, IndexError, OverflowError) as error:
        raise ImageError(f"{name}: truncated: it ends inside its header", _ASK_AGAIN) from error
    if header.width < 1 or header.height < 1:
        raise ImageError(f"{name}: the image has zero size ({header.width}×{header.height})", _ASK_AGAIN)
    return header


def _dispatch(data: bytes, name: str) -> ImageHeader:
    if data[:2] == b"\xff\xd8":
        return ImageHeader("jpeg", *read_frame(data, name))
    if data[:8] == b"\x89PNG\r\n\x1a\n":
        png = read_png(data, name)
        return ImageHeader(
            "png", png.width, png.height, png.bits, png.orientation, png.channels, png.work, parts=png.parts
        )
    if data[:2] == b"BM":
        bmp = read_bmp(data, name)
        return ImageHeader("bmp", bmp.width, bmp.height, channels=bmp.channels, work=bmp.work)
    if data[:4] in (b"II*\0", b"MM\0*"):
        tiff = read_tiff(data, name)
        bits = max(tiff.bits, 8)
        return ImageHeader("tiff", tiff.width, tiff.height, bits, channels=tiff.channels, work=tiff.work, tiff=tiff)
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        webp = read_webp(data, name)
        return ImageHeader(
            "webp", webp.width, webp.height, orientation=webp.orientation, channels=webp.channels, work=webp.work
        )
    for place, start, kind in _NAMED:
        if data[place : place + len(start)] == start:
            raise ImageError(f"{name}: {kind}, which this kit does not read", _GIVE)
    raise ImageError(f"{name}: not an image that this kit reads (it starts with {data[:8].hex(' ')})", _GIVE)
