"""Images of every format, and ways to damage them, all from seeds."""

from __future__ import annotations

import io
from collections.abc import Callable

import cv2
import numpy as np
import numpy.typing as npt

from tests.runtime.conftest import jpeg, png

Picture = npt.NDArray[np.uint8]
Damage = Callable[[bytes, np.random.Generator], bytes]


def progressive_jpeg(picture: Picture) -> bytes:
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "JPEG", quality=90, progressive=True)
    return buffer.getvalue()


def _opencv(ending: str, *options: int) -> Callable[[Picture], bytes]:
    return lambda picture: cv2.imencode(ending, picture, list(options))[1].tobytes()


FORMATS: dict[str, Callable[[Picture], bytes]] = {
    "JPEG": jpeg,
    "JPEG, progressive": progressive_jpeg,
    "PNG": png,
    "TIFF, deflate": _opencv(".tif", cv2.IMWRITE_TIFF_COMPRESSION, 8),
    "TIFF, LZW": _opencv(".tif", cv2.IMWRITE_TIFF_COMPRESSION, 5),
    "TIFF, PackBits": _opencv(".tif", cv2.IMWRITE_TIFF_COMPRESSION, 32773),
    "TIFF, not compressed": _opencv(".tif", cv2.IMWRITE_TIFF_COMPRESSION, 1),
    "BMP": _opencv(".bmp"),
    "WebP, lossy": _opencv(".webp", cv2.IMWRITE_WEBP_QUALITY, 80),
    "WebP, lossless": _opencv(".webp", cv2.IMWRITE_WEBP_QUALITY, 101),
}


def flipped_bit(data: bytes, random: np.random.Generator) -> bytes:
    bit = int(random.integers(8 * len(data)))
    return data[: bit // 8] + bytes([data[bit // 8] ^ 1 << bit % 8]) + data[bit // 8 + 1 :]


def lost_sector(data: bytes, random: np.random.Generator) -> bytes:
    """512 bytes at a multiple of 512 read as zeros."""
    start = int(random.integers(max(len(data) // 512, 1))) * 512
    return data[:start] + bytes(len(data[start : start + 512])) + data[start + 512 :]


def foreign_sector(data: bytes, random: np.random.Generator) -> bytes:
    """512 bytes at a multiple of 512 are another file's."""
    start = int(random.integers(max(len(data) // 512, 1))) * 512
    return data[:start] + random.bytes(len(data[start : start + 512])) + data[start + 512 :]


def cut(data: bytes, random: np.random.Generator) -> bytes:
    return data[: int(random.integers(len(data)))]


def tail(data: bytes, random: np.random.Generator) -> bytes:
    """Up to 4 kB of something else behind the file."""
    return data + random.bytes(int(random.integers(4, 4096)))


DAMAGES: dict[str, Damage] = {
    "one flipped bit": flipped_bit,
    "512 bytes of zeros": lost_sector,
    "512 foreign bytes": foreign_sector,
    "cut short": cut,
    "something behind it": tail,
}


def _scribbled_head(data: bytes, random: np.random.Generator) -> bytes:
    scribbled = bytearray(data)
    for place in random.integers(0, min(len(data), 160), int(random.integers(1, 6))):
        scribbled[place] = int(random.choice([0, 1, 0x7F, 0x80, 0xFE, 0xFF, int(random.integers(256))]))
    return bytes(scribbled)


def _large_number(data: bytes, random: np.random.Generator) -> bytes:
    """Four bytes somewhere in the first or last 300 become a number that is worth trying."""
    number = int(random.choice([0, 1, 255, 65_535, 65_536, 2**24, 2**31 - 1, 2**31, 2**32 - 1, len(data)]))
    place = int(random.integers(min(300, len(data) - 4)))
    place = place if random.integers(2) else len(data) - 4 - place
    return data[:place] + number.to_bytes(4, "little" if random.integers(2) else "big") + data[place + 4 :]


def _moved_part(data: bytes, random: np.random.Generator) -> bytes:
    """A part is there twice, or goes."""
    first, second = sorted(int(at) for at in random.integers(0, len(data), 2))
    return data[:second] + data[first:] if random.integers(2) else data[:first] + data[second:]


def _many_bits(data: bytes, random: np.random.Generator) -> bytes:
    for _ in range(int(random.integers(2, 30))):
        data = flipped_bit(data, random)
    return data


MUTATIONS: tuple[Damage, ...] = (
    *DAMAGES.values(), _scribbled_head, _scribbled_head, _large_number, _large_number, _moved_part, _many_bits,
)  # fmt: skip
