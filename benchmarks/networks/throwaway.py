"""A bundle with random weights, made in half a minute: speed does not depend on what a network has learnt.

Its answers mean nothing, and its manifest says so. Batch norm has seen made images, so that activations, and with
them the INT8 scales, are of an ordinary size.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from fieldlens.benchmarks.device import image_set
from fieldlens.convert.graph.contract import GraphShape, check_graph
from fieldlens.convert.graph.deployment import DeploymentGraph
from fieldlens.convert.graph.export import OPSET, export_fp32, to_bytes
from fieldlens.convert.quantization.quantize import CPU, quantize
from fieldlens.runtime.backends import onnxruntime
from fieldlens.runtime.backends.base import LoadOptions
from fieldlens.runtime.bundle.decision import Decision
from fieldlens.runtime.bundle.manifest import ClassInfo, Manifest, Tolerance, Version
from fieldlens.runtime.bundle.open import MANIFEST, describe_files, manifest_bytes
from fieldlens.runtime.bundle.quality_limits import CHECKS
from fieldlens.runtime.files import atomic
from fieldlens.runtime.pixels.appearance import COLOURS, TEXTURES
from fieldlens.runtime.pixels.preprocess import Preprocess
from fieldlens.runtime.pixels.steps import Orient, Resize
from fieldlens.train.model import MEAN, STD, build_model, normalise

IMAGES = 64
GOLDEN = 16
_APART = 1000
"""Seeds of the images that calibrate: others than those that are timed."""
_NUMBERS = TEXTURES + COLOURS
_WIDE: dict[str, Any] = {
    **{name: {check: [None, 1e9] for check in CHECKS} for name in ("limits", "bounds")},
    "model": {"powers": [0.0] * TEXTURES, "offset": 0.0, "mean": [0.0] * _NUMBERS,
              "whitener": np.eye(_NUMBERS).tolist()},
}  # fmt: skip
"""Quality limits that everything passes: the gate does its whole work, and no made image is turned away."""


def make(folder: Path, arch: str, size: int, images: int = IMAGES) -> None:
    """Write the bundle ``folder``, with the files for a CPU. ``images`` calibrate INT8 (at least 32)."""
    tensors = [_image(seed, size) for seed in range(images)]
    with atomic.folder(folder) as work:
        graph = DeploymentGraph(random_network(arch, tensors), MEAN, STD)
        reference = export_fp32(graph, size)
        (work / "model.fp32.onnx").write_bytes(to_bytes(reference))
        (work / "model.int8-cpu.onnx").write_bytes(to_bytes(quantize(reference, tensors, CPU[0])))
        _write_ood(work / "ood.npz", graph, tensors)
        manifest = _manifest(arch, check_graph(reference, OPSET))
        _write_golden(work, manifest)
        whole = replace(manifest, files=describe_files(work))
        (work / MANIFEST).write_bytes(manifest_bytes(whole))


def _image(seed: int, size: int) -> npt.NDArray[np.uint8]:
    square = image_set.scene(_APART + seed)[:, 80:560]
    return np.asarray(cv2.resize(square, (size, size), interpolation=cv2.INTER_AREA), np.uint8)


def _write_golden(folder: Path, manifest: Manifest) -> None:
    """Golden images as the self-test reads them, with the FP32 file's answers."""
    preprocess, entries, logits = Preprocess(manifest.preprocess), [], []
    (folder / "golden").mkdir()
    with onnxruntime.load((folder / "model.fp32.onnx").read_bytes(), "fp32", LoadOptions()) as backend:
        for index in range(GOLDEN):
            name, data = f"golden/{index:03d}.jpg", image_set.jpeg(image_set.scene(index))
            tensor = preprocess.from_bytes(data, name)
            (folder / name).write_bytes(data)
            entries.append({"file": name, "sha256": hashlib.sha256(tensor.tobytes()).hexdigest()})
            logits.append(backend.infer(tensor[None]).logits[0].copy())
    (folder / "golden" / "golden.json").write_text(json.dumps({"format": 1, "images": entries}), encoding="utf-8")
    np.savez(folder / "golden" / "golden.npz", logits=np.stack(logits))


def random_network(arch: str, tensors: list[npt.NDArray[np.uint8]]) -> nn.Module:
    """Fresh weights from a fixed seed, batch-norm statistics from ``tensors`` uint8 ``[S,S,3]``; evaluation mode."""
    torch.manual_seed(0)
    network = build_model(arch, 2).train()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = None  # the plain mean over the batches: no trace of the initial values
    with torch.no_grad():
        for start in range(0, len(tensors), 16):
            network(normalise(torch.from_numpy(np.stack(tensors[start : start + 16]))))
    return network.eval()


def _write_ood(path: Path, graph: nn.Module, tensors: list[npt.NDArray[np.uint8]]) -> None:
    """One mean twice, and a diagonal precision: the device's arithmetic is the same as for fitted ones."""
    with torch.inference_mode():
        features = graph(torch.from_numpy(np.stack(tensors[:32])))[2].numpy().astype(np.float64)
    precision = np.diag(1.0 / (features.var(axis=0) + 1e-3))
    np.savez(path, means=np.stack([features.mean(axis=0)] * 2), precision=precision)


def _manifest(arch: str, shape: GraphShape) -> Manifest:
    return Manifest(
        name=f"random-{arch}-{shape.size}",
        version=Version(0, "random weights"),
        task="multiclass",
        classes=(ClassInfo("one", "nothing was learnt"), ClassInfo("other", "nothing was learnt")),
        preprocess=(Orient(), Resize(shape.size)),
        features=shape.features,
        cam_size=shape.cam_size,
        temperature=1.0,
        decision=Decision("sum", ("other",), {"other": 0.5}, (0.45, 0.55), "none: random weights", {}),
        tolerances={"fp32": Tolerance(0.0, 0.0, 0.0, 1e-3), "int8-cpu": Tolerance(1.0, 1.0, 1.0, 10.0)},
        quality=_WIDE,
        ood={"threshold": 1e9},
        provenance={"arch": arch, "data": None, "note": "random weights, for timing only"},
        evaluation={},
    )
