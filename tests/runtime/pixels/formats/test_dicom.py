"""DICOM pixels against a second reader's (GDCM, and pydicom's LUTs), and what is refused in which words."""

from __future__ import annotations

from typing import Any

import cv2
import imagecodecs
import numpy as np
import pytest
from pydicom import uid
from pydicom.dataset import Dataset
from pydicom.pixels.processing import apply_windowing

from fieldlens.runtime.errors import ImageError
from fieldlens.runtime.pixels import dicom_file, killable_decoder
from fieldlens.runtime.pixels.decode_limits import DecodeLimits
from fieldlens.runtime.pixels.imageheader import read_header
from fieldlens.runtime.pixels.preprocess import Preprocess
from fieldlens.runtime.pixels.steps import Crop, Resize, Step, Window
from tests.runtime.dicom_made import ct, encoded, made
from tests.runtime.dicom_second import ROOT, as_shown, in_units, parsed, shipped, unpacked

LIMITS = DecodeLimits()
SHOWN = [
    "693_J2KI.dcm", "ExplVR_BigEnd.dcm", "GDCMJ2K_TextGBR.dcm", "JPEGLSNearLossless_08.dcm", "MR_small.dcm",
    "MR_small_RLE.dcm", "MR_small_bigendian.dcm", "MR_small_expb.dcm", "MR_small_implicit.dcm",
    "MR_small_jp2klossless.dcm", "MR_small_jpeg_ls_lossless.dcm", "MR_small_padded.dcm",
    "SC_jpeg_no_color_transform.dcm", "SC_jpeg_no_color_transform_2.dcm", "SC_rgb_dcmtk_+eb+cr.dcm",
    "SC_rgb_dcmtk_+eb+cy+n1.dcm", "SC_rgb_dcmtk_+eb+cy+n2.dcm", "SC_rgb_dcmtk_+eb+cy+np.dcm",
    "SC_rgb_dcmtk_+eb+cy+s2.dcm", "SC_rgb_dcmtk_+eb+cy+s4.dcm", "SC_rgb_gdcm_KY.dcm", "SC_rgb_jls_lossy_line.dcm",
    "SC_rgb_jls_lossy_sample.dcm", "SC_rgb_jpeg.dcm", "SC_rgb_jpeg_app14_dcmd.dcm", "SC_rgb_jpeg_dcmd.dcm",
    "SC_rgb_jpeg_dcmtk.dcm", "SC_rgb_jpeg_gdcm.dcm", "SC_rgb_jpeg_lossy_gdcm.dcm", "SC_rgb_rle.dcm",
    "SC_rgb_rle_2frame.dcm", "SC_rgb_small_odd.dcm", "SC_rgb_small_odd_big_endian.dcm", "SC_rgb_small_odd_jpeg.dcm",
    "SC_ybr_full_422_uncompressed.dcm", "examples_jpeg2k.dcm", "examples_overlay.dcm", "examples_palette.dcm",
    "examples_rgb_color.dcm", "examples_ybr_color.dcm", "image_dfl.dcm", "dicomdirtests/77654033/CR1/6154",
    "dicomdirtests/77654033/CT2/17106", "dicomdirtests/98892001/CT5N/2062", "dicomdirtests/98892003/MR2/4950",
]  # fmt: skip
UNITS = ["CT_small.dcm", "JPEG-lossy.dcm", "JPEG2000.dcm", "JPEGLSNearLossless_16.dcm", "JPGExtended.dcm"]
LOSSY = {uid.JPEGBaseline8Bit, uid.JPEGExtended12Bit, uid.JPEG2000, uid.JPEGLSNearLossless}
REFUSED = {
    "MR_truncated.dcm": "truncated DICOM file",
    "JPEG2000-embedded-sequence-delimiter.dcm": "truncated or corrupt DICOM file",
    "liver_1frame.dcm": "1 bits in 1; 8 to 16 bits are read",
    "SC_rgb_rle_32bit.dcm": "32 bits in 32; 8 to 16 bits are read",
    "rtdose_expb.dcm": "32 bits in 32",
    "reportsi.dcm": "without an image (Basic Text SR Storage)",
    "rtplan.dcm": "without an image (RT Plan Storage)",
    "waveform_ecg.dcm": "without an image (12-lead ECG Waveform Storage)",
    "dicomdirtests/DICOMDIR": "without an image",
    "CT_small.dcm": "16 bits per pixel, and neither the DICOM file nor this model has a grey-level window",
}


def shown(data: bytes, name: str = "FILE", level: float | None = None) -> Any:
    return dicom_file.pixels_of(data, name, LIMITS, level)


@pytest.mark.parametrize("name", SHOWN)
def test_pixels_are_a_second_readers(name: str) -> None:
    path = shipped(name)
    ours, theirs = shown(path.read_bytes(), "FILE#1"), as_shown(path)
    allowed = 1 if parsed(path).file_meta.TransferSyntaxUID in LOSSY else 0
    assert ours.dtype == np.uint8
    assert ours.shape == theirs.shape
    assert np.abs(ours.astype(int) - theirs).max() <= allowed
    assert ours.max() > 0


@pytest.mark.parametrize("name", UNITS)
def test_values_are_a_second_readers(name: str) -> None:
    path = shipped(name)
    ours, theirs = shown(path.read_bytes(), level=0.0), in_units(path)
    assert np.abs(ours.astype(float) - theirs).max() == 0


def test_every_syntax_that_is_claimed_is_shown() -> None:
    from fieldlens.runtime.pixels.formats.dicom import syntaxes

    found = {str(parsed(shipped(name)).file_meta.TransferSyntaxUID) for name in (*SHOWN, *UNITS)}
    # Nobody ships Process 14 with another predictor than the first: see the test of lossless JPEG below.
    assert found | {str(uid.JPEGLossless)} == set(map(str, syntaxes.READ))


def test_what_gdcm_reads_otherwise_is_as_pydicom_reads_it() -> None:
    """GDCM swaps the bytes of 16-bit RLE in colour, and does not know that a JPEG 2000 may lack the file's sign."""
    rle, signed = parsed(shipped("SC_rgb_rle_16bit.dcm")), parsed(shipped("J2K_pixelrep_mismatch.dcm"))
    assert np.array_equal(shown(shipped("SC_rgb_rle_16bit.dcm").read_bytes()), rle.pixel_array >> 8)
    ours = shown(shipped("J2K_pixelrep_mismatch.dcm").read_bytes(), level=0.0)
    assert np.array_equal(ours, signed.pixel_array)
    assert ours.min() == -2000


@pytest.mark.parametrize("syntax", [uid.JPEGLossless, uid.JPEGLosslessSV1])
@pytest.mark.parametrize("signed", [False, True])
def test_lossless_jpeg_of_16_bits(syntax: str, signed: bool, tmp_path: Any) -> None:
    values = np.random.default_rng(4).integers(-900, 3000, (40, 50)) if signed else np.arange(2000).reshape(40, 50) * 7
    stored = values.astype(np.int16 if signed else np.uint16)
    coded = imagecodecs.ljpeg_encode(stored.view(np.uint16), bitspersample=16)
    path = tmp_path / "lossless.dcm"
    path.write_bytes(encoded(made(stored, syntax=syntax, frames=[bytes(coded)])))
    assert np.array_equal(shown(path.read_bytes(), level=0.0), stored)
    assert np.array_equal(unpacked(path), stored)


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused_says_why(name: str) -> None:
    with pytest.raises(ImageError) as caught:
        shown(shipped(name).read_bytes())
    assert REFUSED[name] in caught.value.message
    assert caught.value.hint


def test_another_transfer_syntax_is_refused_by_its_name() -> None:
    data = encoded(made(np.zeros((8, 8), np.uint8), syntax=uid.HTJ2KLossless, frames=[b"\0\0"]))
    with pytest.raises(ImageError, match=r"High-Throughput JPEG 2000.*1\.2\.840\.10008\.1\.2\.4\.201.*does not read"):
        shown(data)
    data = encoded(made(np.zeros((8, 8), np.uint8), syntax=uid.MPEG4HP41, frames=[b"\0\0"]))
    with pytest.raises(ImageError, match="MPEG-4"):
        shown(data)


def test_overlays_in_the_unused_bits_are_left_out() -> None:
    grey = np.arange(64, dtype=np.uint16).reshape(8, 8) * 60
    data = encoded(made(grey | 0xF000, bits=12, WindowCenter=2048, WindowWidth=4096))
    assert np.array_equal(shown(data, level=0.0), grey)


@pytest.mark.parametrize("function", ["LINEAR", "LINEAR_EXACT", "SIGMOID"])
@pytest.mark.parametrize("width", [1, 2, 300, 4095])
def test_a_window_of_the_file(function: str, width: int) -> None:
    values = np.arange(4096, dtype=np.uint16).reshape(64, 64)
    if function == "LINEAR_EXACT" and width == 1:
        values = values[:, :32].copy()
    dataset = made(values, bits=12, WindowCenter=1000, WindowWidth=width, VOILUTFunction=function)
    with np.errstate(over="ignore"):
        theirs = apply_windowing(values, dataset) * (255.0 / 4095.0)
    assert np.abs(shown(encoded(dataset)).astype(float) - theirs).max() <= 0.51


def test_the_first_of_several_windows_counts() -> None:
    values = np.arange(4096, dtype=np.uint16).reshape(64, 64)
    several = encoded(made(values, bits=12, WindowCenter=[1000, 50], WindowWidth=[400, 80]))
    assert np.array_equal(shown(several), shown(encoded(made(values, bits=12, WindowCenter=1000, WindowWidth=400))))


def lut(entries: list[int], first: int, bits: int) -> Dataset:
    item = Dataset()
    item.LUTDescriptor = [len(entries), first, bits]
    item.LUTData = np.array(entries, "<u2").tobytes()
    item["LUTData"].VR = "OW"
    return item


def test_modality_and_voi_luts() -> None:
    values = np.arange(256, dtype=np.uint16).reshape(16, 16)
    squares = [min(n * n, 65535) for n in range(200)]
    units = shown(encoded(made(values, bits=12, ModalityLUTSequence=[lut(squares, 10, 16)])), level=0.0)
    assert np.array_equal(units.ravel(), [squares[min(max(v - 10, 0), 199)] for v in range(256)])
    voi = [4095 - 16 * n for n in range(256)]
    dataset = made(values, bits=12, VOILUTSequence=[lut(voi, 0, 12)], WindowCenter=3, WindowWidth=5)
    assert np.array_equal(shown(encoded(dataset)).ravel(), np.rint(np.array(voi) * (255 / 4095)).astype(np.uint8))


def test_monochrome1_is_the_other_way_round() -> None:
    values = np.arange(4096, dtype=np.uint16).reshape(64, 64)
    plain, turned = (
        encoded(made(values, bits=12, photometric=kind, WindowCenter=1000, WindowWidth=900))
        for kind in ("MONOCHROME2", "MONOCHROME1")
    )
    assert np.array_equal(shown(turned), 255 - shown(plain))
    steps: tuple[Step, ...] = (Window(1100, 700), Resize(64, "squash"))
    one, other = (Preprocess(steps).from_bytes(data, "FILE").astype(int) for data in (plain, turned))
    assert np.abs(one + other - 255).max() <= 1  # a value between two levels is rounded on both sides


def test_enhanced_files_say_it_for_each_frame() -> None:
    values = np.stack([np.full((8, 8), 100, np.uint16)] * 2)

    def group(slope: float, centre: float) -> Dataset:
        change, window, item = Dataset(), Dataset(), Dataset()
        change.RescaleSlope, change.RescaleIntercept, change.RescaleType = slope, -5, "HU"
        window.WindowCenter, window.WindowWidth = centre, 1000
        item.PixelValueTransformationSequence, item.FrameVOILUTSequence = [change], [window]
        return item

    data = encoded(
        made(values, bits=12, NumberOfFrames=2, PerFrameFunctionalGroupsSequence=[group(1, 95), group(3, 1000)])
    )
    assert shown(data, "FILE#1", 0.0)[0, 0] == 95
    assert shown(data, "FILE#2", 0.0)[0, 0] == 295
    assert shown(data, "FILE#1")[0, 0] > 2 * shown(data, "FILE#2")[0, 0]


def test_frames_are_counted_from_one() -> None:
    path = shipped("examples_ybr_color.dcm")
    data = path.read_bytes()
    for frame in (1, 17, 30):
        assert np.abs(shown(data, f"FILE#{frame}").astype(int) - as_shown(path, frame - 1)).max() <= 1
    assert not np.array_equal(shown(data, "FILE#1"), shown(data, "FILE#17"))
    for name, words in {"FILE": "of 30 frames", "FILE#0": "has 30 frames", "FILE#31": "has 30 frames"}.items():
        with pytest.raises(ImageError, match=words):
            shown(data, name)


STEPS: list[tuple[Step, ...]] = [
    (Resize(224),),
    (Resize(64, "pad"),),
    (Crop(0.1, 0.2, 0.8, 0.9), Resize(96, "squash")),
]


@pytest.mark.parametrize("steps", STEPS)
def test_a_png_made_after_the_same_window_gives_the_same_tensor(steps: tuple[Step, ...]) -> None:
    window = Window(40, 400)
    with_window = (*steps[:-1], window, steps[-1])
    for name in ("CT_small.dcm", "693_J2KI.dcm", "dicomdirtests/98892001/CT5N/2062"):
        units = in_units(shipped(name)).astype(np.float32)  # as the kit's windows are defined: ties are many
        grey = np.rint(np.clip((units - (40 - 200)) * (255 / 400), 0, 255)).astype(np.uint8)
        png = cv2.imencode(".png", grey)[1].tobytes()
        dicom = Preprocess(with_window).from_bytes(shipped(name).read_bytes(), name)
        assert np.array_equal(dicom, Preprocess(steps).from_bytes(png, "a.png"))
    for name in ("MR_small.dcm", "examples_palette.dcm", "image_dfl.dcm", "examples_jpeg2k.dcm"):
        png = cv2.imencode(".png", as_shown(shipped(name))[..., ::-1] if as_shown(shipped(name)).ndim == 3
                           else as_shown(shipped(name)))[1].tobytes()  # fmt: skip
        dicom = Preprocess(steps).from_bytes(shipped(name).read_bytes(), name)
        assert np.array_equal(dicom, Preprocess(steps).from_bytes(png, "a.png"))


def test_without_the_extra_the_requirement_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dicom_file, "_missing", lambda: "pydicom")
    with pytest.raises(ImageError, match=r"a DICOM file; reading it takes pydicom, not installed here") as caught:
        read_header(ct(1), "FILE")
    assert "runtime/requirements-dicom.txt" in caught.value.hint
    assert "fieldlens[dicom]" in caught.value.hint


def test_what_is_too_large_is_refused_before_it_is_unpacked() -> None:
    dataset = made(np.zeros((8, 8), np.uint8))
    dataset.Rows = dataset.Columns = 30_000
    with pytest.raises(ImageError, match="over the limit"):
        shown(encoded(dataset))
    bomb = made(np.zeros((8, 8), np.uint8), syntax=uid.DeflatedExplicitVRLittleEndian)
    bomb.PixelData = bytes(600_000_000)
    data = encoded(bomb)
    assert len(data) < 1_000_000
    patient = DecodeLimits(seconds=60)  # on a busy machine the bomb's own clock would be first
    with pytest.raises(ImageError, match=r"more memory|truncated or corrupt|made the decoder fail"):
        dicom_file.pixels_of(data, "FILE", patient, None)


def damaged(data: bytes, random: np.random.Generator) -> bytes:
    """Bytes changed, lost, doubled, or the file cut, mostly in its header, where the structure is."""
    changed = bytearray(data)
    kind = random.integers(5)
    for _ in range(random.integers(1, 8)):
        limit = len(changed) if random.random() < 0.3 else min(len(changed), 1500)
        place = int(random.integers(132, max(limit, 133)))
        if kind == 0:
            changed[place : place + 1] = bytes([random.integers(256)])
        elif kind == 1:
            changed[place : place + 4] = [b"\xff\xff\xff\xff", b"\xff\xff\xff\x7f", b"\0\0\0\0"][random.integers(3)]
        elif kind == 2:
            del changed[place : place + int(random.integers(1, 40))]
        elif kind == 3:
            changed[place:place] = changed[place : place + int(random.integers(1, 60))]
        else:
            del changed[place:]
    return bytes(changed)


FUZZED = ["MR_small.dcm", "MR_small_RLE.dcm", "MR_small_jp2klossless.dcm", "MR_small_jpeg_ls_lossless.dcm",
          "SC_rgb_jpeg_gdcm.dcm", "SC_rgb_small_odd_jpeg.dcm", "image_dfl.dcm", "SC_rgb_rle_2frame.dcm",
          "examples_palette.dcm", "JPGExtended.dcm"]  # fmt: skip


def fuzz(count: int) -> tuple[int, int]:
    """How many of so many mutants of each file were answered, and refused."""
    answered = refused = 0
    for name in FUZZED:
        whole = shipped(name).read_bytes()
        for seed in range(count):
            data = damaged(whole, np.random.default_rng(seed))
            try:
                pixels = shown(data, "FILE#1", (None, 100.0)[seed % 2])
            except ImageError:  # anything else ends the test
                refused += 1
            else:
                answered += pixels.ndim in (2, 3)
    return answered, refused


def test_mutated_files_are_answered_or_refused() -> None:
    answered, refused = fuzz(12)
    assert answered + refused == 12 * len(FUZZED)
    assert refused > 12


@pytest.mark.full
def test_thousands_of_mutated_files() -> None:
    answered, refused = fuzz(400)
    print(f"\nDICOM: {answered} answered, {refused} refused")
    assert answered + refused == 400 * len(FUZZED)


@pytest.mark.parametrize("depth", [50, 5000])
def test_deep_sequences(depth: int) -> None:
    """Nested without end; Python's own limit is an error like any other."""
    whole = encoded(made(np.zeros((8, 8), np.uint8)))
    opening = b"\x08\x00\x40\x11SQ\0\0\xff\xff\xff\xff\xfe\xff\x00\xe0\xff\xff\xff\xff"  # (0008,1140), undefined length
    place = whole.index(b"\x10\x00\x10\x00PN")
    data = whole[:place] + opening * depth + whole[place:]
    with pytest.raises(ImageError, match="DICOM file"):
        shown(data)
    assert shown(whole).shape == (8, 8)


def test_a_crash_ends_one_file(monkeypatch: pytest.MonkeyPatch) -> None:
    good = ct(3)
    assert shown(good).shape == (64, 64)
    process = killable_decoder.SHARED._process
    assert process is not None
    process.kill()
    process.wait()
    assert shown(good).shape == (64, 64)


def test_no_message_quotes_the_header() -> None:
    said = []
    for seed in range(60):
        data = damaged(ct(1, 16), np.random.default_rng(seed))
        try:
            shown(data)
        except ImageError as error:
            said.append(error.message + error.hint)
    assert len(said) > 5
    assert not [words for words in said if "Zebrowski" in words or "773190" in words]


def test_the_shipped_folder_is_there() -> None:
    assert len(list(ROOT.glob("*.dcm"))) > 60
