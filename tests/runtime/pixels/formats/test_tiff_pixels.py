"""TIFF: what is read around OpenCV has OpenCV's pixels, and a strip that is not its rows is an error."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from fieldlens.runtime.errors import ImageError
from fieldlens.runtime.pixels.formats import tiff_pixels
from fieldlens.runtime.pixels.formats.tiff_structure import read_tiff
from fieldlens.runtime.pixels.imageheader import read_header
from fieldlens.runtime.pixels.opencv_decoder import decode_bgr
from fieldlens.runtime.pixels.preprocess import Preprocess
from fieldlens.runtime.pixels.steps import Resize, Window
from tests.runtime.bombs import tiff_of
from tests.runtime.conftest import scene

COMPRESSIONS = {"none": 1, "LZW": 5, "deflate": 8, "PackBits": 32773}


def by_opencv(data: bytes) -> npt.NDArray[Any]:
    pixels = decode_bgr(data, "x", unchanged=True)
    return pixels[..., ::-1] if pixels.ndim == 3 else pixels


@pytest.mark.parametrize("shape", [(48, 64), (47, 63), (1, 5), (200, 2)])
@pytest.mark.parametrize("kind", ["rgb", "grey", "grey16", "rgb16"])
@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_the_pixels_are_opencvs(compression: str, kind: str, shape: tuple[int, int]) -> None:
    picture: npt.NDArray[Any] = scene(3, *shape)
    picture = picture[..., 0] if kind.startswith("grey") else picture
    picture = picture.astype(np.uint16) * 255 + 7 if kind.endswith("16") else picture
    options = [cv2.IMWRITE_TIFF_COMPRESSION, COMPRESSIONS[compression]]
    data = cv2.imencode(".tif", np.ascontiguousarray(picture), options)[1].tobytes()
    layout = read_tiff(data, "x")
    if tiff_pixels.reads(layout):
        assert np.array_equal(tiff_pixels.pixels_rgb(data, layout, "x", 9.0), by_opencv(data))
    else:
        assert layout.compression == 5
        assert layout.across % 2 == 1


@pytest.mark.parametrize("mode", ["RGB", "L", "I;16", "RGBA", "P", "1", "CMYK"])
@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_adobe_deflate", "packbits", None])
@pytest.mark.parametrize("tags", [{}, {278: 1000}, {317: 2}, {274: 6}], ids=["strips", "one", "predictor", "turned"])
def test_whatever_another_program_writes(mode: str, compression: str | None, tags: dict[int, int]) -> None:
    """Read around OpenCV or not: the network gets the same."""
    from PIL import Image

    if mode == "1":  # no predictor for single bits
        tags = {tag: value for tag, value in tags.items() if tag != 317}
    picture: npt.NDArray[Any] = scene(4, 60, 80)
    image = Image.fromarray(picture[..., 0].astype(np.uint16) * 250) if mode == "I;16" else Image.fromarray(picture)
    buffer = io.BytesIO()
    (image if mode == "I;16" else image.convert(mode)).save(buffer, "TIFF", compression=compression, tiffinfo=tags)
    data, steps = buffer.getvalue(), (Window(100, 150), Resize(64))
    expected = decode_bgr(data, "x", unchanged=True)
    if expected.ndim == 3:
        expected = cv2.cvtColor(expected, cv2.COLOR_BGR2GRAY if expected.shape[2] == 3 else cv2.COLOR_BGRA2GRAY)
    assert np.array_equal(Preprocess(steps).decode(data, "x").pixels, expected)


def test_the_other_byte_order() -> None:
    """Big-endian, 16 bits, with a predictor."""
    picture = (scene(5, 24, 32)[..., 0].astype(np.uint16) * 256) + 3
    differences = np.diff(picture, axis=1, prepend=np.zeros((24, 1), np.uint16)).astype(">u2")
    strip = zlib.compress(differences.tobytes())
    entries = [
        (256, 3, 1, 32 << 16), (257, 3, 1, 24 << 16), (258, 3, 1, 16 << 16), (259, 3, 1, 8 << 16), (262, 3, 1, 1 << 16),
        (273, 4, 1, 8), (277, 3, 1, 1 << 16), (278, 3, 1, 24 << 16), (279, 4, 1, len(strip)), (317, 3, 1, 2 << 16),
    ]  # fmt: skip
    table = struct.pack(">H", len(entries)) + b"".join(struct.pack(">HHII", *entry) for entry in entries) + bytes(4)
    data = b"MM\0*" + struct.pack(">I", 8 + len(strip)) + strip + table
    assert np.array_equal(tiff_pixels.pixels_rgb(data, read_tiff(data, "x"), "x", 9.0), picture)
    assert np.array_equal(by_opencv(data), picture)


def packed(*packets: bytes) -> list[bytes]:
    return [b"".join(packets)]


@pytest.mark.parametrize(
    ("strips", "compression"),
    [
        ([zlib.compress(bytes(191))], 8),
        ([zlib.compress(bytes(193))], 8),
        ([zlib.compress(bytes(192))[:-1] + b"\0"], 8),  # its checksum
        ([zlib.compress(bytes(192))[:-4]], 8),
        ([b"\x78\x9c" + bytes(100)], 8),
        (packed(b"\x81\0", b"\xc2\0"), 32773),  # 128 + 63
        (packed(b"\x81\0", b"\xc0\0"), 32773),  # 128 + 65
        (packed(b"\x81\0", b"\x3f" + bytes(63)), 32773),  # a literal that is not all there
        ([b"\x80\x0b\x60\x50" + bytes(20)], 5),
        ([bytes(64)], 5),
    ],
)
def test_a_strip_that_is_not_its_rows_is_an_error(strips: list[bytes], compression: int) -> None:
    data = tiff_of(8, 8, strips, compression)
    assert tiff_pixels.reads(read_tiff(data, "x.tif"))
    with pytest.raises(ImageError, match=r"x\.tif: corrupt TIFF"):
        Preprocess((Resize(64),)).decode(data, "x.tif")


def test_the_strips_of_that_test_are_right_when_they_are_whole() -> None:
    for strips, compression in (([zlib.compress(bytes(192))], 8), (packed(b"\x81\0", b"\xc1\0", b"\x80"), 32773)):
        assert not Preprocess((Resize(64),)).decode(tiff_of(8, 8, strips, compression), "x").pixels.any()


@pytest.mark.parametrize(
    ("changed", "what"),
    [
        ((259, 3, 1, 50000), "Zstandard"),
        ((339, 3, 1, 3), "floating-point"),
        ((258, 3, 1, 32), "samples"),
        ((266, 3, 1, 2), "reverse order"),
        ((277, 3, 1, 9), "channels"),
        ((278, 4, 1, 0), "strips or tiles of 8×0"),
        ((257, 4, 1, 9), "1 of 2"),
        ((256, 4, 1, 9), "cannot hold"),
        ((273, 4, 1, 60_000), "beyond the file"),
        ((273, 4, 9, 8), "9 of 1"),
        ((279, 4, 1, 400), "beyond the file"),
        ((256, 4, 1, 0), "zero size"),
    ],
)
def test_a_directory_that_does_not_fit_is_an_error(changed: tuple[int, int, int, int], what: str) -> None:
    with pytest.raises(ImageError, match=f"x: .*{what}"):
        read_header(tiff_of(8, 8, [bytes(192)], 1, changed=changed), "x")


def test_pages_are_refused_and_smaller_copies_are_not() -> None:
    one = tiff_of(8, 8, [bytes(192)], 1)
    copy, page = (tiff_of(4, 4, [bytes(48)], 1, kind=(254, 4, 1, kind)) for kind in (1, 2))
    for second, refused in ((copy, False), (page, True)):
        (start,) = struct.unpack_from("<I", second, 4)
        whole = one[:-4] + struct.pack("<I", len(one)) + second[start:]
        if refused:
            with pytest.raises(ImageError, match="a TIFF of 2 pages"):
                read_header(whole, "x")
        else:
            assert read_header(whole, "x").width == 8
