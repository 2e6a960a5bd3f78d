"""What a TIFF says of itself: its image directory, and where its strips or tiles lie (TIFF 6.0).

Checked here because libtiff believes most of it: a file of some hundred bytes may declare a hundred megapixels, tags
that take gigabytes, or strips that lie on top of each other.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

from fieldlens.runtime.errors import ImageError
from fieldlens.runtime.pixels.decode_limits import Work

NONE, LZW, DEFLATE, PACKBITS, DEFLATE_OLD = 1, 5, 8, 32773, 32946
_RATIO = {NONE: 1, LZW: 2800, DEFLATE: 1032, PACKBITS: 64, DEFLATE_OLD: 1032}
"""Bytes that one stored byte can become, at most."""
_PREDICTED = (LZW, DEFLATE, DEFLATE_OLD)
"""libtiff passes over a predictor beside any other compression, as whoever wrote it did."""
_OTHERS = {
    2: "CCITT", 3: "CCITT", 4: "CCITT", 6: "JPEG", 7: "JPEG", 32909: "PixarLog", 34661: "JBIG", 34676: "SGILog",
    34677: "SGILog", 34712: "JPEG 2000", 34887: "LERC", 34925: "LZMA", 50000: "Zstandard", 50001: "WebP",
}  # fmt: skip
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}
_BITS = (1, 4, 8, 10, 12, 14, 16)
_MOST_ENTRIES, _MOST_PAGES, _MOST_BLOCKS = 1000, 16, 100_000
_PLAIN = {(0, 1), (1, 1), (2, 3), (0, 2), (1, 2), (2, 4)}
"""Photometric interpretation and channels: grey with white or black as zero, and RGB, with one more channel or not."""
_COLOURS = {0: 1, 1: 1, 2: 3}
_NOT_READ = {
    4: "a mask of transparency", 8: "CIE Lab colours", 9: "ICC Lab colours", 10: "ITU Lab colours",
    32803: "a camera's raw data", 34892: "a camera's raw data", 32844: "LogL levels", 32845: "LogLuv colours",
}  # fmt: skip
ASSOCIATED, UNASSOCIATED = 1, 2
_PLAIN_BYTE_S = {NONE: 1e-9, LZW: 8e-9, PACKBITS: 0.2e-9, DEFLATE: 1e-9, DEFLATE_OLD: 1e-9}
"""Per decoded byte, by tiff_pixels.py: the first two take no longer for any data, the others are stopped there."""
_LEAST_PER_PIXEL_S, _PER_PIXEL_S, _PER_BYTE_S = 1e-9, 35e-9, 12e-9
_PER_STORED_BYTE_S = {NONE: 1e-9, LZW: 15e-9, PACKBITS: 10e-9, DEFLATE: 80e-9, DEFLATE_OLD: 80e-9}
_PER_BLOCK_S = 20e-6  # a strip or tile, however small
_AGAIN, _AS_PNG = "take or export the image again", "export it as PNG"


@dataclass(frozen=True)
class Layout:
    """One image: ``blocks`` are its strips or tiles as (offset, bytes stored, bytes when decoded), in order.

    ``rows`` per strip; ``across``: bytes of a row of pixels, all channels; ``plain``: grey or RGB, channels side by
    side in strips, upright. ``inverted``: white is zero. ``alpha``: ASSOCIATED (the colours are multiplied by it
    already), UNASSOCIATED, or 0: there is none, and a further channel means something else.
    """

    order: str
    width: int
    height: int
    bits: int
    channels: int
    compression: int
    predictor: int
    rows: int
    across: int
    plain: bool
    inverted: bool
    alpha: int
    blocks: tuple[tuple[int, int, int], ...]
    work: Work


class _Entry(NamedTuple):
    """Where a tag's values are: their type, how many, and the place of the first."""

    kind: int
    number: int
    place: int


def read_tiff(data: bytes, name: str) -> Layout:
    """Raises ImageError, and struct.error where the file ends inside a directory."""
    order = "<" if data[:2] == b"II" else ">"
    (start,) = struct.unpack_from(order + "I", data, 4)
    tags, following = _directory(data, name, order, start)
    pages = _pages(data, name, order, following, {start})
    if pages or (following and _is_smaller_copy(data, order, tags)):
        what = f"a TIFF of {1 + pages} pages" if pages else "a TIFF that begins with a smaller copy of its image"
        raise ImageError(f"{name}: {what}, of which none is read", "export the one image that is meant")
    return _Reader(data, name, order, tags).layout()


def _directory(data: bytes, name: str, order: str, start: int) -> tuple[dict[int, _Entry], int]:
    """The tags of the directory at ``start``, and where the next directory is (0: there is none)."""
    (count,) = struct.unpack_from(order + "H", data, start)
    if not 1 <= count <= _MOST_ENTRIES or start < 8:
        raise ImageError(f"{name}: corrupt TIFF (a directory of {count} entries at byte {start})", _AGAIN)
    tags: dict[int, _Entry] = {}
    taken = 0
    for index in range(count):
        entry = start + 2 + 12 * index
        tag, kind, number = struct.unpack_from(order + "HHI", data, entry)
        size = _SIZES.get(kind, 1) * number
        place = entry + 8
        if size > 4:
            (place,) = struct.unpack_from(order + "I", data, place)
            taken += size
        if place + size > len(data) or taken > len(data):
            raise ImageError(f"{name}: truncated TIFF (tag {tag} needs {size:,} bytes)", _AGAIN)
        if tag in tags:
            raise ImageError(f"{name}: corrupt TIFF (tag {tag} twice)", _AGAIN)
        tags[tag] = _Entry(kind, number, place)
    (following,) = struct.unpack_from(order + "I", data, start + 2 + 12 * count)
    return tags, following


def _pages(data: bytes, name: str, order: str, following: int, seen: set[int]) -> int:
    """How many further directories hold more than smaller copies of the image."""
    pages = 0
    while following:
        if following in seen or len(seen) > _MOST_PAGES:
            raise ImageError(f"{name}: a TIFF of more than {pages} pages, or its directories have no end", _AGAIN)
        seen.add(following)
        tags, after = _directory(data, name, order, following)
        pages += not _is_smaller_copy(data, order, tags)
        following = after
    return pages


def _is_smaller_copy(data: bytes, order: str, tags: dict[int, _Entry]) -> bool:
    """NewSubfileType, bit 0."""
    entry = tags.get(254)
    return entry is not None and entry.kind == 4 and bool(struct.unpack_from(order + "I", data, entry.place)[0] & 1)


class _Reader:
    """One directory's tags, as numbers."""

    def __init__(self, data: bytes, name: str, order: str, tags: dict[int, _Entry]) -> None:
        self._data, self._name, self._order, self._tags = data, name, order, tags

    def _numbers(self, tag: int) -> tuple[int, ...]:
        entry = self._tags.get(tag)
        if entry is None or entry.kind not in (1, 3, 4):
            return ()
        letter = {1: "B", 3: "H", 4: "I"}[entry.kind]
        return struct.unpack_from(f"{self._order}{entry.number}{letter}", self._data, entry.place)

    def _number(self, tag: int, default: int) -> int:
        values = self._numbers(tag)
        return values[0] if values else default

    def _fail(self, what: str, hint: str = _AGAIN) -> ImageError:
        return ImageError(f"{self._name}: {what}", hint)

    def layout(self) -> Layout:
        """Everything, checked."""
        width, height = self._number(256, 0), self._number(257, 0)
        compression, channels = self._number(259, NONE), self._number(277, 1)
        bits = self._bits(compression)
        tiled, apart = 322 in self._tags, self._number(284, 1) == 2
        block = (
            (self._number(322, 0), self._number(323, 0)) if tiled else (width, min(self._number(278, height), height))
        )
        if not 1 <= channels <= 4 or (min(block) < 1 and min(width, height) > 0):
            raise self._fail(f"corrupt TIFF ({channels} channels in strips or tiles of {block[0]}×{block[1]})")
        across = (block[0] * bits * (1 if apart else channels) + 7) // 8
        sizes = self._sizes((width, height), block, across, channels if apart else 1, tiled)
        blocks = self._blocks(sizes, compression, tiled)
        photometric = self._number(262, -1)
        alpha = self._alpha(photometric, channels)
        plain = not tiled and not apart and bits in (8, 16) and (photometric, channels) in _PLAIN
        plain = plain and self._number(274, 1) == 1
        if not plain and bits not in (1, 4, 8) and (alpha or (photometric == 0 and bits != 16)):
            raise self._fail(f"a TIFF of {bits} bits in tiles, with transparency or white as zero", _AS_PNG)
        if not plain and alpha and channels == 2:
            raise self._fail("a TIFF of grey with transparency in tiles or separate planes", _AS_PNG)
        work = self._work(width * height, block[0] * block[1], blocks, compression, plain)
        predictor = self._number(317, 1) if compression in _PREDICTED else 1
        return Layout(
            order=self._order,
            width=width,
            height=height,
            bits=bits,
            channels=channels,
            compression=compression,
            predictor=predictor,
            rows=block[1],
            across=across,
            plain=plain,
            inverted=photometric == 0,
            alpha=alpha,
            blocks=blocks,
            work=work,
        )

    def _alpha(self, photometric: int, channels: int) -> int:
        if photometric in _NOT_READ:
            raise self._fail(f"a TIFF of {_NOT_READ[photometric]}, which this kit does not read", "export it as RGB")
        more = channels - _COLOURS.get(photometric, channels)
        kind = self._number(338, 0)
        return kind if more == 1 and kind in (ASSOCIATED, UNASSOCIATED) else 0

    def _work(
        self, pixels: int, block_pixels: int, blocks: tuple[tuple[int, int, int], ...], compression: int, plain: bool
    ) -> Work:
        decoded, stored = sum(size for _, _, size in blocks), sum(length for _, length, _ in blocks)
        if plain:
            seconds = decoded * _PLAIN_BYTE_S[compression]
            copied = len(self._data) if compression in (LZW, PACKBITS) else 0
            return Work(seconds, seconds, copied + (decoded if self._number(258, 8) == 16 else 0))
        most_s = pixels * _PER_PIXEL_S + decoded * _PER_BYTE_S + stored * _PER_STORED_BYTE_S[compression]
        largest = max((size for _, _, size in blocks), default=0)
        beside = 4 * block_pixels + 2 * largest + 1_000_000  # libtiff's RGBA, and a strip or tile stored and decoded
        return Work(pixels * _LEAST_PER_PIXEL_S, most_s + len(blocks) * _PER_BLOCK_S, beside)

    def _sizes(
        self, image: tuple[int, int], block: tuple[int, int], across: int, planes: int, tiled: bool
    ) -> list[int]:
        """Bytes of every strip or tile when decoded; only a plane's last strip may be shorter."""
        if min(image) < 1:  # refused by the caller, in its own words
            return []
        down = math.ceil(image[1] / block[1])
        per_plane = math.ceil(image[0] / block[0]) * down
        offsets = self._tags.get(324 if tiled else 273, _Entry(0, 0, 0))
        if offsets.number != per_plane * planes or offsets.number > _MOST_BLOCKS:
            raise self._fail(f"corrupt TIFF ({offsets.number:,} of {per_plane * planes:,} strips or tiles)")
        last = across * (block[1] if tiled else image[1] - (down - 1) * block[1])
        return ([across * block[1]] * (per_plane - 1) + [last]) * planes

    def _bits(self, compression: int) -> int:
        """Bits per channel, the same for all of them."""
        if compression not in _RATIO:
            what = _OTHERS.get(compression, f"compression {compression}")
            raise self._fail(f"a TIFF with {what}, which this kit does not read", _AS_PNG)
        several = set(self._numbers(258)) or {1}
        formats = set(self._numbers(339)) or {1}
        if len(several) > 1 or not several <= set(_BITS) or formats != {1}:
            kinds = {1: "", 2: "signed ", 3: "floating-point "}
            what = f"{kinds.get(max(formats), 'undefined ')}samples of {sorted(several)} bits"
            raise self._fail(f"a TIFF with {what}, which this kit does not read", "export 8 or 16 bits per channel")
        if self._number(266, 1) != 1:
            raise self._fail("a TIFF with its bits in reverse order, which this kit does not read", _AS_PNG)
        return several.pop()

    def _blocks(self, sizes: list[int], compression: int, tiled: bool) -> tuple[tuple[int, int, int], ...]:
        """Every strip or tile: inside the file, apart from all others, and long enough for its pixels."""
        offsets, stored = (self._numbers(tag) for tag in ((324, 325) if tiled else (273, 279)))
        if sizes and not len(offsets) == len(stored) == len(sizes):
            raise self._fail(f"corrupt TIFF ({len(stored):,} lengths of {len(sizes):,} strips or tiles)")
        largest = max(sizes, default=0)
        for offset, length, size in zip(offsets, stored, sizes, strict=False):
            if offset + length > len(self._data):
                raise self._fail("truncated TIFF (a strip or tile ends beyond the file)")
            if offset < 8 or length * _RATIO[compression] < size:
                raise self._fail(f"truncated TIFF ({length:,} bytes cannot hold a strip or tile of {size:,})")
            if compression == NONE and length > largest:
                raise self._fail(f"corrupt TIFF (a strip or tile of {size:,} bytes takes {length:,})")
        ends = sorted(zip(offsets, stored, strict=False))
        if any(one + length > other for (one, length), (other, _) in pairwise(ends)):
            raise self._fail("corrupt TIFF (strips or tiles that overlap)")
        return tuple(zip(offsets, stored, sizes, strict=False))
