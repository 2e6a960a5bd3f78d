"""What each precision costs against FP32: figures from answers on the same images."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from fieldlens.convert.measure.answer import Logits, PrecisionAnswers
from fieldlens.runtime.bundle.decision import Outcome, calibrated
from fieldlens.runtime.bundle.manifest import Manifest
from fieldlens.runtime.bundle.precision import REFERENCE
from fieldlens.train import metrics
from fieldlens.train.decide.operating_point import fit_temperature, rates, truly_positive

Ints = npt.NDArray[np.int64]
_SEED = 0
_JUDGED = (
    "auc", "auc_delta", "auc_delta_interval", "accuracy", "accuracy_delta", "accuracy_delta_interval", "ece",
    "best_temperature", "decision",
)  # fmt: skip


@dataclass(frozen=True)
class Labels:
    """The truth as class indices ``[n]`` or 0/1 ``[n,C]``, and which images belong together (for resampling)."""

    truth: Ints
    groups: tuple[str, ...]


@dataclass(frozen=True)
class Figures:
    """One row of the table. Fractions of 1; deltas are this precision minus FP32; None where there are no labels
    (for the AUC also: only one class, or very many) or an answer was not finite. Intervals: 95%, paired by image.
    ``peak``: the largest activation, at the node ``peak_at``; None where it was not emulated."""

    precision: str
    backend: str
    version: str
    runs: str
    size_bytes: int
    n: int
    agreement: float
    max_logit_difference: float
    rms_logit_difference: float
    worst_index: int
    decisions_changed: float
    flips: int
    auc: float | None
    auc_delta: float | None
    auc_delta_interval: tuple[float, float] | None
    accuracy: float | None
    accuracy_delta: float | None
    accuracy_delta_interval: tuple[float, float] | None
    ece: float | None
    best_temperature: float | None
    decision: dict[str, Any] | None
    latency_p50_ms: float | None
    peak: float | None
    peak_at: str

    def to_json(self) -> dict[str, Any]:
        """Everything but the name, which is the key. JSON has no infinity: what is not finite becomes null."""
        value = asdict(self)
        del value["precision"]
        infinite = {key for key, item in value.items() if isinstance(item, float) and not math.isfinite(item)}
        return {key: None if key in infinite else item for key, item in value.items()}


def compare(
    manifest: Manifest, answers: Sequence[PrecisionAnswers], labels: Labels | None, reference: Logits | None = None
) -> list[Figures]:
    """A row per precision, measured against ``reference`` (by default the FP32 row among ``answers``)."""
    if reference is None:
        reference = next(item for item in answers if item.precision == REFERENCE).logits
    return [_figures(manifest, item, reference, labels) for item in answers]


def _figures(manifest: Manifest, item: PrecisionAnswers, reference: Logits, labels: Labels | None) -> Figures:
    finite = np.isfinite(item.logits).all(axis=1, keepdims=True)
    ours = probabilities(manifest, np.where(finite, item.logits, np.float32(np.nan)))
    theirs = probabilities(manifest, reference)
    # NaN is the worst there is, and no maximum finds it.
    moved: metrics.Floats = np.where(finite, item.logits - reference, np.inf)
    difference: metrics.Floats = np.abs(moved).max(axis=1)
    same = _same(manifest, ours, theirs)
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
        rms_logit_difference=float(np.sqrt(np.mean(np.square(moved, dtype=np.float64)))),
        worst_index=int(difference.argmax()),
        decisions_changed=float(changed.mean()),
        flips=_flips(before, after),
        latency_p50_ms=item.latency_p50_ms,
        peak=item.peak,
        peak_at=item.peak_at,
        **judged,
    )


def _same(manifest: Manifest, ours: metrics.Floats, theirs: metrics.Floats) -> npt.NDArray[np.bool_]:
    """``[n]``: the same class, or (multi-label) the same side of one half for every label."""
    if manifest.task == "multilabel":
        return np.asarray(((ours >= metrics.PRESENT) == (theirs >= metrics.PRESENT)).all(axis=1))
    return np.asarray(ours.argmax(axis=1) == theirs.argmax(axis=1))


def _judged(
    manifest: Manifest, item: PrecisionAnswers, ours: metrics.Floats, theirs: metrics.Floats, labels: Labels | None
) -> dict[str, Any]:
    """The part of the row that needs the truth."""
    if labels is None or not np.isfinite(item.logits).all():
        return dict.fromkeys(_JUDGED)
    truth = labels.truth
    area, moved = _areas(ours, theirs, labels)
    right, before = metrics.correct(ours, truth), metrics.correct(theirs, truth)
    gained = right - before
    hits = metrics.bootstrap(lambda chosen: float(gained[chosen].mean()), labels.groups, seed=_SEED)
    values = (
        _known(area),
        _known(moved.value),
        None if math.isnan(moved.low) else (moved.low, moved.high),
        float(right.mean()),
        hits.value,
        (hits.low, hits.high),
        metrics.ece(ours, truth),
        fit_temperature(item.logits, truth),
        _at_border(manifest, ours, truth),
    )
    return dict(zip(_JUDGED, values, strict=True))


def _areas(ours: metrics.Floats, theirs: metrics.Floats, labels: Labels) -> tuple[float, metrics.Interval]:
    """The AUC, and how much it moved."""
    if ours.shape[1] > metrics.MOST_CLASSES:
        return math.nan, metrics.Interval(math.nan, math.nan, math.nan)
    area = metrics.auc(ours, labels.truth)
    if np.array_equal(ours, theirs) and not math.isnan(area):
        return area, metrics.Interval(0.0, 0.0, 0.0)  # the reference itself: no need of a thousand resamples
    return area, metrics.auc_difference(ours, theirs, labels.truth, labels.groups, seed=_SEED)


def _at_border(manifest: Manifest, ours: metrics.Floats, truth: Ints) -> dict[str, Any] | None:
    """Sensitivity and specificity of this precision at the manifest's threshold."""
    if manifest.decision is None:
        return None
    positive = truly_positive(truth, manifest.decision.positive, manifest.class_ids)
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
