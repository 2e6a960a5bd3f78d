"""The markers of a JPEG: its frame, its scans, and what decoding them costs (ITU T.81).

A progressive file may hold any number of scans, each of a few bytes, and a decoder goes through all blocks of the image
for every one of them, whatever the size at which it decodes. The frame and the scans tell how much work that is.
"""

from __future__ import annotations

import re
import struct
from typing import NamedTuple

from fieldlens.runtime.errors import ImageError
from fieldlens.runtime.pixels.decode_limits import Work
from fieldlens.runtime.pixels.formats.exif import exif_orientation

MOST_SCANS = 100
"""libjpeg's progressive files have 10 scans, mozjpeg's up to about 20."""

_MOST_SEGMENTS = 2000
"""Before the first scan, fill bytes included. A large colour profile takes 255 segments, a thumbnail some dozen."""

_LOST_SECTOR = bytes(256)
"""Never inside a scan of AC coefficients: flat parts are one run there (longest seen: 15 zero bytes). A scan of DC
coefficients may well hold as many zeros: a black border."""

_TABLES = frozenset({0xC4, 0xDB, 0xE0})
"""Most segments of most files: code tables, quantisation tables and the mark of JFIF."""

_ALONE = {0xFF: 1, 0x01: 2, **dict.fromkeys(range(0xD0, 0xD8), 2)}
"""What has no length: a fill byte, and markers, with their bytes."""

_SCAN = re.compile(rb"\xff\xda")
_OTHER_FRAMES = {
    0xC0: "a JPEG of several frames",
    0xC1: "a JPEG of several frames",
    0xC2: "a JPEG of several frames",
    0xC3: "a lossless JPEG",
    0xC5: "a hierarchical JPEG",
    0xC6: "a hierarchical JPEG",
    0xC7: "a hierarchical JPEG",
    0xC9: "an arithmetic-coded JPEG",  # its decoder takes the end of the data for zeros: a cut would go unnoticed
    0xCA: "an arithmetic-coded JPEG",
    0xCB: "a lossless JPEG",
    0xCD: "a hierarchical JPEG",
    0xCE: "a hierarchical JPEG",
    0xCF: "a hierarchical JPEG",
    0xF7: "a JPEG-LS",
}

# Seconds on the machine that decode_limits.py names, from the worst files found (tests/runtime/bombs.py).
_PER_BLOCK_S = 60e-9  # inverse DCT, upsampling and colour of a block of 8×8, at full size
_PER_BYTE_S = 15e-9  # Huffman codes of two bits
_PER_KEPT_BLOCK_S = 60e-9  # a block whose coefficients are kept until the last scan
_PER_SCAN_BLOCK_S = 20e-9  # a block that a scan only passes
_PER_REFINED_S = 0.7e-9  # a coefficient that a refining scan passes
_PER_SCAN_BYTE_S = 35e-9
_AGAIN = "take or export the image again"

_SIZE = struct.Struct(">BHHB")
_SMALL_BYTES, _SMALL_PIXELS, _PER_SMALL_PIXEL_S = 1_000_000, 4_000_000, 3e-9
"""Up to this size, the scans of a file that is not progressive need not be looked at, however many they are: a scan has
at least two bits for every block that it passes, so that all that fit take little (0.11 s, measured)."""


class JpegFrame(NamedTuple):
    """What the frame header says; ``blocks`` of 8×8 per component; ``channels`` as stored; and what decoding costs."""

    width: int
    height: int
    bits: int
    orientation: int
    channels: int
    work: Work


def read_frame(data: bytes, name: str) -> JpegFrame:
    """Walk the markers up to the frame, and of all but small files to the first scan or over all scans.

    Raises ImageError, and IndexError or struct.error where the file ends inside a segment. Entropy-coded data is judged
    by the strict decoder.
    """
    position, start, kind = 2, 0, 0
    exif: list[bytes] = []
    for _ in range(_MOST_SEGMENTS):
        if data[position] != 0xFF:
            raise ImageError(f"{name}: corrupt JPEG (no marker at byte {position})", _AGAIN)
        marker = data[position + 1]
        if marker in _TABLES:
            position += max(data[position + 2] << 8 | data[position + 3], 2) + 2
            continue
        if marker in _ALONE:
            position += _ALONE[marker]
            continue
        length = data[position + 2] << 8 | data[position + 3]
        if marker == 0xDA and start:
            orientation = exif_orientation(*exif) if exif else 1
            small = _small(data, kind, start, orientation)
            return small or _frame(data, name, kind, start, orientation, position)
        if 0xC0 <= marker <= 0xC2 and not start:
            start, kind = position + 4, marker
        else:
            _check_marker(name, marker, length)
        if marker == 0xE1 and data[position + 4 : position + 10] == b"Exif\0\0":
            exif.append(data[position + 10 : position + 2 + length])
        position += 2 + length
    raise ImageError(f"{name}: corrupt JPEG (more than {_MOST_SEGMENTS} segments before its data)", _AGAIN)


def _check_marker(name: str, marker: int, length: int) -> None:
    if marker in (0xD9, 0xDA) or length < 2:
        raise ImageError(f"{name}: corrupt JPEG (no frame header before the data)", _AGAIN)
    if marker in _OTHER_FRAMES:
        what = _OTHER_FRAMES[marker]
        raise ImageError(f"{name}: {what}, which this kit does not read", "export an ordinary JPEG")


def _small(data: bytes, kind: int, start: int, orientation: int) -> JpegFrame | None:
    """The frame of a file whose scans cannot cost much; None for others."""
    if kind == 0xC2 or len(data) > _SMALL_BYTES:
        return None
    bits, height, width, channels = _SIZE.unpack_from(data, start)
    if height * width > _SMALL_PIXELS:
        return None
    seconds = height * width * _PER_SMALL_PIXEL_S + len(data) * _PER_BYTE_S
    kept_bytes = height * width * 8  # the coefficients of four components, if there are several scans
    return JpegFrame(width, height, bits, orientation, channels, Work(seconds, seconds, kept_bytes))


def _frame(data: bytes, name: str, kind: int, start: int, orientation: int, scan: int) -> JpegFrame:
    bits, height, width, channels = _SIZE.unpack_from(data, start)
    factors = data[start + 7 : start + 6 + 3 * channels : 3]  # across in the upper four bits, down in the lower
    across, down = [factor >> 4 for factor in factors], [factor & 15 for factor in factors]
    if not 1 <= channels == len(factors) <= 4 or min(across + down) < 1 or max(across + down) > 4:
        raise ImageError(f"{name}: corrupt JPEG ({channels} components, sampled {factors.hex(' ')})", _AGAIN)
    units = -(-width // (8 * max(across))) * -(-height // (8 * max(down)))
    blocks = [units * x * y for x, y in zip(across, down, strict=True)]
    if kind != 0xC2 and data[scan + 4] == channels:  # one scan, decoded row by row
        seconds = sum(blocks) * _PER_BLOCK_S + len(data) * _PER_BYTE_S
        return JpegFrame(width, height, bits, orientation, channels, Work(seconds, seconds))
    seconds = sum(blocks) * (_PER_BLOCK_S + _PER_KEPT_BLOCK_S) + len(data) * _PER_SCAN_BYTE_S
    identities = bytes(data[start + 6 + 3 * index] for index in range(channels))
    seconds += _scans_s(data, name, scan, dict(zip(identities, blocks, strict=True)))
    return JpegFrame(width, height, bits, orientation, channels, Work(seconds, seconds, sum(blocks) * 128))


def _scans_s(data: bytes, name: str, first: int, blocks: dict[int, int]) -> float:
    """Seconds that the passes over the blocks take. A scan's marker is never part of entropy-coded data; one that is
    part of a table or a comment counts as well, which does no harm."""
    places = [found.start() for found in _SCAN.finditer(data, first)]
    if len(places) > MOST_SCANS:
        raise ImageError(
            f"{name}: a JPEG of {len(places):,} scans, over the limit of {MOST_SCANS} (decompression bomb?)",
            "export an ordinary JPEG",
        )
    seconds = 0.0
    lost = data.find(_LOST_SECTOR, first)
    for place, end in zip(places, [*places[1:], len(data)], strict=True):
        count = data[place + 4] if place + 4 < len(data) else 0
        tail = place + 5 + 2 * count
        if count > 4 or tail + 2 >= len(data):
            continue  # not a scan's header, or one that the decoder will refuse
        scanned = sum(blocks.get(data[place + 5 + 2 * index], 0) for index in range(count))
        low, high, precision = data[tail], data[tail + 1], data[tail + 2]
        seconds += scanned * _PER_SCAN_BLOCK_S
        if precision >> 4:
            seconds += scanned * max(high - low + 1, 0) * _PER_REFINED_S
        if low and place < lost < end:
            raise ImageError(f"{name}: corrupt JPEG ({len(_LOST_SECTOR)} zero bytes at byte {lost})", _AGAIN)
    return seconds
