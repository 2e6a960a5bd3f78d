"""Fixtures of the device's tests: good and broken images, a small real model, whole and broken bundles."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shutil
import struct
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import onnx
import pytest
import simplejpeg
from onnx import TensorProto, helper, numpy_helper

from fieldlens.runtime.bundle.decision import Decision
from fieldlens.runtime.bundle.manifest import ClassInfo, Manifest, Tolerance, Version
from fieldlens.runtime.bundle.open import MANIFEST, describe_files, manifest_bytes, open_bundle
from fieldlens.runtime.bundle.opened import Bundle
from fieldlens.runtime.pixels.preprocess import Preprocess
from fieldlens.runtime.pixels.steps import Orient, Resize
from fieldlens.runtime.prediction import AnswerOrigin

SIZE = 64


def scene(seed: int, height: int = 480, width: int = 640) -> npt.NDArray[np.uint8]:
    """A smooth coloured image with some detail, uint8 RGB."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(30, 225, (8, 10, 3)).astype(np.uint8)
    picture = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    noise = rng.normal(0, 4, (height, width, 3))
    return np.clip(picture + noise, 0, 255).astype(np.uint8)


def jpeg(picture: npt.NDArray[np.uint8], quality: int = 90) -> bytes:
    return simplejpeg.encode_jpeg(np.ascontiguousarray(picture), quality, colorsubsampling="420")


def png(picture: npt.NDArray[Any]) -> bytes:
    """Channels as OpenCV wants them: BGR or grey."""
    return cv2.imencode(".png", picture)[1].tobytes()


def with_orientation(data: bytes, orientation: int) -> bytes:
    """A JPEG with an EXIF block that holds nothing but the orientation."""
    tiff = b"MM\0*" + struct.pack(">IHHHIHHI", 8, 1, 0x0112, 3, 1, orientation, 0, 0)
    body = b"Exif\0\0" + tiff
    return data[:2] + b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body + data[2:]


def bomb() -> bytes:
    """A PNG of 200 kB that says it is 60,000×60,000."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 0, 0, 0, 0)
    data = zlib.compress(bytes(2_000_000))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def corrupt_middle(data: bytes) -> bytes:
    """A lost sector: 512 bytes in the middle read as zeros."""
    middle = len(data) // 2
    return data[:middle] + bytes(512) + data[middle + 512 :]


BROKEN: dict[str, Callable[[], bytes]] = {
    "truncated.jpg": lambda: jpeg(scene(1))[: len(jpeg(scene(1))) // 5],
    "truncated-with-eoi.jpg": lambda: jpeg(scene(1))[: len(jpeg(scene(1))) // 2] + b"\xff\xd9",
    "corrupt-middle.jpg": lambda: corrupt_middle(jpeg(scene(1))),
    "not-an-image.png": lambda: b"this is not an image at all, only its name says so\n",
    "zero-bytes.jpg": lambda: b"",
    "header-only.jpg": lambda: jpeg(scene(1))[:12],
    "bomb.png": bomb,
    "sixteen-bit.png": lambda: png((scene(1)[..., 0].astype(np.uint16)) * 256),
    "truncated.png": lambda: png(scene(1))[:5000],
    "corrupt-middle.png": lambda: corrupt_middle(png(scene(1))),
    "truncated.bmp": lambda: cv2.imencode(".bmp", scene(1))[1].tobytes()[:9000],
    "truncated.webp": lambda: cv2.imencode(".webp", scene(1))[1].tobytes()[:2000],
    "zero-size.bmp": lambda: b"BM" + struct.pack("<IIIIiiHHI", 54, 0, 54, 40, 0, 0, 1, 24, 0) + bytes(20),
}
"""Files that must be refused, named by their fault."""


@pytest.fixture(scope="session")
def broken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with all BROKEN files."""
    folder = tmp_path_factory.mktemp("broken")
    for name, make in BROKEN.items():
        (folder / name).write_bytes(make())
    return folder


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with readable images of several kinds, and one file that is no image."""
    folder = tmp_path_factory.mktemp("images")
    for index in range(4):
        (folder / f"scene-{index}.jpg").write_bytes(jpeg(scene(index)))
    (folder / "grey.png").write_bytes(png(scene(5)[..., 0]))
    (folder / "rgba.png").write_bytes(png(np.dstack([scene(6), np.full((480, 640), 128, np.uint8)])))
    (folder / "exif-rotated.jpg").write_bytes(with_orientation(jpeg(scene(7)), 6))
    (folder / "notes.txt").write_text("not an image")
    return folder


def tiny_onnx(classes: int = 2, seed: int = 0) -> bytes:
    """Contract 2 in small: two convolutions, ``cam``, ``logits`` and ``features``; about a kilobyte."""
    rng = np.random.default_rng(seed)

    def weight(name: str, *shape: int) -> onnx.TensorProto:
        values = rng.normal(0, np.sqrt(2 / np.prod(shape[1:])), shape)
        return numpy_helper.from_array(values.astype(np.float32), name)

    initializers = [
        numpy_helper.from_array(np.array(1 / 64, np.float32), "scale"),
        numpy_helper.from_array(np.array(2.0, np.float32), "shift"),
        weight("w1", 8, 3, 3, 3),
        weight("w2", 16, 8, 3, 3),
        weight("head", classes, 16, 1, 1),
        numpy_helper.from_array(rng.normal(0, 1, classes).astype(np.float32), "bias"),
    ]
    node = helper.make_node
    nodes = [
        node("Cast", ["image"], ["float"], to=TensorProto.FLOAT),
        node("Transpose", ["float"], ["nchw"], perm=[0, 3, 1, 2]),
        node("Mul", ["nchw", "scale"], ["scaled"]),
        node("Sub", ["scaled", "shift"], ["centred"]),
        node("Conv", ["centred", "w1"], ["c1"], strides=[4, 4]),
        node("Relu", ["c1"], ["r1"]),
        node("Conv", ["r1", "w2"], ["c2"], strides=[2, 2]),
        node("Relu", ["c2"], ["r2"]),
        node("ReduceMean", ["r2"], ["features"], axes=[2, 3], keepdims=0),
        node("Conv", ["r2", "head"], ["cam"]),
        node("ReduceMean", ["cam"], ["pooled"], axes=[2, 3], keepdims=0),
        node("Add", ["pooled", "bias"], ["logits"]),
    ]
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "tiny",
        [value("image", TensorProto.UINT8, ["N", SIZE, SIZE, 3])],
        [
            value("logits", TensorProto.FLOAT, ["N", classes]),
            value("cam", TensorProto.FLOAT, ["N", classes, 7, 7]),
            value("features", TensorProto.FLOAT, ["N", 16]),
        ],
        initializers,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    return model.SerializeToString()


def tiny_manifest() -> Manifest:
    """Two classes with a decision; no gate."""
    return Manifest(
        name="tiny",
        version=Version(3, "v3"),
        task="multiclass",
        classes=(ClassInfo("clear", "No sign"), ClassInfo("sign", "Sign")),
        preprocess=(Orient(), Resize(SIZE)),
        features=16,
        cam_size=7,
        temperature=1.5,
        decision=Decision("sum", ("sign",), {"sign": 0.5}, (0.45, 0.5), "sensitivity >= 0.95", {"n": 10}),
        tolerances={"fp32": Tolerance(0, 0, 0, 1e-3), "int8-cpu": Tolerance(0.002, 0.01, 0.02, 0.3)},
        quality=None,
        ood=None,
        provenance={"recipe": "none"},
        evaluation={},
    )


ORIGIN = AnswerOrigin(
    bundle="tiny v3",
    bundle_name="tiny",
    bundle_version=3,
    bundle_hash="5a" * 32,
    bundle_signed_by=None,
    backend="fake",
    precision="fp32",
    device="CPU",
    host="station-7",
    threshold=0.5,
    band=(0.45, 0.5),
)
"""What records of :func:`tiny_manifest` carry."""


def build_bundle(folder: Path, manifest: Manifest) -> Path:
    """A whole bundle with FP32 (served as INT8, too, whose making is the converter's job) and eight golden images."""
    import onnxruntime

    folder.mkdir(parents=True)
    model = tiny_onnx(len(manifest.classes))
    for name in ("fp32", "int8-cpu"):
        (folder / f"model.{name}.onnx").write_bytes(model)
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    preprocess = Preprocess(manifest.preprocess)
    (folder / "golden").mkdir()
    images, logits = [], []
    for index in range(8):
        data = jpeg(scene(100 + index, 120, 160))
        tensor = preprocess.from_bytes(data, "golden")
        (folder / "golden" / f"{index:03d}.jpg").write_bytes(data)
        images.append({"file": f"golden/{index:03d}.jpg", "sha256": hashlib.sha256(tensor.tobytes()).hexdigest()})
        logits.append(session.run(["logits"], {"image": tensor[None]})[0][0])
    (folder / "golden" / "golden.json").write_text(json.dumps({"images": images}))
    np.savez(folder / "golden" / "golden.npz", logits=np.array(logits))
    seal(folder, manifest)
    return folder


def seal(folder: Path, manifest: Manifest) -> None:
    """Write the manifest over what the folder holds now."""
    whole = dataclasses.replace(manifest, files=describe_files(folder))
    (folder / MANIFEST).write_bytes(manifest_bytes(whole))


@pytest.fixture(scope="session")
def bundle_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_bundle(tmp_path_factory.mktemp("bundles") / "tiny.bundle", tiny_manifest())


@pytest.fixture
def bundle(bundle_folder: Path) -> Bundle:
    return open_bundle(bundle_folder)


@pytest.fixture
def copy(bundle_folder: Path, tmp_path: Path) -> Path:
    """A bundle to break."""
    return Path(shutil.copytree(bundle_folder, tmp_path / "copy.bundle"))


@pytest.fixture
def basic(bundle_folder: Path, tmp_path: Path) -> Sequence[object]:
    return ("--bundle", bundle_folder, "--state", tmp_path / "state", "--backend", "fake")


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four hundred images of different sizes, two of them broken."""
    folder = tmp_path_factory.mktemp("many")
    for index in range(400):
        size = (1200, 1600) if index % 7 == 0 else (120, 160)
        path = folder / f"{index}.jpg"
        if index < 14:
            path.write_bytes(jpeg(scene(index, *size)))
        else:
            path.hardlink_to(folder / f"{index % 14}.jpg")
    (folder / "100.jpg").unlink()
    (folder / "100.jpg").write_bytes(BROKEN["corrupt-middle.jpg"]())
    (folder / "399.jpg").unlink()
    (folder / "399.jpg").write_bytes(b"")
    return folder
