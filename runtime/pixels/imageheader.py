"""What a file says of itself before anything is decoded: format, size in pixels, bit depth, EXIF orientation.

Read by hand because a decoder asked for the size has often allocated it already, and because OpenCV returns a full
picture from a file that ends early. Only the few bytes needed are looked at; sources: ITU T.81 (JPEG), W3C PNG 3,
TIFF 6.0, RFC 9649 (WebP), the BITMAPINFOHEADER of BMP.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass

from fieldlens.runtime.errors import ImageError

MAX_PIXELS = 100_000_000
"""More than any screening camera gives (about 48 million today); a PNG of this size decodes to 300 MB."""

_ASK_AGAIN = "take or export the picture again"


@dataclass(frozen=True)
class ImageHeader:
    """``orientation`` is EXIF's 1…8 (1: upright); ``bits`` are per channel."""

    format: str
    width: int
    height: int
    bits: int = 8
    orientation: int = 1


def read_header(data: bytes, name: str) -> ImageHeader:
    """Read the header of an encoded image; also checks that a PNG, BMP or WebP is all there.

    Raises ImageError (empty, not an image, truncated, corrupt, zero size, decompression bomb), naming ``name``.
    """
    if not data:
        raise ImageError(f"{name}: the file is empty (0 bytes)", _ASK_AGAIN)
    try:
        header = _dispatch(data, name)
    except (struct.error, IndexError, OverflowError) as error:
        raise ImageError(f"{name}: truncated: it ends inside its header", _ASK_AGAIN) from error
    if header.width < 1 or header.height < 1:
        raise ImageError(f"{name}: the image has zero size ({header.width}×{header.height})", _ASK_AGAIN)
    if header.width * header.height > MAX_PIXELS:
        raise ImageError(
            f"{name}: {header.width}×{header.height} pixels, over the limit of {MAX_PIXELS:,} (decompression bomb?)",
            "export the picture at a smaller size",
        )
    return header


def _dispatch(data: bytes, name: str) -> ImageHeader:
    if data[:2] == b"\xff\xd8":
        return _jpeg(data, name)
    if data[:8] == b"\x89PNG\r\n\x1a\n":
        return _png(data, name)
    if data[:2] == b"BM":
        return _bmp(data, name)
    if data[:4] in (b"II*\0", b"MM\0*"):
        return _tiff(data)
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return _webp(data, name)
    raise ImageError(
        f"{name}: not an image that this kit reads (it starts with {data[:8].hex(' ')})",
        "give JPEG, PNG, BMP, TIFF or WebP",
    )


def _jpeg(data: bytes, name: str) -> ImageHeader:
    """Walk the markers up to the frame header (SOFn). Entropy-coded data is judged later by the strict decoder."""
    position, orientation = 2, 1
    while True:
        if data[position] != 0xFF:
            raise ImageError(f"{name}: corrupt JPEG (no marker at byte {position})", _ASK_AGAIN)
        marker = data[position + 1]
        if marker == 0xFF:  # fill byte
            position += 1
            continue
        if marker in (0x01, *range(0xD0, 0xD8)):  # markers without a length
            position += 2
            continue
        (length,) = struct.unpack_from(">H", data, position + 2)
        body = position + 4
        if marker == 0xE1 and data[body : body + 6] == b"Exif\0\0":
            orientation = exif_orientation(data[body + 6 : body + length - 2])
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            bits, height, width = struct.unpack_from(">BHH", data, body)
            return ImageHeader("jpeg", width, height, bits, orientation)
        if marker in (0xD9, 0xDA) or length < 2:
            raise ImageError(f"{name}: corrupt JPEG (no frame header before the data)", _ASK_AGAIN)
        position += 2 + length


def _png(data: bytes, name: str) -> ImageHeader:
    """Walk all chunks, with their checksums: libpng hands out what it has of a file that ends early."""
    width, height, bits = struct.unpack_from(">IIB", data, 16)
    position, orientation = 8, 1
    while True:
        if position + 12 > len(data):
            raise ImageError(f"{name}: truncated PNG (no end chunk)", _ASK_AGAIN)
        (length,) = struct.unpack_from(">I", data, position)
        kind, end = data[position + 4 : position + 8], position + 12 + length
        if end > len(data):
            raise ImageError(f"{name}: truncated PNG (chunk {kind!r} ends beyond the file)", _ASK_AGAIN)
        (checksum,) = struct.unpack_from(">I", data, end - 4)
        if zlib.crc32(memoryview(data)[position + 4 : end - 4]) != checksum:
            raise ImageError(f"{name}: corrupt PNG (checksum of chunk {kind!r} is wrong)", _ASK_AGAIN)
        if kind == b"eXIf":
            orientation = exif_orientation(data[position + 8 : end - 4])
        if kind == b"IEND":
            return ImageHeader("png", width, height, max(bits, 8), orientation)
        position = end


def _bmp(data: bytes, name: str) -> ImageHeader:
    (size, offset) = struct.unpack_from("<I4xI", data, 2)
    (width, height, _, depth, compression) = struct.unpack_from("<iiHHI", data, 18)
    needed = offset + (abs(width) * depth + 31) // 32 * 4 * abs(height) if compression in (0, 3) else size
    if len(data) < needed:
        raise ImageError(f"{name}: truncated BMP ({len(data)} of {needed} bytes)", _ASK_AGAIN)
    return ImageHeader("bmp", abs(width), abs(height))


def _tiff(data: bytes) -> ImageHeader:
    tags = _ifd(data)
    return ImageHeader("tiff", tags[256], tags[257], tags.get(258, 8)) if {256, 257} <= tags.keys() else _no_size()


def _no_size() -> ImageHeader:
    return ImageHeader("tiff", 0, 0)


def _webp(data: bytes, name: str) -> ImageHeader:
    (size,) = struct.unpack_from("<I", data, 4)
    if len(data) < size + 8:
        raise ImageError(f"{name}: truncated WebP ({len(data)} of {size + 8} bytes)", _ASK_AGAIN)
    kind = data[12:16]
    if kind == b"VP8X":
        width = 1 + int.from_bytes(data[24:27], "little")
        height = 1 + int.from_bytes(data[27:30], "little")
        return ImageHeader("webp", width, height, 8, _webp_orientation(data))
    if kind == b"VP8L":
        (packed,) = struct.unpack_from("<I", data, 21)
        return ImageHeader("webp", (packed & 0x3FFF) + 1, (packed >> 14 & 0x3FFF) + 1)
    width, height = struct.unpack_from("<HH", data, 26)
    return ImageHeader("webp", width & 0x3FFF, height & 0x3FFF)


def _webp_orientation(data: bytes) -> int:
    position = 12
    while position + 8 <= len(data):
        (length,) = struct.unpack_from("<I", data, position + 4)
        if data[position : position + 4] == b"EXIF":
            return exif_orientation(data[position + 8 : position + 8 + length].removeprefix(b"Exif\0\0"))
        position += 8 + length + length % 2
    return 1


def exif_orientation(tiff: bytes) -> int:
    """Tag 0x0112 of an EXIF block (a small TIFF). Damaged or missing metadata means upright: no reason to refuse."""
    try:
        value = _ifd(tiff).get(0x0112, 1)
    except (struct.error, IndexError):
        return 1
    return value if 1 <= value <= 8 else 1


def _ifd(tiff: bytes) -> dict[int, int]:
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
