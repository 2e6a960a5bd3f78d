"""The limits of pixels in docs/inputs.md follow from the limits of time and memory."""

from __future__ import annotations

import re
from pathlib import Path

import cv2
import numpy as np
import pytest

from fieldlens.runtime.errors import ImageError
from fieldlens.runtime.pixels.decode_limits import RESERVED_MB, DecodeLimits, Work
from fieldlens.runtime.pixels.imageheader import read_header
from tests.runtime.conftest import jpeg, png, scene
from tests.runtime.damage import FORMATS, progressive_jpeg

PAGE = (Path(__file__).parents[3] / "docs/inputs.md").read_text(encoding="utf-8")
IMAGE = np.ascontiguousarray(scene(5, 1000, 1000))
FILES = {
    "JPEG, one scan": jpeg(np.ascontiguousarray(scene(5, 2100, 2100))),
    "JPEG, progressive": progressive_jpeg(IMAGE),
    "PNG": png(IMAGE),
    "PNG, 16-bit grey": png(IMAGE[..., 0].astype(np.uint16) * 256),
    **{name: FORMATS[name](IMAGE) for name in FORMATS if name.startswith(("TIFF", "BMP", "WebP"))},
}


def megapixels(data: bytes) -> float:
    """The largest image of this kind, with as many bytes per pixel, by the default limits."""
    limits, header = DecodeLimits(), read_header(data, "x")
    pixel_bytes = 3 / 64 if header.format == "jpeg" else 2 * 2 if header.bits > 8 else 2 * 3
    pixels = header.width * header.height
    per_pixel = (len(data) + header.work.decoder_bytes) / pixels + pixel_bytes
    return min(limits.image_bytes / per_pixel, limits.seconds / header.work.least_s * pixels) / 1e6


@pytest.mark.parametrize("name", FILES)
def test_the_documented_limit_is_that_of_the_code(name: str) -> None:
    found = re.search(rf"^\| {re.escape(name)} \| ([\d,]+) \|", PAGE, flags=re.MULTILINE)
    assert found, f"{name}: about {megapixels(FILES[name]):.0f} megapixels are not in docs/inputs.md"
    assert float(found[1].replace(",", "")) == pytest.approx(megapixels(FILES[name]), rel=0.1)


def test_the_page_names_the_defaults() -> None:
    limits = DecodeLimits()
    assert f"{limits.seconds:g} s" in PAGE
    assert f"{limits.memory_mb:g} MB" in PAGE
    assert f"{RESERVED_MB:g} MB" in PAGE


def test_what_is_over_the_limit_of_memory_is_refused_to_the_byte() -> None:
    limits = DecodeLimits(memory_mb=RESERVED_MB + 100)
    assert limits.admit("x", (1, 1), Work(0, 0, 1), 1, 100_000_000 - 2)
    with pytest.raises(ImageError, match="x: 1×1 pixels would take 100 MB"):
        limits.admit("x", (1, 1), Work(0, 0, 1), 1, 100_000_000 - 1)


def test_what_the_header_cannot_tell_is_decoded_elsewhere() -> None:
    limits = DecodeLimits(seconds=1)
    assert limits.admit("x", (1, 1), Work(0.1, 1.0), 1, 1)
    assert not limits.admit("x", (1, 1), Work(0.1, 1.1), 1, 1)
    with pytest.raises(ImageError, match=r"1\.1 s to decode"):
        limits.admit("x", (1, 1), Work(1.1, 1.1), 1, 1)


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"GIF89a" + bytes(30), "a GIF"),
        (b"\0\0\0\x18ftypheic" + bytes(30), "a HEIC"),
        (b"%PDF-1.7" + bytes(9), "a PDF"),
        (b"II+\0" + bytes(30), "a BigTIFF"),
    ],
)
def test_what_is_not_read_is_named(data: bytes, what: str) -> None:
    with pytest.raises(ImageError, match=f"x: {what}, which this kit does not read"):
        read_header(data, "x")


def test_opencv_agrees_about_the_size_of_every_kind() -> None:
    for name, data in FILES.items():
        header = read_header(data, name)
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
        assert pixels is not None
        assert pixels.shape[:2] == (header.height, header.width)
        assert pixels.itemsize * 8 == header.bits
