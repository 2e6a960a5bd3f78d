"""Which way up an image is: as Pillow and OpenCV have it, in every form that EXIF comes in."""

from __future__ import annotations

import io
import struct
import zlib

import cv2
import numpy as np
import PIL.Image
import PIL.ImageOps
import pytest

from fieldlens.runtime.pixels.formats.exif import exif_orientation
from fieldlens.runtime.pixels.imageheader import read_header
from fieldlens.runtime.pixels.preprocess import Preprocess
from fieldlens.runtime.pixels.steps import Orient, Resize
from tests.runtime.conftest import jpeg, png, scene

XMP = b'http://ns.adobe.com/xap/1.0/\0<x:xmpmeta xmlns:x="adobe:ns:meta/"></x:xmpmeta>'
EXIF = b"Exif\0\0"
PICTURE = scene(3, 48, 64)


def block(value: int | None = 6, order: str = ">", kind: int = 3, before: int = 0, far: int = 0) -> bytes:
    """An EXIF block: ``before`` tags of other kinds come first, and the directory begins ``far`` bytes later."""
    letter = {3: "H", 4: "I"}.get(kind, "H")
    entries = [struct.pack(order + "HHII", 0x0100 + n, 4, 1, 640) for n in range(before)]
    if value is not None:
        packed = struct.pack(order + letter, value).ljust(4, b"\0")
        entries.append(struct.pack(order + "HHI", 0x0112, kind, 1) + packed)
    head = (b"MM\0*" if order == ">" else b"II*\0") + struct.pack(order + "I", 8 + far) + bytes(far)
    return head + struct.pack(order + "H", len(entries)) + b"".join(entries) + bytes(4)


def segments(*bodies: bytes, data: bytes | None = None, after_frame: bool = False) -> bytes:
    """A JPEG with APP1 segments of these bodies."""
    data = jpeg(PICTURE) if data is None else data
    made = b"".join(b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body for body in bodies)
    place = data.index(b"\xff\xc4") if after_frame else 2
    return data[:place] + made + data[place:]


def split(whole: bytes, size: int = 65_000) -> list[bytes]:
    return [EXIF + whole[start : start + size] for start in range(0, len(whole), size)]


FORMS: dict[str, tuple[bytes, int]] = {
    **{f"orientation-{n}": (segments(EXIF + block(n)), n) for n in range(1, 9)},
    "little-endian": (segments(EXIF + block(6, "<")), 6),
    "long": (segments(EXIF + block(8, kind=4)), 8),
    "other-tags-first": (segments(EXIF + block(5, before=7)), 5),
    "none": (segments(), 1),
    "no-orientation": (segments(EXIF + block(None, before=2)), 1),
    "zero": (segments(EXIF + block(0)), 1),
    "nine": (segments(EXIF + block(9)), 1),
    "huge": (segments(EXIF + block(65_535)), 1),
    "xmp-before": (segments(XMP, EXIF + block(6)), 6),
    "xmp-behind": (segments(EXIF + block(6), XMP), 6),
    "first-of-two": (segments(EXIF + block(6), EXIF + block(3)), 6),
    "first-of-two-with-xmp": (segments(EXIF + block(6), XMP, EXIF + block(3)), 6),
    "then-one-without": (segments(EXIF + block(6), EXIF + block(None, before=1)), 6),
    "then-an-empty-one": (segments(EXIF + block(6), EXIF), 6),
    "then-a-broken-one": (segments(EXIF + block(6), EXIF + b"\xff" * 40), 6),
    "then-a-cut-one": (segments(EXIF + block(6), EXIF + block(3)[:12]), 6),
    "then-upright": (segments(EXIF + block(6), EXIF + block(1)), 6),
    "after-an-empty-one": (segments(EXIF, EXIF + block(6)), 6),
    "beyond-64-kb": (segments(*split(block(6, far=70_000))), 6),
    "beyond-128-kb": (segments(*split(block(8, "<", far=140_000))), 8),
    "beyond-64-kb-with-xmp": (segments(split(block(6, far=70_000))[0], XMP, split(block(6, far=70_000))[1]), 6),
    "64-kb-of-other-data-behind": (segments(*split(block(7) + bytes(100_000))), 7),
    "behind-the-frame": (segments(EXIF + block(6), after_frame=True), 6),
    "on-both-sides-of-the-frame": (segments(EXIF + block(6), data=segments(EXIF + block(3), after_frame=True)), 6),
    "cut-behind-its-value": (segments(EXIF + block(6)[:-4]), 6),
}
"""As Pillow has them."""

OURS: dict[str, tuple[bytes, int]] = {
    "after-one-without": (segments(EXIF + block(None, before=1), EXIF + block(6)), 6),
    "after-a-broken-one": (segments(EXIF + b"\xff" * 40, EXIF + block(6)), 6),
    "after-a-cut-one": (segments(EXIF + block(3)[:12], EXIF + block(6)), 6),
    "after-an-invalid-value": (segments(EXIF + block(0), EXIF + block(6)), 6),
    "broken-alone": (segments(EXIF + b"\xff" * 40), 1),
    "no-byte-order": (segments(EXIF + b"XX\0*" + block(6)[4:]), 1),
    "another-number": (segments(EXIF + b"MM\0+" + block(6)[4:]), 1),
    "directory-nowhere": (segments(EXIF + block(6)[:4] + b"\xff\xff\xff\xf0"), 1),
    "three-bytes": (segments(EXIF + b"MM\0"), 1),
    "text": (segments(EXIF + block(6, kind=2)), 1),
}
"""The first valid value counts, where Pillow stops at the first segment, or raises."""


def pillows(data: bytes) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    with PIL.Image.open(io.BytesIO(data)) as opened:
        return np.asarray(PIL.ImageOps.exif_transpose(opened).convert("RGB"))


def ours(data: bytes) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    return Preprocess((Orient(), Resize(64))).decode(data, "x.jpg").pixels.copy()


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")  # Pillow's own, of what is cut
@pytest.mark.parametrize("form", FORMS)
def test_a_form_is_turned_as_pillow_turns_it(form: str) -> None:
    data, orientation = FORMS[form]
    assert read_header(data, "x.jpg").orientation == orientation
    mine, other = ours(data), pillows(data)
    assert mine.shape == other.shape
    assert np.abs(mine.astype(int) - other).mean() < 2
    plain = pillows(jpeg(PICTURE))
    assert (mine.shape == plain.shape and np.abs(mine.astype(int) - plain).mean() < 2) == (orientation == 1)


@pytest.mark.parametrize("form", OURS)
def test_what_is_empty_or_broken_changes_nothing(form: str) -> None:
    data, orientation = OURS[form]
    assert read_header(data, "x.jpg").orientation == orientation


SURE = [form for form in FORMS if form.startswith("orientation") or form in ("little-endian", "xmp-before")]


@pytest.mark.parametrize("form", SURE)
def test_opencv_turns_it_alike(form: str) -> None:
    theirs = cv2.imdecode(np.frombuffer(FORMS[form][0], np.uint8), cv2.IMREAD_COLOR)
    assert theirs is not None
    mine = ours(FORMS[form][0])
    assert mine.shape == theirs.shape
    assert np.abs(mine.astype(int) - theirs[..., ::-1]).mean() < 4


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


@pytest.mark.parametrize("at_the_end", [False, True])
@pytest.mark.parametrize(
    ("bodies", "orientation"), [((block(6),), 6), ((block(3, "<"),), 3), ((EXIF + block(8),), 8), ((b"",), 1), ((), 1)]
)
def test_a_png_is_turned_as_pillow_turns_it(bodies: tuple[bytes, ...], orientation: int, at_the_end: bool) -> None:
    data = png(PICTURE[..., ::-1])
    place = len(data) - 12 if at_the_end else 33
    data = data[:place] + b"".join(chunk(b"eXIf", body) for body in bodies) + data[place:]
    assert read_header(data, "x.png").orientation == orientation
    if b"" not in bodies:
        assert np.array_equal(ours(data), pillows(data))


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize("compression", [None, "tiff_lzw", "tiff_deflate"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_tiff_is_turned_as_pillow_turns_it(orientation: int, compression: str | None, mode: str, order: str) -> None:
    stored = io.BytesIO()
    image = PIL.Image.fromarray(PICTURE).convert(mode)
    image.save(stored, "TIFF", compression=compression, tiffinfo={274: orientation}, big_endian=order == ">")
    assert np.array_equal(ours(stored.getvalue()), pillows(stored.getvalue()))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_webp_is_turned_as_pillow_turns_it(orientation: int) -> None:
    stored = io.BytesIO()
    PIL.Image.fromarray(PICTURE).save(stored, "WEBP", lossless=True, exif=EXIF + block(orientation))
    assert np.array_equal(ours(stored.getvalue()), pillows(stored.getvalue()))


def test_no_block_at_all_is_upright() -> None:
    assert exif_orientation() == 1
    assert exif_orientation(b"", b"") == 1
