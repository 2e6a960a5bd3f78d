"""Out-of-fold answers of all folds, put together: every image scored once, by a network that had not seen its group."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fieldlens.runtime.bundle.decision import Decision, logit
from fieldlens.train.data.samples import Sample, label_name
from fieldlens.train.decide.operating_point import OperatingPoint
from fieldlens.train.metrics import Floats
from fieldlens.train.scoring.answers import Answers
from fieldlens.train.scoring.figures import Evaluation, evaluation, finite
from fieldlens.train.scoring.scored_predictions import Decided, ScoredPredictions, decide, labels_of, scored

HOW = (
    "Each fold's logits are divided by the temperature of its own validation part and compared with its own threshold "
    "before they are put together; scores are relative to that threshold (0.5 is the border)."
)
HOW_POOLED = (
    "Validation parts are too small to prove the target, so each fold's temperature and threshold come from the images "
    "of the other folds, scored by networks that had not seen them and brought to the scale of the fold's own network "
    "(mean and spread of its validation logits); the final network's come from all folds. Scores are relative to the "
    "threshold (0.5 is the border)."
)


@dataclass(frozen=True)
class Fold:
    """What one fold's network said of the images that it had not seen. ``epochs``: its ``metrics.csv``."""

    number: int
    samples: tuple[Sample, ...]
    answers: Answers
    point: OperatingPoint
    epochs: list[dict[str, float]]
    kept: dict[str, Any]


def pool(folds: Sequence[Fold], classes: Sequence[str], ordinal: bool) -> ScoredPredictions:
    """All folds as one set of answers, in the order of the folds."""
    parts = [one_fold(fold, classes, ordinal) for fold in folds]
    decided = None
    if all(part.decided for part in parts):
        decided = _joined(
            [_relative(part, fold.point.decision, classes) for part, fold in zip(parts, folds, strict=True)]
        )
    readable = [part.readable for part in parts if part.readable is not None]
    return ScoredPredictions(
        samples=tuple(sample for part in parts for sample in part.samples),
        classes=tuple(classes),
        labels=np.concatenate([part.labels for part in parts]),
        logits=np.concatenate([part.logits for part in parts]),
        temperatures=np.concatenate([part.temperatures for part in parts]),
        decided=decided,
        readable=np.concatenate(readable) if len(readable) == len(parts) else None,
        ordinal=ordinal,
    )


def one_fold(fold: Fold, classes: Sequence[str], ordinal: bool) -> ScoredPredictions:
    """One fold at its own operating point."""
    return scored(
        fold.samples, classes, labels_of(fold.samples), fold.answers.logits, fold.point.temperature,
        fold.point.decision, fold.answers.readable, ordinal,
    )  # fmt: skip


def _relative(part: ScoredPredictions, decision: Decision | None, classes: Sequence[str]) -> Decided:
    """Scores as ``sigmoid(logit(score) - logit(threshold))``, as the rule "any" has them anyway."""
    if decision is None:
        raise ValueError("a fold without a decision has no scores")
    found = decide(part.probabilities, part.labels, decision, classes)
    moved: Floats = 0.5 * (1.0 + np.tanh(0.5 * (logit(found.scores) - logit(decision.threshold))))
    moved = np.where(found.referred, np.maximum(moved, 0.5), np.minimum(moved, np.nextafter(0.5, 0)))
    return Decided(found.positive, moved, 0.5, (0.5, 0.5), found.outcomes, found.target, found.promise, aim=found.aim)


def _joined(parts: Sequence[Decided]) -> Decided:
    """The least that any of the folds promises is what all of them do."""
    least = min(parts, key=lambda part: float(part.target.partition(">=")[2]))
    return Decided(
        np.concatenate([part.positive for part in parts]), np.concatenate([part.scores for part in parts]), 0.5,
        (0.5, 0.5), tuple(word for part in parts for word in part.outcomes), least.target, least.promise, aim=least.aim,
    )  # fmt: skip


def merged_answers(folds: Sequence[Fold]) -> Answers:
    """The folds' answers end to end; times are means over the folds."""
    first = folds[0].answers
    gated = all(fold.answers.findings is not None for fold in folds)
    times = {
        key: float(np.mean([fold.answers.inference[key] for fold in folds])) for key in ("mean_ms", "single_p50_ms")
    }
    return Answers(
        first.precision,
        np.concatenate([fold.answers.logits for fold in folds]),
        tuple(each for fold in folds for each in fold.answers.findings or ()) if gated else None,
        {**first.inference, **times},
        np.concatenate([fold.answers.explained for fold in folds]),
    )


def summary(folds: Sequence[Fold], whole: ScoredPredictions, figures: Evaluation) -> dict[str, Any]:
    """What ``crossval.json`` holds: ``{"pooled": {…}, "folds": [{…}]}``."""
    rows = [_row(fold, one_fold(fold, whole.classes, whole.ordinal)) for fold in folds]
    areas = [row["auc"] for row in rows if row["auc"] is not None]
    pooled = {
        **_short(figures),
        "folds_auc_mean": float(np.mean(areas)) if areas else None,
        "folds_auc_sd": float(np.std(areas, ddof=1)) if len(areas) > 1 else None,
        "how": HOW,
    }
    plain: dict[str, Any] = finite({"pooled": pooled, "folds": rows})
    return plain


def _row(fold: Fold, part: ScoredPredictions) -> dict[str, Any]:
    decision = fold.point.decision
    return {
        "fold": fold.number,
        **_short(evaluation(part, decision.thresholds if decision else None)),
        "temperature": fold.point.temperature,
        "thresholds": decision.thresholds if decision else None,
        **fold.kept,
    }


def _short(figures: Evaluation) -> dict[str, Any]:
    """The figures that folds are compared by."""
    decision = figures.decision or {}
    names = ("sensitivity", "specificity", "ppv", "npv")
    value: dict[str, Any] = {
        "n": figures.n,
        "groups": figures.groups,
        "accuracy": figures.accuracy,
        "accuracy_interval": list(figures.accuracy_interval),
        "balanced_accuracy": figures.balanced_accuracy,
        "auc": figures.auc,
        "auc_interval": list(figures.auc_interval),
        "ece": figures.ece,
        **{key: decision.get(key) for name in names for key in (name, f"{name}_interval")},
        "positives": decision.get("positives"),
        "uncertain_as_refer": decision.get("uncertain_as_refer"),
    }
    return {**value, **figures.ordinal} if figures.ordinal else value


def predictions_csv(folds: Sequence[Fold], classes: Sequence[str], ordinal: bool) -> str:
    """A row per image: id, label, fold, calibrated probabilities, and the outcome at the fold's own threshold."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["id", "label", "fold", *classes, "outcome"])
    for fold in folds:
        part = one_fold(fold, classes, ordinal)
        outcomes = part.decided.outcomes if part.decided else ("classified",) * len(part.samples)
        for sample, row, outcome in zip(part.samples, part.probabilities.tolist(), outcomes, strict=True):
            writer.writerow([sample.id, label_name(sample.label, classes), fold.number, *map(repr, row), outcome])
    return text.getvalue()


def lines(found: Mapping[str, Any], area: str) -> list[str]:
    """For people, in a terminal: a line per fold. ``area``: what the AUC is called."""
    rows = [f"  {'fold':>4} {'images':>7} {'accuracy':>9} {area:>9} {'sens.':>7} {'spec.':>7}"]
    for row in found["folds"]:
        cells = [_number(row[key]) for key in ("auc", "sensitivity", "specificity")]
        rows.append(f"  {row['fold']:>4} {row['n']:>7} {row['accuracy']:>9.4f}   " + " ".join(cells))
    return rows


def _number(value: float | None) -> str:
    return f"{'–' if value is None else format(value, '.4f'):>7}"


def thresholds_mean(folds: Sequence[Fold]) -> dict[str, float]:
    """Per label, the mean of the folds' thresholds on the logit scale: for the pooled per-label table only."""
    decisions = [fold.point.decision for fold in folds]
    if any(decision is None for decision in decisions):
        return {}
    names = decisions[0].thresholds if decisions[0] else {}
    table = {name: np.mean([logit(d.thresholds[name]) for d in decisions if d]) for name in names}
    return {name: float(0.5 * (1 + np.tanh(0.5 * value))) for name, value in table.items()}
