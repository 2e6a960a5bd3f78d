"""What each precision of a bundle answers: CPU files by the library a device would take, TensorRT's by emulation."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fieldlens.runtime.backends.base import Backend, LoadOptions
from fieldlens.runtime.backends.select import cpu_backend, load_backend
from fieldlens.runtime.bundle.manifest import Manifest
from fieldlens.runtime.bundle.opened import Bundle
from fieldlens.runtime.bundle.precision import EMULATED, MODEL_FILES, REFERENCE, RUN_ON_CPU, model_file

Tensor = npt.NDArray[np.uint8]
Logits = npt.NDArray[np.float32]
_Seen = tuple[Logits, npt.NDArray[np.int64], npt.NDArray[np.float32]]
BATCH = 16
"""Images that an emulation is asked at a time."""
_ROUNDS, _PER_ROUND, _WARM_UP = 3, 5, 2


@dataclass(frozen=True)
class PrecisionAnswers:
    """Logits float32 ``[n,C]`` of one precision; ``runs`` is what the compiled model reports. ``peak``: the largest
    activation and where it was; it and the latency are None where they are unknown. ``explained`` ``[n]``: the
    likeliest finding (without a decision: class) of each image, whose heat map is in ``maps`` ``[n,h,w]``."""

    precision: str
    backend: str
    version: str
    runs: str
    size_bytes: int
    logits: Logits
    latency_p50_ms: float | None
    peak: float | None = None
    peak_at: str = ""
    explained: npt.NDArray[np.int64] | None = None
    maps: npt.NDArray[np.float32] | None = None


def judged_precisions(bundle: Bundle) -> list[str]:
    """Everything there is something to run for, FP32 first.

    FP16 is there without a file of its own where TensorRT 8.6 is served: it builds FP16 from the FP32 file.
    """
    promised = [*bundle.precisions, *(name for name in ("fp16",) if name in bundle.manifest.tolerances)]
    return [name for name in MODEL_FILES if name in promised and file_of(bundle.manifest, name) in bundle.precisions]


def file_of(manifest: Manifest, precision: str) -> str:
    """The model file that a precision is run from."""
    return precision if precision in manifest.precisions or precision != "fp16" else REFERENCE


def load_lane(bundle: Bundle, precision: str, backend: str) -> Backend:
    """``backend``: auto, openvino or onnxruntime, for the CPU's files. Raises BackendError, ConversionError."""
    if precision in EMULATED:
        from fieldlens.convert.measure.emulate import Emulation  # torch: not before it is needed

        return Emulation(bundle.model(file_of(bundle.manifest, precision)), EMULATED[precision])
    name = cpu_backend() if backend == "auto" else backend
    return load_backend(bundle, name, RUN_ON_CPU[precision], LoadOptions())


def answer(
    bundle: Bundle, precisions: Sequence[str], tensors: Iterable[Tensor], backend: str
) -> list[PrecisionAnswers]:
    """Run every precision on every tensor uint8 ``[S,S,3]``. Raises BackendError.

    CPU files get one image at a time, as on a device: batches would be faster and would sum in another order.
    """
    with ExitStack() as stack:
        lanes = [stack.enter_context(load_lane(bundle, precision, backend)) for precision in precisions]
        rows: list[list[_Seen]] = [[] for _ in lanes]
        candidates = _candidates(bundle.manifest)
        images = np.zeros((1, bundle.manifest.size, bundle.manifest.size, 3), np.uint8)
        for images in _batches(tensors):
            for lane, row in zip(lanes, rows, strict=True):
                row.append(_seen(lane, images, candidates))
        latencies = latency_ms([lane for lane in lanes if not _emulated(lane)], images[:1].copy())
        return [
            _answers(bundle, precision, lane, row, latencies)
            for precision, lane, row in zip(precisions, lanes, rows, strict=True)
        ]


def _answers(
    bundle: Bundle, precision: str, lane: Backend, seen: Sequence[_Seen], latencies: list[float]
) -> PrecisionAnswers:
    """``latencies`` are taken from the front, by the lanes that have one."""
    emulated = _emulated(lane)
    logits, explained, maps = (np.concatenate(each) for each in zip(*seen, strict=True))
    peak, where = getattr(lane, "peak", (None, ""))
    size = bundle.manifest.files[model_file(file_of(bundle.manifest, precision))].size
    return PrecisionAnswers(
        precision, lane.info.name, lane.info.version, lane.info.precision, size, logits,
        None if emulated else latencies.pop(0), peak, where, explained, maps,
    )  # fmt: skip


def _candidates(manifest: Manifest) -> list[int]:
    """Columns of the classes that an answer may be about, as ``Classifier`` explains them."""
    names = manifest.decision.positive if manifest.decision else manifest.class_ids
    return [manifest.class_ids.index(name) for name in names]


def _seen(lane: Backend, images: Tensor, candidates: Sequence[int]) -> _Seen:
    """Logits ``[n,C]``, the likeliest of ``candidates`` ``[n]`` and its map ``[n,h,w]``, all copies."""
    parts = [images] if _emulated(lane) else [images[index : index + 1] for index in range(len(images))]
    logits, explained, maps = [], [], []
    for part in parts:
        outputs = lane.infer(part)
        logits.append(outputs.logits.copy())
        explained.append(np.asarray(candidates)[logits[-1][:, candidates].argmax(axis=1)])
        maps.append(outputs.cam[np.arange(len(part)), explained[-1]].copy())
    return np.concatenate(logits), np.concatenate(explained), np.concatenate(maps)


def logits_of(lane: Backend, images: Tensor) -> Logits:
    """uint8 ``[n,S,S,3]`` → a copy of the logits ``[n,C]``."""
    if _emulated(lane):
        return lane.infer(images).logits.copy()
    return np.concatenate([lane.infer(images[index : index + 1]).logits.copy() for index in range(len(images))])


def _emulated(lane: Backend) -> bool:
    return lane.info.name == "emulation"


def _batches(tensors: Iterable[Tensor]) -> Iterator[Tensor]:
    source = iter(tensors)
    while batch := list(itertools.islice(source, BATCH)):
        yield np.stack(batch)


def latency_ms(lanes: Sequence[Backend], image: Tensor) -> list[float]:
    """Median time of one image ``[1,S,S,3]`` on each backend, in rounds that take turns.

    An orientation only: contenders in one process disturb each other. ``benchmarks/`` measures.
    """
    times: list[list[float]] = [[] for _ in lanes]
    for _ in range(_ROUNDS):
        for lane, row in zip(lanes, times, strict=True):
            for turn in range(_WARM_UP + _PER_ROUND):
                start = time.perf_counter()
                lane.infer(image)
                if turn >= _WARM_UP:
                    row.append((time.perf_counter() - start) * 1e3)
    return [float(np.median(row)) for row in times]
