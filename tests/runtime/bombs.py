"""Files that are small and cost much, written by hand: each with what must be said of it, or None where it is fine.

``JPEG``: ITU T.81; ``PNG``: W3C PNG 3 and RFC 1951; ``WEBP``: RFC 9649; ``TIFF``: TIFF 6.0.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Sequence


class Bits:
    """Bits, the first one written being the lowest of a byte (deflate, WebP)."""

    def __init__(self) -> None:
        self.data, self._value, self._count = bytearray(), 0, 0

    def put(self, value: int, count: int) -> None:
        self._value |= value << self._count
        self._count += count
        while self._count >= 8:
            self.data.append(self._value & 255)
            self._value >>= 8
            self._count -= 8

    def done(self) -> bytes:
        """All of them, the last byte filled with zeros."""
        return bytes(self.data) + bytes([self._value] * (self._count > 0))


def segment(marker: int, body: bytes) -> bytes:
    return bytes([0xFF, marker]) + struct.pack(">H", len(body) + 2) + body


def jpeg_frame(width: int, height: int, channels: int, marker: int = 0xC2) -> bytes:
    """Up to the first scan: 4:4:4; DC code ``0`` is "no difference", AC code ``0`` a run of 16384 blocks or more."""
    components = b"".join(bytes([index + 1, 0x11, 0]) for index in range(channels))
    tables = [bytes([kind, 1]) + bytes(15) + bytes([symbol]) for kind, symbol in ((0, 0), (0x10, 0xE0))]
    return (
        b"\xff\xd8"
        + segment(0xDB, b"\0" + bytes([1] * 64))
        + segment(marker, struct.pack(">BHHB", 8, height, width, channels) + components)
        + b"".join(segment(0xC4, table) for table in tables)
    )


def _padded(bits: str) -> bytes:
    bits += "1" * (-len(bits) % 8)
    return int(bits, 2).to_bytes(len(bits) // 8, "big").replace(b"\xff", b"\xff\0")


def first_scan(channels: int) -> bytes:
    """The head of a scan of all components' DC coefficients."""
    return segment(0xDA, bytes([channels]) + b"".join(bytes([index + 1, 0]) for index in range(channels)) + bytes(3))


def progressive(width: int, height: int, scans: int, channels: int = 1) -> bytes:
    """A progressive JPEG of one flat colour, with ``scans`` refining scans that hold nothing and pass all blocks."""
    blocks = -(-width // 8) * -(-height // 8)
    runs = max(blocks // 16384, 1)
    lengths = [blocks // runs + (index < blocks % runs) for index in range(runs)]
    nothing = _padded("".join("0" + format(length - 16384, "014b") for length in lengths))
    data = jpeg_frame(width, height, channels) + first_scan(channels) + _padded("0" * blocks * channels)
    for index in range(scans + 1):
        high = 0 if index % 14 == 0 else 14 - index % 14
        data += segment(0xDA, bytes([1, 1, 0, 1, 63, high << 4 | (13 if not high else high - 1)])) + nothing
    return data + b"\xff\xd9"


def baseline_scans(width: int, height: int, scans: int) -> bytes:
    """A baseline JPEG whose three components come one by one, again and again."""
    blocks = -(-width // 8) * -(-height // 8)
    empty = _padded("00" * blocks)  # AC code 0 is the end of a block here
    data = jpeg_frame(width, height, 3, 0xC0).replace(bytes([0x10, 1, *[0] * 15, 0xE0]), bytes([0x10, 1, *[0] * 16]))
    return (
        data + b"".join(segment(0xDA, bytes([1, 1 + n % 3, 0, 0, 63, 0])) + empty for n in range(scans)) + b"\xff\xd9"
    )


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png_of(width: int, height: int, stream: bytes, extra: bytes = b"", *, interlaced: bool = False) -> bytes:
    """8-bit RGB."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, interlaced)
    pieces = (stream[start : start + 65_536] for start in range(0, len(stream), 65_536))
    image = b"".join(chunk(b"IDAT", piece) for piece in pieces)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + extra + image + chunk(b"IEND", b"")


def rows(width: int, height: int) -> bytes:
    return bytes((1 + 3 * width) * height)


def empty_deflate(count: int) -> bytes:
    """A zlib stream's beginning: ``count`` blocks (a multiple of four) of 90 bits that build code tables and hold
    nothing."""
    bits = Bits()
    for _ in range(4):
        bits.put(0b100, 3)  # not the last, its own codes
        bits.put(14 << 10, 14)  # 257 and 1 codes, lengths of 18 code lengths
        for symbol in (16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1):
            bits.put(symbol in (18, 1), 3)
        for zeros in (138, 118):
            bits.put(1 | zeros - 11 << 1, 8)
        bits.put(0, 3)  # a length of 1 for the end's code and for a distance; the end
    return b"\x78\x9c" + bits.done() * (count // 4)


def webp_of(*chunks: tuple[bytes, bytes]) -> bytes:
    body = b"WEBP" + b"".join(k + struct.pack("<I", len(b)) + b + bytes(len(b) % 2) for k, b in chunks)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def vp8x(width: int, height: int, flags: int = 0) -> tuple[bytes, bytes]:
    return b"VP8X", bytes([flags, 0, 0, 0]) + (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")


def _vp8l(width: int, height: int, alpha: bool) -> Bits:
    bits = Bits()
    bits.put(0x2F, 8)
    bits.put(width - 1 | height - 1 << 14 | alpha << 28, 32)
    bits.put(0, 2)  # no transform, no colour cache
    return bits


def _one_symbol(bits: Bits) -> None:
    bits.put(1, 4)  # a code of a single symbol, 0: it takes no bits


def lossless(width: int, height: int, *, alpha: bool = False) -> tuple[bytes, bytes]:
    """A WebP image of one colour: no bits for any pixel."""
    bits = _vp8l(width, height, alpha)
    bits.put(0, 1)
    for _ in range(5):
        _one_symbol(bits)
    return b"VP8L", bits.done() + bytes(1000)


def lossless_groups(side: int) -> tuple[bytes, bytes]:
    """A WebP image with code tables of its own for every 4×4 pixels: about 12 kB of memory for each."""
    bits, count = _vp8l(side, side, alpha=False), (side // 4) ** 2
    bits.put(0b0001, 4)  # code groups, by squares of 4×4
    bits.put(0, 1)
    for alphabet in (280, 256):  # 256 codes of 8 bits
        bits.put(8 << 1, 5)
        for index in range(12):
            bits.put(index == 11, 3)
        bits.put(1 | 3 << 1 | 254 << 4 if alphabet > 256 else 0, 12 if alphabet > 256 else 1)
    for _ in range(3):
        _one_symbol(bits)
    mirrored = [int(format(value, "08b")[::-1], 2) for value in range(256)]
    for index in range(count):
        bits.put(mirrored[index & 255] | mirrored[index >> 8 & 255] << 8, 16)
    for _ in range(5 * count):
        _one_symbol(bits)
    return b"VP8L", bits.done() + bytes(8)


Entry = tuple[int, int, int, int]


def tiff_of(width: int, height: int, strips: Sequence[bytes], compression: int, **changed: Entry) -> bytes:
    """8-bit RGB in strips. ``changed``: tags to replace or add, as (tag, type, count, value)."""
    per_strip = -(-height // len(strips))
    places, body = [], bytearray()
    for strip in strips:
        places.append(8 + len(body))
        body += strip
    extra = 8 + len(body)
    body += struct.pack("<3H", 8, 8, 8)
    arrays = [8 + len(body), 8 + len(body) + 4 * len(strips)]
    body += struct.pack(f"<{2 * len(strips)}I", *places, *map(len, strips))
    one = len(strips) == 1
    entries: dict[int, Entry] = {
        entry[0]: entry
        for entry in (
            (256, 4, 1, width), (257, 4, 1, height), (258, 3, 3, extra), (259, 3, 1, compression), (262, 3, 1, 2),
            (273, 4, len(strips), places[0] if one else arrays[0]), (277, 3, 1, 3), (278, 4, 1, per_strip),
            (279, 4, len(strips), len(strips[0]) if one else arrays[1]), *changed.values(),
        )
    }  # fmt: skip
    start = 8 + len(body)
    table = b"".join(struct.pack("<HHII", *entries[tag]) for tag in sorted(entries))
    return b"II*\0" + struct.pack("<I", start) + bytes(body) + struct.pack("<H", len(entries)) + table + bytes(4)


def endless_tiff() -> bytes:
    """Its second directory is followed by the first."""
    data = bytearray(tiff_of(8, 8, [bytes(192)], 1, kind=(254, 4, 1, 1)))
    (start,) = struct.unpack_from("<I", data, 4)
    second = len(data)
    directory = bytes(data[start:-4])
    data[-4:] = struct.pack("<I", second)
    return bytes(data) + directory + struct.pack("<I", start)


def greedy_tags() -> bytes:
    """A thousand tags that share one megabyte."""
    tags = {f"t{number}": (60_000 + number, 1, 1_000_000, 8) for number in range(900)}
    return tiff_of(8, 8, [bytes(1_000_000)], 1, **tags)


def bmp_of(width: int, height: int, depth: int = 24, compression: int = 0, pixels: bytes = b"") -> bytes:
    header = struct.pack("<IiiHHIIiiII", 40, width, height, 1, depth, compression, 0, 0, 0, 0, 0)
    return b"BM" + struct.pack("<IHHI", 54 + len(pixels), 0, 0, 54) + header + pixels


Maker = Callable[[], bytes]

BOMBS: dict[str, tuple[Maker, str]] = {
    "scans.jpg": (lambda: progressive(4000, 3000, 1000), "scans, over the limit"),
    "passes.jpg": (lambda: progressive(8000, 8000, 60), "s to decode, over the limit"),
    "coefficients.jpg": (lambda: progressive(9999, 9999, 1, 3), "MB to decode, over the limit"),
    "baseline-scans.jpg": (lambda: baseline_scans(640, 480, 900), "scans, over the limit"),
    "largest.jpg": (lambda: jpeg_frame(65_500, 65_500, 3) + first_scan(3) + bytes(500), "over the limit"),
    "arithmetic.jpg": (lambda: jpeg_frame(64, 64, 3, 0xC9) + first_scan(3) + bytes(500), "arithmetic-coded"),
    "segments.jpg": (lambda: b"\xff\xd8" + b"\xff\xfe\0\2" * 1_000_000, "segments before its data"),
    "fill.jpg": (lambda: b"\xff\xd8" + b"\xff" * 4_000_000, "segments before its data"),
    "pixels.png": (lambda: png_of(60_000, 60_000, zlib.compress(bytes(2_000_000))), "cannot hold"),
    "flat.png": (lambda: png_of(20_000, 20_000, zlib.compress(bytes(1), 0) + bytes(1_200_000)), "over the limit"),
    "empty-blocks.png": (lambda: png_of(100, 100, empty_deflate(600_000)), "took longer than"),
    "animated.png": (lambda: png_of(8, 8, zlib.compress(rows(8, 8)), chunk(b"acTL", bytes(8))), "animated"),
    "chunks.png": (lambda: png_of(8, 8, b"", chunk(b"tIME", b"") * 200_000), "chunks"),
    "flat.webp": (lambda: webp_of(lossless(10_000, 9999)), "over the limit"),
    "alpha.webp": (lambda: webp_of(lossless(16_383, 6100, alpha=True)), "over the limit"),
    "groups.webp": (lambda: webp_of(lossless_groups(512)), "corrupt image|made the decoder fail|took longer"),
    "canvas.webp": (lambda: webp_of(vp8x(16_383, 16_383), lossless(16, 16)), "canvas"),
    "animated.webp": (lambda: webp_of(vp8x(16, 16, 2), (b"ANIM", bytes(6))), "animated"),
    "short.tif": (lambda: tiff_of(9999, 9999, [zlib.compress(bytes(100))], 8), "cannot hold"),
    "pixels.tif": (lambda: tiff_of(12_000, 12_000, [bytes(500_000)], 8), "over the limit"),
    "empty-blocks.tif": (lambda: tiff_of(100, 100, [empty_deflate(600_000)], 8), "took too long"),
    "overlap.tif": (
        lambda: tiff_of(640, 480, [bytes(1920 * 240)] * 2, 1, two=(273, 4, 2, 8)), "overlap|beyond the file|cannot hold"
    ),
    "strips.tif": (lambda: tiff_of(1, 200_000, [bytes(3)] * 200_000, 1), "strips or tiles"),
    "tile.tif": (
        lambda: tiff_of(8, 8, [bytes(3000)], 5, w=(322, 4, 1, 60_000), h=(323, 4, 1, 60_000), o=(324, 4, 1, 8),
                        b=(325, 4, 1, 3000)),
        "cannot hold|over the limit",
    ),
    "endless.tif": (endless_tiff, "no end"),
    "tags.tif": (greedy_tags, "needs"),
    "jpeg.tif": (lambda: tiff_of(64, 64, [b"\xff\xd8" + bytes(5000)], 7), "a TIFF with JPEG"),
    "pixels.bmp": (lambda: bmp_of(30_000, 30_000), "truncated BMP"),
    "runs.bmp": (lambda: bmp_of(9999, 9999, 8, 1, bytes(2000)), "RLE8"),
    "tail.bmp": (lambda: bmp_of(8, 8, pixels=bytes(192)) + bytes(100_000), "of which"),
}  # fmt: skip
"""Name → how to make it, and what the error must say (a pattern)."""

COSTLY: dict[str, Maker] = {
    "texts.png": lambda: png_of(
        100, 100, zlib.compress(rows(100, 100)),
        b"".join(chunk(b"zTXt", b"k%d\0\0" % n + zlib.compress(bytes(7_900_000))) for n in range(60)),
    ),
    "profile.png": lambda: png_of(
        100, 100, zlib.compress(rows(100, 100)), chunk(b"iCCP", b"k\0\0" + zlib.compress(bytes(200_000_000)))
    ),
}  # fmt: skip
"""These are images all the same: what would cost much is left out."""
