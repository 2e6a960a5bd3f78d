"""What becomes golden, and what does not travel with it."""

from __future__ import annotations

import json
import struct
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest
import simplejpeg

from fieldlens.convert import golden
from fieldlens.convert.golden import GoldenCandidate, GoldenLane
from fieldlens.runtime.backends.base import Backend, Image, LoadOptions, Outputs
from fieldlens.runtime.backends.fake import FakeBackend, load
from fieldlens.runtime.backends.selftest import load_golden
from fieldlens.runtime.bundle.manifest import Manifest
from fieldlens.runtime.bundle.open import open_bundle
from fieldlens.runtime.errors import KitError
from fieldlens.runtime.pixels.preprocess import Preprocess
from fieldlens.runtime.pixels.steps import Orient, Resize, Window
from tests.convert.conftest import picture

SECRET = b"Jane Doe 1971-03-04"


def with_metadata(pixels: npt.NDArray[np.uint8], orientation: int = 6) -> bytes:
    """A JPEG with EXIF (orientation and a name) and a comment."""
    tiff = b"MM\0*" + struct.pack(">IHHHIHHI", 8, 1, 0x0112, 3, 1, orientation, 0, 0) + SECRET
    exif = b"Exif\0\0" + tiff
    data = simplejpeg.encode_jpeg(np.ascontiguousarray(pixels), 95)
    segments = b"".join(
        marker + struct.pack(">H", len(body) + 2) + body
        for marker, body in ((b"\xff\xe1", exif), (b"\xff\xfe", SECRET))
    )
    return data[:2] + segments + data[2:]


def segments_of(data: bytes) -> list[int]:
    """Marker bytes of a JPEG up to its scan."""
    found, at = [], 2
    while data[at + 1] != 0xDA:
        found.append(data[at + 1])
        at += 2 + int(struct.unpack(">H", data[at + 2 : at + 4])[0])
    return found


def chunks_of(data: bytes) -> set[bytes]:
    """Chunk names of a PNG."""
    found, at = set(), 8
    while at < len(data):
        length, name = struct.unpack(">I4s", data[at : at + 8])
        found.add(name)
        at += 12 + length
    return found


@pytest.fixture(scope="module")
def manifest(bundle_folder: Path) -> Manifest:
    return open_bundle(bundle_folder).manifest


def candidate(content: bytes | npt.NDArray[Any], *stratum: str) -> GoldenCandidate:
    return GoldenCandidate("one", lambda: content, stratum)


def enlarged(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """320×200."""
    return np.asarray(cv2.resize(pixels, (320, 200)), np.uint8)


def flat(red: int, green: int, blue: int) -> npt.NDArray[np.uint8]:
    """One colour."""
    return np.full((16, 16, 3), (red, green, blue), np.uint8)


def written(folder: Path, pattern: str = "*.png") -> list[npt.NDArray[Any]]:
    """The golden images as OpenCV reads them, BGR."""
    found = [cv2.imread(str(path), cv2.IMREAD_UNCHANGED) for path in sorted((folder / "golden").glob(pattern))]
    return [image for image in found if image is not None]


def fake(manifest: Manifest) -> Backend:
    return load(LoadOptions(), "fp32", len(manifest.classes), manifest.cam_size, manifest.features)


class Wrong(FakeBackend):
    """Differs on images that are brighter than a limit, as INT8 does outside of its calibrated range."""

    def infer(self, image: Image) -> Outputs:
        outputs = super().infer(image)
        return outputs._replace(logits=outputs.logits + np.float32(9.0 if image.mean() > 150 else 0.0))


def test_no_metadata_travels(manifest: Manifest, tmp_path: Path) -> None:
    upright = replace(manifest, preprocess=(Orient(), Resize(64)))
    files = [with_metadata(enlarged(picture(index % 2, index))) for index in range(12)]
    candidates = [candidate(data) for data in files]
    assert golden.write(tmp_path, candidates, upright, [GoldenLane(fake(upright), 0.0)]) == 12
    for path in (tmp_path / "golden").glob("*.jpg"):
        data = path.read_bytes()
        assert SECRET not in data
        assert b"Exif" not in data
        assert segments_of(data)[0] == 0xE0
        assert not {0xE1, 0xED, 0xFE} & set(segments_of(data))
    assert {image.shape[0] > image.shape[1] for image in written(tmp_path, "*.jpg")} == {True}, "turned upright, once"
    listed = json.loads((tmp_path / "golden/golden.json").read_text())["images"]
    assert [entry["file"] for entry in listed] == [f"golden/{index:03d}.jpg" for index in range(12)]


def test_small_images_lose_nothing() -> None:
    pixels = picture(1, 5)
    suffix, data = golden.encode(pixels)
    assert suffix == ".png"
    assert chunks_of(data) == {b"IHDR", b"IDAT", b"IEND"}
    decoded = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    np.testing.assert_array_equal(np.asarray(decoded)[..., ::-1], pixels)


@pytest.mark.parametrize("shape", [(300, 200, 3), (300, 200)])
def test_large_images_become_jpeg(shape: tuple[int, ...]) -> None:
    suffix, data = golden.encode(np.full(shape, 77, np.uint8))
    assert suffix == ".jpg"
    assert simplejpeg.decode_jpeg_header(data)[:2] == (300, 200)


def test_very_large_images_are_reduced() -> None:
    _, data = golden.encode(np.zeros((3000, 2000, 3), np.uint8))
    assert simplejpeg.decode_jpeg_header(data)[:2] == (1024, 683)


def test_sixteen_bits_stay_sixteen(manifest: Manifest, tmp_path: Path) -> None:
    ct = replace(manifest, preprocess=(Window(1000.0, 2000.0), Resize(64)))
    pixels = [np.arange(90_000, dtype=np.uint16).reshape(300, 300) % (900 + 50 * index) for index in range(8)]
    golden.write(tmp_path, [candidate(p) for p in pixels], ct, [GoldenLane(fake(ct), 0.0)])
    assert {(image.dtype.name, image.shape) for image in written(tmp_path)} == {("uint16", (300, 300))}


def test_classes_take_turns_and_scores_are_spread(manifest: Manifest, tmp_path: Path) -> None:
    reds = np.linspace(0, 255, 200).astype(int).tolist()
    candidates = [candidate(flat(red, 128, 0), "many" if index % 10 else "few") for index, red in enumerate(reds)]
    general = replace(manifest, decision=None)
    assert golden.write(tmp_path, candidates, general, [GoldenLane(fake(general), 0.0)]) == golden.COUNT
    values = sorted(int(image[0, 0, 2]) for image in written(tmp_path))
    assert values[0] < 10
    assert values[-1] > 245
    assert len(set(values) & set(reds[::10])) == 20, "the rare stratum is there as a whole"


def test_images_near_the_border_come_last(manifest: Manifest, tmp_path: Path) -> None:
    """A flip on a device is then a fault, and not rounding."""
    assert manifest.decision is not None
    candidates = [candidate(flat(128, int(green), 0)) for green in np.linspace(0, 255, 200)]
    decision = replace(manifest.decision, band=(0.5, 0.5), thresholds={"spot": 0.5})
    sharp = replace(manifest, temperature=1.0, decision=decision)
    golden.write(tmp_path, candidates, sharp, [GoldenLane(fake(sharp), 0.0), GoldenLane(fake(sharp), 0.3)])
    with np.load(tmp_path / "golden/golden.npz") as arrays:
        differences = arrays["logits"][:, 1] - arrays["logits"][:, 0]
    assert np.abs(differences).min() > 0.6


def test_images_that_a_precision_cannot_do_here_are_left_out(manifest: Manifest, tmp_path: Path) -> None:
    candidates = [candidate(flat(*[int(value)] * 3)) for value in np.linspace(0, 255, 100)]
    lanes = [GoldenLane(fake(manifest), 0.0), GoldenLane(Wrong("int8", 2, manifest.cam_size, manifest.features), 0.2)]
    golden.write(tmp_path, candidates, manifest, lanes)
    assert max(image.mean() for image in written(tmp_path)) <= 150


class Counting(Wrong):
    """Counts the images that it is asked."""

    asked = 0

    def infer(self, image: Image) -> Outputs:
        self.asked += len(image)
        return super().infer(image)


@pytest.mark.parametrize(("brightest", "least", "most"), [(140, 64, 64), (160, 65, 80)])
def test_only_what_would_be_chosen_is_asked_of_every_precision(
    manifest: Manifest, tmp_path: Path, brightest: int, least: int, most: int
) -> None:
    candidates = [candidate(flat(*[int(value)] * 3)) for value in np.linspace(0, brightest, 100)]
    counting = Counting("int8", 2, manifest.cam_size, manifest.features)
    assert (
        golden.write(tmp_path, candidates, manifest, [GoldenLane(fake(manifest), 0.0), GoldenLane(counting, 0.2)]) == 64
    )
    assert least <= counting.asked <= most


def test_images_unlike_the_training_are_refused(manifest: Manifest, tmp_path: Path) -> None:
    candidates = [candidate(flat(250, 250, 250))] * 20
    lanes = [GoldenLane(fake(manifest), 0.0), GoldenLane(Wrong("int8", 2, manifest.cam_size, manifest.features), 0.2)]
    with pytest.raises(KitError, match="0 of 20 images are enough like the training's"):
        golden.write(tmp_path, candidates, manifest, lanes)


def test_a_file_that_is_no_image_is_named(manifest: Manifest, tmp_path: Path) -> None:
    for index in range(8):
        (tmp_path / f"{index}.jpg").write_bytes(b"no image")
    with pytest.raises(KitError, match=r"0\.jpg"):
        golden.write(tmp_path, golden.from_folder(tmp_path), manifest, [GoldenLane(fake(manifest), 0.0)])


def test_a_folder_with_few_images_is_refused(tmp_path: Path) -> None:
    for index in range(7):
        cv2.imwrite(str(tmp_path / f"{index}.png"), picture(0, index))
    with pytest.raises(KitError, match="holds 7 image files"):
        golden.from_folder(tmp_path)


def test_what_the_bundle_holds_is_what_a_device_sees(bundle_folder: Path) -> None:
    bundle = open_bundle(bundle_folder)
    found = load_golden(bundle)
    assert found.preprocess_differs == 0
    assert found.tensors.shape == (64, 64, 64, 3)
    assert len({tensor.tobytes() for tensor in found.tensors}) == 64
    assert Preprocess(bundle.manifest.preprocess).size == 64
    with np.load(bundle_folder / "golden/golden.npz") as arrays:
        assert {name: arrays[name].shape for name in arrays} == {
            "logits": (64, 2), "cam": (64, 2, 2, 2), "features": (64, 512),
        }  # fmt: skip
        assert {arrays[name].dtype.name for name in arrays} == {"float32"}


def test_dicom_in_its_own_units_is_refused() -> None:
    with pytest.raises(KitError, match="DICOM image in its own units"):
        golden.encode(np.zeros((8, 8, 1), np.int16))
