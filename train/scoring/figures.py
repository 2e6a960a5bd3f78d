"""The figures of one set of answers, each with its interval."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from fieldlens.runtime.bundle.area_name import area_name
from fieldlens.train import metrics
from fieldlens.train.decide.operating_point import counted
from fieldlens.train.metrics import Interval
from fieldlens.train.scoring.scored_predictions import Decided, ScoredPredictions

OUTCOMES = ("refer", "uncertain", "no-sign-found")


@dataclass(frozen=True)
class Evaluation:
    """One part's figures. Intervals are 95%. ``decision`` is None for a general classifier, ``ordinal`` where classes
    are no grades; ``confusion`` is empty for multi-label, where ``exact_match`` is the share with every label right."""

    n: int
    groups: int
    accuracy: float
    accuracy_interval: tuple[float, float]
    balanced_accuracy: float
    auc: float
    auc_interval: tuple[float, float]
    ece_uncalibrated: float
    ece: float
    log_loss: float
    classes: dict[str, dict[str, Any]]
    confusion: list[list[int]]
    decision: dict[str, Any] | None
    ordinal: dict[str, Any] | None
    exact_match: float | None

    def to_json(self) -> dict[str, Any]:
        """Plain values, without NaN."""
        plain: dict[str, Any] = finite(asdict(self))
        return plain


def evaluation(judged: ScoredPredictions, thresholds: dict[str, float] | None = None) -> Evaluation:
    """All figures. ``thresholds`` per label (multi-label); a label without one is decided at 0.5."""
    labels, probabilities = judged.labels, judged.probabilities
    one_class = judged.task == "multiclass"
    counts = metrics.confusion(probabilities, labels) if one_class else None
    area = auc_interval(judged)
    accuracy = accuracy_interval(judged)
    return Evaluation(
        n=len(labels),
        groups=len(set(judged.groups)),
        accuracy=accuracy.value,
        accuracy_interval=(accuracy.low, accuracy.high),
        balanced_accuracy=metrics.balanced_accuracy(probabilities, labels),
        auc=area.value,
        auc_interval=(area.low, area.high),
        ece_uncalibrated=metrics.ece(judged.uncalibrated, labels),
        ece=metrics.ece(probabilities, labels),
        log_loss=metrics.log_loss(judged.scaled, labels),
        classes=_classes(judged) if counts is not None else _labels(judged, thresholds or {}),
        confusion=[] if counts is None else counts.tolist(),
        decision=decided_figures(judged.decided, judged.groups) if judged.decided else None,
        ordinal=ordinal_figures(judged) if judged.ordinal and one_class else None,
        exact_match=None if one_class else metrics.exact_match(probabilities, labels),
    )


def accuracy_interval(judged: ScoredPredictions) -> Interval:
    """Wilson for images that are right or wrong; multi-label shares are bootstrapped by group."""
    right = metrics.correct(judged.probabilities, judged.labels)
    if judged.task == "multilabel":
        return metrics.bootstrap(lambda chosen: float(right[chosen].mean()), judged.groups)
    return Interval(float(right.mean()), *metrics.wilson(int(right.sum()), len(right)))


def auc_interval(judged: ScoredPredictions) -> Interval:
    """Bootstrapped by group. With very many classes the value alone."""
    if len(judged.classes) > metrics.MOST_CLASSES:
        return Interval(metrics.auc(judged.probabilities, judged.labels), math.nan, math.nan)
    return metrics.auc_interval(judged.probabilities, judged.labels, judged.groups)


def _classes(judged: ScoredPredictions) -> dict[str, dict[str, Any]]:
    """Each class against the rest, by argmax."""
    scores = metrics.per_class(metrics.confusion(judged.probabilities, judged.labels))
    areas = metrics.class_aucs(judged.probabilities, judged.labels)
    return {
        name: {**asdict(score), "auc": area} for name, score, area in zip(judged.classes, scores, areas, strict=True)
    }


def _labels(judged: ScoredPredictions, thresholds: dict[str, float]) -> dict[str, dict[str, Any]]:
    """Each label at its threshold, with its own AUC and interval."""
    rows: dict[str, dict[str, Any]] = {}
    for column, name in enumerate(judged.classes):
        scores, present = judged.probabilities[:, column], judged.labels[:, column] == 1
        threshold = thresholds.get(name, metrics.PRESENT)
        row = counted(scores >= threshold, present)
        area = metrics.score_auc_interval(scores, present, judged.groups)
        precision, recall = row["ppv"] or 0.0, row["sensitivity"] or 0.0
        rows[name] = {
            "precision": precision,
            "recall": recall,
            "f1": 2 * precision * recall / (precision + recall) if precision + recall else 0.0,
            "support": row["positives"],
            "threshold": threshold,
            "auc": area.value,
            "auc_interval": [area.low, area.high],
            **row,
        }
    return rows


def decided_figures(decided: Decided, groups: Sequence[str]) -> dict[str, Any]:
    """At the threshold, and as the device would act on it (``uncertain`` counts as refer). ``auc`` is of the score."""
    area = metrics.score_auc_interval(decided.scores, decided.positive, groups)
    return {
        "auc": area.value,
        "auc_interval": [area.low, area.high],
        **counted(decided.referred, decided.positive),
        "threshold": decided.threshold,
        "band": list(decided.band),
        "target": decided.target,
        "promise": decided.promise,
        "band_promise": decided.band_promise,
        "aim": decided.aim or decided.target,
        "uncertain_as_refer": counted(decided.reported, decided.positive),
        "outcomes": {name: decided.outcomes.count(name) for name in OUTCOMES},
    }


def ordinal_figures(judged: ScoredPredictions) -> dict[str, Any]:
    """Grades in order: quadratic kappa, and how far off the most probable grade is."""
    said, labels, classes = judged.probabilities.argmax(axis=1), judged.labels, len(judged.classes)
    kappa = metrics.bootstrap(
        lambda chosen: metrics.quadratic_kappa(said[chosen], labels[chosen], classes), judged.groups
    )
    off = np.abs(said - labels)
    exact, one = int((off == 0).sum()), int((off == 1).sum())
    return {
        "quadratic_kappa": kappa.value,
        "quadratic_kappa_interval": [kappa.low, kappa.high],
        "exact": exact / len(off),
        "off_by_one": one / len(off),
        "off_by_one_interval": list(metrics.wilson(one, len(off))),
        "off_by_more": float((off > 1).mean()),
        "mean_absolute_error": float(off.mean()),
    }


def subset_row(judged: ScoredPredictions) -> dict[str, Any]:
    """A line of a per-site or per-subgroup table."""
    accuracy, area = accuracy_interval(judged), auc_interval(judged)
    row = {
        "n": len(judged.samples),
        "groups": len(set(judged.groups)),
        "accuracy": accuracy.value,
        "accuracy_interval": [accuracy.low, accuracy.high],
        "auc": area.value,
        "auc_interval": [area.low, area.high],
        "readable": None if judged.readable is None else int(judged.readable.sum()),
    }
    if judged.decided:
        row["decision"] = counted(judged.decided.reported, judged.decided.positive)
    plain: dict[str, Any] = finite(row)
    return plain


def finite(value: Any) -> Any:
    """NaN (an AUC without one of its classes) becomes null: JSON has no NaN."""
    if isinstance(value, dict):
        return {key: finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [finite(inner) for inner in value]
    return None if isinstance(value, float) and math.isnan(value) else value


def table(name: str, key: str, result: Evaluation, temperature: str, threshold: str | None = None) -> str:
    """For people, in a terminal. ``threshold``: in words, where there are several."""
    kind = area_name("multiclass" if result.confusion else "multilabel", len(result.classes))
    groups = f" of {result.groups} groups" if result.groups < result.n else ""
    lines = [
        f"{name} on {key}: {result.n} images{groups}",
        f"  accuracy {result.accuracy:.4f} {_range(result.accuracy_interval)}, balanced {result.balanced_accuracy:.4f}",
        f"  {kind} {result.auc:.4f} {_range(result.auc_interval)}",
        f"  ECE {result.ece:.4f}, log loss {result.log_loss:.4f} (temperature {temperature})",
        f"  {'class':<20} {'precision':>9} {'recall':>9} {'F1':>9} {'images':>7}",
    ]
    for label, score in result.classes.items():
        numbers = " ".join(f"{score[measure]:>9.4f}" for measure in ("precision", "recall", "f1"))
        lines.append(f"  {label:<20} {numbers} {score['support']:>7}")
    if result.ordinal:
        kappa = result.ordinal
        lines.append(
            f"  quadratic kappa {kappa['quadratic_kappa']:.4f} {_range(kappa['quadratic_kappa_interval'])}, "
            f"off by one {kappa['off_by_one']:.1%}, by more {kappa['off_by_more']:.1%}"
        )
    if result.decision:
        lines += _decision_lines(result.decision, threshold)
    return "\n".join(lines)


def _decision_lines(decision: dict[str, Any], own: str | None) -> list[str]:
    where = f"{decision['threshold']:.4f}" if own is None else own
    lines = [f"  at the threshold {where} (chosen on validation for {decision['aim']}):"]
    for name, values in (("as referred", decision), ("uncertain as refer", decision["uncertain_as_refer"])):
        parts = [
            f"{measure} {values[measure]:.4f} {_range(values[f'{measure}_interval'])}"
            for measure in ("sensitivity", "specificity")
            if values[measure] is not None
        ]
        lines.append(f"    {name}: {', '.join(parts)}")
    counts = ", ".join(f"{name} {count}" for name, count in decision["outcomes"].items())
    if decision["promise"]:
        lines.append(f"    promised: {decision['promise']}")
    return [*lines, f"    outcomes: {counts}; {decision['positives']} positives, {decision['negatives']} negatives"]


def _range(interval: Sequence[float]) -> str:
    return f"[{interval[0]:.4f}, {interval[1]:.4f}]"
