"""What a file says of itself before anything is decoded: format, size in pixels, bit depth, EXIF orientation, and what
decoding it will take.

Read by hand because a decoder asked for the size has often allocated it already, because OpenCV returns a full image
from a file that ends early, and because most formats have nothing but their structure that could show damage.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from fieldlens.runtime.errors import ImageError
from fieldlens.runtime.pixels import dicom_file
from fieldlens.runtime.pixels.decode_limits import Work
from fieldlens.runtime.pixels.formats.bmp_header import read_bmp
from fieldlens.runtime.pixels.formats.dicom.address import WITH_HEADER, is_dicom, lacks_header
from fieldlens.runtime.pixels.formats.jpeg_scans import read_frame
from fieldlens.runtime.pixels.formats.png_chunks import read_png
from fieldlens.runtime.pixels.formats.tiff_structure import Layout, read_tiff
from fieldlens.runtime.pixels.formats.webp_chunks import read_webp

_BRANDS = {
    **dict.fromkeys((b"avif", b"avis", b"avio"), "an AVIF"),
    **dict.fromkeys((b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"), "a HEIC"),
    **dict.fromkeys((b"mif1", b"msf1", b"mif2"), "a HEIF"), b"crx ": "a camera's raw data",
    **dict.fromkeys((b"isom", b"iso2", b"iso5", b"mp41", b"mp42", b"qt  ", b"3gp4", b"3gp5", b"M4V "), "a video"),
}  # fmt: skip
"""Of the containers of ISO/IEC 14496-12 (a box ``ftyp``); the first that is known counts."""
_ASK_AGAIN, _GIVE = "take or export the image again", "give JPEG, PNG, BMP, TIFF, WebP or DICOM"
_NAMED = (
    (0, b"GIF8", "a GIF"), (0, b"II+\0", "a BigTIFF"), (0, b"MM\0+", "a BigTIFF"), (0, b"II\xbc", "a JPEG XR"),
    (0, b"\0\0\0\x0cjP  \r\n", "a JPEG 2000"), (0, b"\xff\x4f\xff\x51", "a JPEG 2000"),
    (0, b"\0\0\0\x0cJXL ", "a JPEG XL"), (0, b"\xff\x0a", "a JPEG XL"), (0, b"FUJIFILMCCD-RAW", "a camera's raw data"),
    (0, b"\x08\0\x05\0\x0a\0\0\0ISO_IR", "a DICOM file without its preamble"),
    (0, b"\x08\0\x05\0CS", "a DICOM file without its preamble"),
    (0, b"\x02\0\0\0UL\x04\0", "a DICOM file without its preamble"),
    (344, b"n+1\0", "a NIfTI file"),
    (0, b"%PDF", "a PDF"), (0, b"v/1\x01", "an OpenEXR"), (0, b"8BPS", "a Photoshop file"), (0, b"\0\0\1\0", "an icon"),
    (0, b"\x8aMNG", "an MNG"), (0, b"\x8bJNG", "a JNG"), (0, b"qoif", "a QOI"), (0, b"#?RADIANCE", "a Radiance HDR"),
    (0, b"P4\n", "a PBM"), (0, b"P5\n", "a PGM"), (0, b"P6\n", "a PPM"), (0, b"\x93NUMPY", "a NumPy array"),
    (0, b"PK\3\4", "a zip archive"), (0, b"\x1f\x8b", "a gzip archive"), (0, b"<svg", "an SVG"),
    (0, b"<?xml", "an XML text (an SVG?)"), (0, b"<!DOCTYPE", "a web page"), (0, b"<html", "a web page"),
    (0, b"version https://git-lfs", "a placeholder of Git LFS, not the image itself"),
    (0, b"\x1aE\xdf\xa3", "a video"), (8, b"AVI LIST", "a video"),
)  # fmt: skip
"""Where in the file, what is there, and what that is."""


class ImageHeader(NamedTuple):
    """``orientation`` is EXIF's 1…8 (1: upright); ``bits`` are per channel; ``channels`` as OpenCV gives them.

    ``parts`` (PNG): what of the file holds pixels, where that is not all of it; ``tiff``: where a TIFF's pixels lie.
    ``clear``: the one grey level of a PNG that is transparent.
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
    clear: int | None = None


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
            "png",
            png.width,
            png.height,
            png.bits,
            png.orientation,
            png.channels,
            png.work,
            parts=png.parts,
            clear=png.clear,
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
    if is_dicom(data):
        facts = dicom_file.facts_of(data, name)
        return ImageHeader("dicom", facts.width, facts.height, facts.bits, channels=facts.channels)
    if lacks_header(data):
        raise ImageError(f"{name}: a DICOM file without its header (no DICM behind 128 bytes)", WITH_HEADER)
    if what := _what_else(data):
        raise ImageError(f"{name}: {what}, which this kit does not read", _GIVE)
    raise ImageError(f"{name}: not an image that this kit reads (it starts with {data[:8].hex(' ')})", _GIVE)


def _what_else(data: bytes) -> str:
    """What a file is that is not read; empty where nobody knows."""
    if data[4:8] == b"ftyp":
        (size,) = struct.unpack_from(">I", data)
        brands = [data[8:12], *(data[place : place + 4] for place in range(16, min(size, 200, len(data)), 4))]
        known = [_BRANDS[brand] for brand in brands if brand in _BRANDS]
        exact = [kind for kind in known if kind != "a HEIF"]  # what mif1 alone does not tell
        return (exact or known or ["a video, or an image of a kind that is not known"])[0]
    text = data[3:] if data.startswith(b"\xef\xbb\xbf") else data
    return next((kind for place, start, kind in _NAMED if text[place : place + len(start)] == start), "")
