"""Images that are not what they seem: white as zero, transparency, further pages, and files of other kinds."""

from __future__ import annotations

import io
import struct
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import PIL.Image
import pytest

from fieldlens.runtime.errors import ImageError
from fieldlens.runtime.pixels.preprocess import Preprocess
from fieldlens.runtime.pixels.steps import Orient, Resize, Window
from tests.runtime.conftest import scene

RGB = scene(4, 48, 64)
GREY = cv2.cvtColor(RGB, cv2.COLOR_RGB2GRAY)
DEEP = GREY.astype(np.uint16) * 257 - np.arange(64, dtype=np.uint16)
ALPHA = np.repeat(np.arange(64, dtype=np.uint8)[None] * 4, 48, axis=0)
ALPHA[:, :8], ALPHA[:, -8:] = 0, 255
COLOUR = Preprocess((Orient(), Resize(64)))
LEVELS = Preprocess((Orient(), Window(32768.0, 65536.0), Resize(64)))


def tiff(
    pixels: npt.NDArray[Any], photometric: int, *extra: tuple[int, int, int], order: str = "<", packed: str = "none",
    strips: int = 1, following: bytes = b"",
) -> bytes:  # fmt: skip
    """A TIFF of these samples as they are, in one or more strips. ``extra``: tag, type, value."""
    height, width = pixels.shape[:2]
    channels = 1 if pixels.ndim == 2 else pixels.shape[2]
    rows = -(-height // strips)
    stored = []
    for top in range(0, height, rows):
        raw = pixels[top : top + rows].astype(f"{order}{pixels.dtype.kind}{pixels.dtype.itemsize}").tobytes()
        stored.append(
            _packed(raw) if packed == "packbits" else __import__("zlib").compress(raw) if packed == "zip" else raw
        )
    count, bits = len(stored), pixels.dtype.itemsize * 8
    compression = {"none": 1, "zip": 8, "packbits": 32773}[packed]
    tags = {
        256: (4, [width]), 257: (4, [height]), 258: (3, [bits] * channels), 259: (3, [compression]),
        262: (3, [photometric]), 273: (4, [0] * count), 277: (3, [channels]), 278: (4, [rows]),
        279: (4, [len(each) for each in stored]), **{tag: (kind, [value]) for tag, kind, value in extra},
    }  # fmt: skip
    place = 8 + 2 + 12 * len(tags) + 4
    room = sum(
        len(values) * (2 if kind == 3 else 4)
        for kind, values in tags.values()
        if len(values) * (2 if kind == 3 else 4) > 4
    )
    begin = place + room
    tags[273] = (4, [begin + sum(len(each) for each in stored[:n]) for n in range(count)])
    directory, beside = b"", b""
    for tag, (kind, values) in sorted(tags.items()):
        body = struct.pack(f"{order}{len(values)}{'H' if kind == 3 else 'I'}", *values)
        if len(body) > 4:
            directory += struct.pack(order + "HHII", tag, kind, len(values), place + len(beside))
            beside += body
        else:
            directory += struct.pack(order + "HHI", tag, kind, len(values)) + body.ljust(4, b"\0")
    after = begin + sum(map(len, stored)) if following else 0
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "IH", 8, len(tags))
    return head + directory + struct.pack(order + "I", after) + beside + b"".join(stored) + following


def _packed(raw: bytes) -> bytes:
    return b"".join(bytes([len(raw[n : n + 128]) - 1]) + raw[n : n + 128] for n in range(0, len(raw), 128))


def with_pil(image: PIL.Image.Image, kind: str, **options: Any) -> bytes:
    stored = io.BytesIO()
    image.save(stored, kind, **options)
    return stored.getvalue()


@pytest.mark.parametrize("strips", [1, 3])
@pytest.mark.parametrize("packed", ["none", "zip", "packbits"])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("deep", [False, True])
def test_white_as_zero_is_read_as_what_it_shows(deep: bool, order: str, packed: str, strips: int) -> None:
    shown = DEEP if deep else GREY
    top = 65535 if deep else 255
    normal = LEVELS.decode(tiff(shown, 1, order=order, packed=packed, strips=strips), "x.tif").pixels
    inverted = LEVELS.decode(tiff(top - shown, 0, order=order, packed=packed, strips=strips), "x.tif").pixels
    assert np.array_equal(normal, shown)
    assert np.array_equal(inverted, shown)
    if not deep:
        found = COLOUR.decode(tiff(top - shown, 0, order=order, packed=packed, strips=strips), "x.tif").pixels
        assert np.array_equal(found[..., 0], shown)


def test_white_as_zero_in_lzw_that_opencv_reads() -> None:
    image = PIL.Image.fromarray(np.ascontiguousarray(255 - GREY[:, :63]))
    data = with_pil(image, "TIFF", compression="tiff_lzw", tiffinfo={262: 0})
    with PIL.Image.open(io.BytesIO(data)) as opened:
        theirs = np.asarray(opened.convert("RGB"))
    assert np.array_equal(COLOUR.decode(data, "x.tif").pixels, theirs)


COMPOSED = ((RGB.astype(int) * ALPHA[..., None] + 127) // 255).astype(np.uint8)
FOUR = PIL.Image.fromarray(np.dstack([RGB, ALPHA]))
TWO = FOUR.convert("LA")
TRANSPARENT: dict[str, tuple[bytes, float]] = {
    "png": (with_pil(FOUR, "PNG"), 1),
    "webp-lossless": (with_pil(FOUR, "WEBP", lossless=True, exact=True), 1),
    "tiff": (with_pil(FOUR, "TIFF"), 1),
    "tiff-lzw": (with_pil(FOUR, "TIFF", compression="tiff_lzw"), 1),
    "tiff-zip": (with_pil(FOUR, "TIFF", compression="tiff_deflate"), 1),
    "tiff-associated": (tiff(np.dstack([COMPOSED, ALPHA]), 2, (338, 3, 1)), 1),
    "tiff-unassociated": (tiff(np.dstack([RGB, ALPHA]), 2, (338, 3, 2), order=">"), 1),
}


@pytest.mark.parametrize("form", TRANSPARENT)
def test_transparency_is_composed_on_black_in_every_format(form: str) -> None:
    data, tolerance = TRANSPARENT[form]
    found = COLOUR.decode(data, form).pixels
    assert np.abs(found.astype(int) - COMPOSED).max() <= tolerance
    assert not found[:, :8].any()
    levels = LEVELS.decode(data, form).pixels
    assert np.abs(levels.astype(int) - cv2.cvtColor(COMPOSED, cv2.COLOR_RGB2GRAY)).max() <= tolerance


def test_transparency_of_a_lossy_webp_is_composed_too() -> None:
    data = with_pil(FOUR, "WEBP", quality=95, exact=True)
    with PIL.Image.open(io.BytesIO(data)) as opened:
        theirs = np.asarray(opened.convert("RGBA")).astype(int)
    assert np.abs(COLOUR.decode(data, "x.webp").pixels - (theirs[..., :3] * theirs[..., 3:] + 127) // 255).max() <= 2


@pytest.mark.parametrize(("kind", "options"), [("PNG", {}), ("TIFF", {}), ("TIFF", {"compression": "tiff_lzw"})])
def test_grey_with_transparency_is_composed_too(kind: str, options: dict[str, str]) -> None:
    found = COLOUR.decode(with_pil(TWO, kind, **options), kind).pixels
    grey = np.asarray(TWO)[..., 0].astype(int)
    assert np.abs(found[..., 0] - (grey * ALPHA + 127) // 255).max() <= 1


@pytest.mark.parametrize("depth", ["png", "tiff-associated", "tiff-unassociated", "tiff-grey", "tiff-white-is-zero"])
def test_sixteen_bits_with_transparency(depth: str) -> None:
    deep, alpha = RGB.astype(np.uint16) * 257, ALPHA.astype(np.uint16) * 257
    composed = ((deep.astype(np.int64) * alpha[..., None] + 32767) // 65535).astype(np.uint16)
    grey, expected = composed[..., 1], cv2.cvtColor(composed, cv2.COLOR_RGB2GRAY)
    level = deep[..., 1]
    data = {
        "png": lambda: cv2.imencode(".png", np.dstack([deep[..., ::-1], alpha]))[1].tobytes(),
        "tiff-associated": lambda: tiff(np.dstack([composed, alpha]), 2, (338, 3, 1)),
        "tiff-unassociated": lambda: tiff(np.dstack([deep, alpha]), 2, (338, 3, 2)),
        "tiff-grey": lambda: tiff(np.dstack([level, alpha]), 1, (338, 3, 2)),
        "tiff-white-is-zero": lambda: tiff(np.dstack([65535 - level, alpha]), 0, (338, 3, 2)),
    }[depth]()
    wanted = grey if depth in ("tiff-grey", "tiff-white-is-zero") else expected
    assert np.abs(LEVELS.decode(data, depth).pixels.astype(int) - wanted).max() <= 2


def test_a_channel_that_is_not_transparency_is_left_out() -> None:
    assert np.array_equal(COLOUR.decode(tiff(np.dstack([RGB, ALPHA]), 2, (338, 3, 0)), "x").pixels, RGB)


@pytest.mark.parametrize("mode", ["RGB", "L", "P"])
def test_a_colour_that_a_png_declares_transparent(mode: str) -> None:
    image = PIL.Image.fromarray(RGB).convert(mode) if mode != "P" else PIL.Image.fromarray(RGB).quantize(8)
    first = image.getpixel((5, 5))
    data = with_pil(image, "PNG", transparency=first)
    found = COLOUR.decode(data, "x.png").pixels
    with PIL.Image.open(io.BytesIO(data)) as opened:
        clear = np.asarray(opened.convert("RGBA"))
    assert not found[5, 5].any()
    assert np.array_equal(found, np.where(clear[..., 3:] == 0, 0, clear[..., :3]))


def test_an_opaque_alpha_changes_nothing() -> None:
    data = with_pil(PIL.Image.fromarray(np.dstack([RGB, np.full((48, 64), 255, np.uint8)])), "PNG")
    assert np.array_equal(COLOUR.decode(data, "x.png").pixels, RGB)


@pytest.mark.parametrize("pages", [2, 3, 7])
def test_further_pages_are_said(pages: int) -> None:
    images = [PIL.Image.fromarray(scene(n, 48, 64)) for n in range(pages)]
    data = with_pil(images[0], "TIFF", save_all=True, append_images=images[1:])
    with pytest.raises(ImageError, match=f"a TIFF of {pages} pages, of which none is read"):
        COLOUR.decode(data, "x.tif")


def test_a_first_page_that_is_a_smaller_copy_is_not_the_image() -> None:
    page = struct.pack("<H", 1) + struct.pack("<HHII", 256, 4, 1, 64) + bytes(4)
    with pytest.raises(ImageError, match="a TIFF of 2 pages"):
        COLOUR.decode(tiff(GREY[:8, :8], 1, (254, 4, 1), following=page), "x.tif")
    copy = struct.pack("<H", 1) + struct.pack("<HHII", 254, 4, 1, 1) + bytes(4)
    with pytest.raises(ImageError, match="begins with a smaller copy"):
        COLOUR.decode(tiff(GREY[:8, :8], 1, (254, 4, 1), following=copy), "x.tif")


@pytest.mark.parametrize("photometric", [4, 8, 9, 10, 32803, 34892, 32845])
def test_colours_that_are_not_read_are_named(photometric: int) -> None:
    names = {4: "mask", 8: "CIE Lab", 9: "ICC Lab", 10: "ITU Lab", 32845: "LogLuv"}
    with pytest.raises(ImageError, match=names.get(photometric, "a camera's raw data")):
        COLOUR.decode(tiff(RGB, photometric), "x.tif")


def box(*brands: bytes) -> bytes:
    body = b"ftyp" + brands[0] + bytes(4) + b"".join(brands)
    return struct.pack(">I", len(body) + 4) + body + bytes(64)


OTHERS = {
    "a GIF": with_pil(FOUR.convert("P"), "GIF"),
    "a HEIC": box(b"heic", b"mif1"),
    "a HEIC ": box(b"mif1", b"heic"),
    "a HEIC  ": box(b"hevc"),
    "a HEIF": box(b"mif1", b"miaf"),
    "an AVIF": box(b"avif"),
    "an AVIF ": box(b"mif1", b"miaf", b"avif"),
    "an AVIF  ": box(b"avis", b"msf1"),
    "a video": box(b"isom", b"mp41"),
    "a video ": box(b"qt  "),
    "a video, or an image of a kind": box(b"what"),
    "a JPEG 2000": b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(40),
    "a JPEG 2000 ": b"\xff\x4f\xff\x51" + bytes(40),
    "a DICOM file": bytes(128) + b"DICM" + bytes(40),
    "a DICOM file ": b"\x02\0\0\0UL\x04\0" + bytes(40),
    "a BigTIFF": b"II+\0\x08\0\0\0" + bytes(40),
    "a JPEG XL": b"\xff\x0a" + bytes(40),
    "a PDF": b"%PDF-1.7\n",
    "a NIfTI file": bytes(344) + b"n+1\0",
    "an SVG": b'<svg xmlns="http://www.w3.org/2000/svg"/>',
    "a web page": b"<!DOCTYPE html><html>404</html>",
    "a placeholder of Git LFS": b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n",
    "a zip archive": b"PK\3\4" + bytes(20),
    "a gzip archive": b"\x1f\x8b\x08" + bytes(20),
    "a PGM": b"P5\n8 8\n255\n" + bytes(64),
    "a Photoshop file": b"8BPS\0\1" + bytes(20),
    "a NumPy array": b"\x93NUMPY\1\0" + bytes(60),
}


@pytest.mark.parametrize("kind", OTHERS)
def test_a_file_of_another_kind_is_named_for_what_it_is(kind: str) -> None:
    with pytest.raises(ImageError, match=f"x.jpg: {kind.rstrip()}"):
        COLOUR.decode(OTHERS[kind], "x.jpg")
