"""Every contender by name, and why one cannot take part on this machine. Imports none of their libraries."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from fieldlens.benchmarks.device.contenders.base import ContenderOptions
from fieldlens.runtime.errors import ConfigError
from fieldlens.runtime.fields import nearest

OURS = "ours"
FLOOR = "floor"
PEER = "peer"
FOLDER = "folder"
"""Timed by how many images of a folder it answers in a second."""
FOLDER_REFERENCE = "folder-fieldlens"
REFERENCE = "fieldlens-openvino-int8"
"""What ratios are taken to on a CPU. The first of ours in the catalogue that runs is the reference: TensorRT's where
there is a GPU with built engines, the next one where OpenVINO's cannot run. The output names it."""


_DEFAULT = ContenderOptions()


@dataclass(frozen=True)
class Contender:
    """``module`` has ``load(job) -> Loaded``. ``model`` is the bundle's file that it runs. ``needs``: modules that must
    be installed; ``install``: how to. ``why_not``: what else keeps it from this machine, in words; None: nothing."""

    name: str
    title: str
    group: str
    module: str
    model: str
    needs: tuple[str, ...]
    install: str
    options: ContenderOptions = _DEFAULT
    why_not: Callable[[], str | None] = lambda: None


def has_gpu() -> bool:
    """Is there an NVIDIA device node, of a card or of a Jetson?"""
    return any(Path(node).exists() for node in ("/dev/nvidiactl", "/dev/nvhost-gpu", "/dev/nvgpu"))


def _no_gpu() -> str | None:
    return None if has_gpu() else "no NVIDIA GPU here: run this on a machine with one"


_HERE, _TORCH_PEERS = "fieldlens.benchmarks.device.contenders", "fieldlens.benchmarks.torch_peers"
_RUNTIME = "pip install -r runtime/requirements.txt"
_HOST = "pip install -r requirements.txt"
_GPU = "JetPack brings it; elsewhere pip install -r runtime/requirements-gpu.txt"
_TORCH = ("torch", "torchvision", "PIL")


def _ours(backend: str, precision: str, model: str, library: str) -> Contender:
    return Contender(
        f"fieldlens-{backend}-{precision}", f"Fieldlens: {library} {precision}, with map and gate", OURS,
        f"{_HERE}.ours", model, (backend, "simplejpeg"), _RUNTIME,
        ContenderOptions(backend=backend, precision=precision),
    )  # fmt: skip


def _tensorrt(precision: str) -> Contender:
    return Contender(
        f"fieldlens-tensorrt-{precision}", f"Fieldlens: TensorRT {precision}, with map and gate", OURS,
        f"{_HERE}.ours", "fp32", ("tensorrt", "pycuda"), _GPU,
        ContenderOptions(backend="tensorrt", precision=precision), _no_gpu,
    )  # fmt: skip


def _torch(name: str, title: str, options: ContenderOptions = _DEFAULT) -> Contender:
    return Contender(name, title, PEER, f"{_TORCH_PEERS}.torch_eager", "fp32", _TORCH, _HOST, options)


def _opencv(
    name: str, title: str, module: str, model: str, needs: str, hint: Literal["", "f32", "bf16"] = ""
) -> Contender:
    return Contender(
        name, title, PEER, f"{_HERE}.{module}", model, ("cv2", needs), f"pip install {needs}",
        ContenderOptions(hint=hint),
    )  # fmt: skip


ALL: tuple[Contender, ...] = (
    _tensorrt("int8"),
    _tensorrt("fp16"),
    _tensorrt("fp32"),
    _ours("openvino", "int8", "int8-cpu", "OpenVINO"),
    Contender(
        "fieldlens-openvino-int8-no-gate", "the same, without map and gate: probabilities only, as the peers", OURS,
        f"{_HERE}.ours_no_gate", "int8-cpu", ("openvino", "simplejpeg"), _RUNTIME,
        ContenderOptions(backend="openvino", precision="int8"),
    ),
    _ours("openvino", "bf16", "fp32", "OpenVINO"),
    _ours("openvino", "fp32", "fp32", "OpenVINO"),
    _ours("onnxruntime", "int8", "int8-cpu", "ONNX Runtime"),
    _ours("onnxruntime", "fp32", "fp32", "ONNX Runtime"),
    _torch("documents", "Pillow + torchvision transforms + torch eager (the documents' pipeline)"),
    _torch(
        "torch-channels-last", "the same, weights and image in channels-last order",
        ContenderOptions(layout="channels-last"),
    ),
    _torch("torch-compile", "the same, torch.compile", ContenderOptions(compile="yes")),
    _torch(
        "torch-compile-frozen", "the same, weights folded in and packed at compilation",
        ContenderOptions(compile="frozen"),
    ),
    _opencv("opencv-onnxruntime-fp32", "OpenCV + ONNX Runtime fp32", "opencv_onnxruntime", "fp32", "onnxruntime"),
    _opencv("opencv-onnxruntime-int8", "OpenCV + ONNX Runtime int8", "opencv_onnxruntime", "int8-cpu", "onnxruntime"),
    _opencv("opencv-openvino-fp32", "OpenCV + OpenVINO fp32", "opencv_openvino", "fp32", "openvino", hint="f32"),
    _opencv("opencv-openvino-bf16", "OpenCV + OpenVINO bf16", "opencv_openvino", "fp32", "openvino", hint="bf16"),
    _opencv("opencv-openvino-int8", "OpenCV + OpenVINO int8", "opencv_openvino", "int8-cpu", "openvino"),
    _opencv("opencv-dnn", "OpenCV + OpenCV DNN fp32", "opencv_dnn", "fp32", "cv2"),
    Contender(
        "floor-openvino-int8", "bare decode + bare OpenVINO int8 inference (no answer: a floor)", FLOOR,
        f"{_HERE}.floor", "int8-cpu", ("openvino", "simplejpeg"), _RUNTIME,
        ContenderOptions(hint="f32"),
    ),
    Contender(
        "torch-cuda-graphs", "Pillow + torchvision transforms + torch with CUDA graphs", PEER,
        f"{_TORCH_PEERS}.torch_cuda", "fp32", _TORCH, _HOST, why_not=_no_gpu,
    ),
    Contender(
        "tensorrt-enqueue", "TensorRT alone on a fixed image: enqueue and copies (trtexec's terms; a floor)", FLOOR,
        f"{_HERE}.tensorrt_enqueue", "fp32", ("tensorrt", "pycuda"), _GPU, why_not=_no_gpu,
    ),
)  # fmt: skip

FOLDERS: tuple[Contender, ...] = (
    Contender(
        FOLDER_REFERENCE, "Fieldlens on a folder, as `classify` works on it", FOLDER, f"{_HERE}.folder", "int8-cpu",
        ("openvino", "simplejpeg"), _RUNTIME, ContenderOptions(backend="openvino", precision="int8"),
    ),
    Contender(
        "folder-fieldlens-one-by-one", "the same with --workers 0", FOLDER, f"{_HERE}.folder", "int8-cpu",
        ("openvino", "simplejpeg"), _RUNTIME,
        ContenderOptions(backend="openvino", precision="int8", one_by_one=True),
    ),
    Contender(
        "folder-openvino-throughput", "OpenVINO's throughput mode, fed by our decoder: no gate, no answer", FOLDER,
        f"{_HERE}.openvino_throughput", "int8-cpu", ("openvino", "simplejpeg"), _RUNTIME,
    ),
)  # fmt: skip


def pick(names: Sequence[str] | None) -> tuple[Contender, ...]:
    """The contenders asked for (None: all), always in the catalogue's order, the references always among them.

    Raises ConfigError for an unknown name.
    """
    known = [contender.name for contender in (*ALL, *FOLDERS)]
    for name in names or ():
        if name not in known:
            raise ConfigError(f"--peers: there is no contender {name!r}", nearest(name, known))
    kept = [c for c in ALL if names is None or c.name in names or c.name == REFERENCE]
    folders = [c for c in FOLDERS if names is None or c.name in names]
    if folders and folders[0].name != FOLDER_REFERENCE:
        folders.insert(0, FOLDERS[0])
    return (*kept, *folders)


def why_not(contender: Contender, models: Sequence[str]) -> str | None:
    """Why it cannot take part, with what to do about it; None where it can. ``models``: the bundle's precisions."""
    if reason := contender.why_not():
        return reason
    if missing := [name for name in contender.needs if importlib.util.find_spec(name) is None]:
        return f"not installed ({', '.join(missing)}): {contender.install}"
    if contender.model not in models:
        return f"the bundle has no model.{contender.model}.onnx: make it again with that precision"
    return None
