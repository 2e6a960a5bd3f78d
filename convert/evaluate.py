"""What each precision of a bundle answers on the same pictures, and what it costs against FP32."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from runtime.backends.base import Backend, LoadOptions
from runtime.backends.select import cpu_backend, load_backend
from runtime.bundle import Bundle
from runtime.decision import Outcome, calibrated
from runtime.manifest import Manifest
from train import metrics
from train.operating_point import fit_temperature, rates

REFERENCE = "fp32"
RUNS_AS = {"fp32": "fp32", "int8-cpu": "int8"}
"""Model file → the runtime's word for it. A file that only TensorRT runs is not here: it needs an emulation."""

Tensor = npt.NDArray[np.uint8]
Logits = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]
_ROUNDS, _PER_ROUND, _WARM_UP = 5, 8, 3
_SEED = 0
_JUDGED = (
    "auc", "auc_delta", "auc_delta_interval", "accuracy", "accuracy_delta", "ece", "best_temperature", "decision",
)  # fmt: skip


@dataclass(frozen=True)
class Answers:
    """Logits float32 ``[n,C]`` of one precision; ``runs`` is what the compiled model reports."""

    precision: str
    backend: str
    version: str
    runs: str
    size_bytes: int
    logits: Logits
    latency_p50_ms: float


@dataclass(frozen=True)
class Labels:
    """The truth ``[n]`` as class indices, and which pictures belong together (for resampling)."""

    truth: Ints
    groups: tuple[str, ...]


@dataclass(frozen=True)
class Figures:
    """One row of the table. Fractions of 1; deltas are this precision minus FP32; None where there are no labels
    (for the AUC also: only one class) or an answer was not finite."""

    precision: str
    backend: str
    version: str
    runs: str
    size_bytes: int
    n: int
    agreement: float
    max_logit_difference: float
    worst_index: int
    decisions_changed: float
    flips: int
    auc: float | None
    auc_delta: float | None
    auc_delta_interval: tuple[float, float] | None
    accuracy: float | None
    accuracy_delta: float | None
    ece: float | None
    best_temperature: float | None
    decision: dict[str, Any] | None
    latency_p50_ms: float

    def to_json(self) -> dict[str, Any]:
        """Everything but the name, which is the key."""
        value = asdict(self)
        del value["precision"]
        return value


def answer(bundle: Bundle, precisions: Sequence[str], tensors: Iterable[Tensor], backend: str) -> list[Answers]:
    """Run every precision on every tensor uint8 ``[S,S,3]``, one picture at a time, as a device does.

    ``backend``: auto, openvino or onnxruntime. Batches would be faster and would sum in another order: the figures
    are to be those of the device. Raises BackendError.
    """
    name = cpu_backend() if backend == "auto" else backend
    with ExitStack() as stack:
        lanes = [
            stack.enter_context(load_backend(bundle, name, RUNS_AS[precision], LoadOptions()))
            for precision in precisions
        ]
        logits: list[list[Logits]] = [[] for _ in lanes]
        image = np.zeros((1, bundle.manifest.size, bundle.manifest.size, 3), np.uint8)
        for tensor in tensors:
            image[0] = tensor
            for lane, rows in zip(lanes, logits, strict=True):
                rows.append(lane.infer(image).logits[0].copy())
        latencies = latency_ms(lanes, image)
        return [
            Answers(
                precision, lane.info.name, lane.info.version, lane.info.precision,
                bundle.manifest.files[f"model.{precision}.onnx"].size, np.stack(rows), latency,
            )
            for precision, lane, rows, latency in zip(precisions, lanes, logits, latencies, strict=True)
        ]  # fmt: skip


def latency_ms(lanes: Sequence[Backend], image: Tensor) -> list[float]:
    """Median time of one picture ``[1,S,S,3]`` on each backend, in rounds that take turns.

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


def compare(
    manifest: Manifest, answers: Sequence[Answers], labels: Labels | None, reference: Logits | None = None
) -> list[Figures]:
    """A row per precision, measured against ``reference`` (by default the FP32 row among ``answers``)."""
    if reference is None:
        reference = next(item for item in answers if item.precision == REFERENCE).logits
    return [_figures(manifest, item, reference, labels) for item in answers]


def _figures(manifest: Manifest, item: Answers, reference: Logits, labels: Labels | None) -> Figures:
    ours, theirs = probabilities(manifest, item.logits), probabilities(manifest, reference)
    difference = np.abs(item.logits - reference).max(axis=1)
    # NaN is the worst there is, and no maximum finds it.
    difference[~np.isfinite(item.logits).all(axis=1)] = np.inf
    same = ours.argmax(axis=1) == theirs.argmax(axis=1)
    before, after = outcomes(manifest, theirs), outcomes(manifest, ours)
    changed = ~same if before is None or after is None else np.array(before) != np.array(after)
    judged = _judged(manifest, item, ours, theirs, labels)
    return Figures(
        precision=item.precision,
        backend=item.backend,
        version=item.version,
        runs=item.runs,
        size_bytes=item.size_bytes,
        n=len(same),
        agreement=float(same.mean()),
        max_logit_difference=float(difference.max()),
        worst_index=int(difference.argmax()),
        decisions_changed=float(changed.mean()),
        flips=_flips(before, after),
        latency_p50_ms=item.latency_p50_ms,
        **judged,
    )


def _judged(
    manifest: Manifest, item: Answers, ours: metrics.Floats, theirs: metrics.Floats, labels: Labels | None
) -> dict[str, Any]:
    """The part of the row that needs the truth."""
    if labels is None or not np.isfinite(item.logits).all():
        return dict.fromkeys(_JUDGED)
    truth = labels.truth
    area = metrics.auc(ours, truth)
    moved = metrics.auc_difference(ours, theirs, truth, labels.groups, seed=_SEED)
    right = metrics.accuracy(ours, truth)
    values = (
        _known(area),
        _known(moved.value),
        None if math.isnan(moved.low) else (moved.low, moved.high),
        right,
        right - metrics.accuracy(theirs, truth),
        metrics.ece(ours, truth),
        fit_temperature(item.logits, truth),
        _at_border(manifest, ours, truth),
    )
    return dict(zip(_JUDGED, values, strict=True))


def _at_border(manifest: Manifest, ours: metrics.Floats, truth: Ints) -> dict[str, Any] | None:
    """Sensitivity and specificity of this precision at the manifest's threshold."""
    if manifest.decision is None:
        return None
    positive = np.isin(truth, [manifest.class_ids.index(name) for name in manifest.decision.positive])
    return rates(manifest.decision.score(ours, manifest.class_ids), positive, manifest.decision.threshold)


def probabilities(manifest: Manifest, logits: Logits) -> npt.NDArray[np.float64]:
    """Calibrated, float64 ``[n,C]``, by the device's own function."""
    return np.asarray(calibrated(logits, manifest.temperature, manifest.task), np.float64)


def outcomes(manifest: Manifest, values: metrics.Floats) -> list[Outcome] | None:
    """What the device would say of each row of probabilities; None where the bundle decides nothing."""
    decision = manifest.decision
    if decision is None:
        return None
    return [decision.outcome(float(score)) for score in decision.score(values, manifest.class_ids)]


def _flips(before: list[Outcome] | None, after: list[Outcome] | None) -> int:
    """Refer ↔ no sign found."""
    opposite = {Outcome.REFER, Outcome.NO_SIGN_FOUND}
    return sum({one, other} == opposite for one, other in zip(before or [], after or [], strict=True))


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value
