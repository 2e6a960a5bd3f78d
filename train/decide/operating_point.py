"""Temperature and decision, chosen on validation: what ``RUN/operating-point.json`` says."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import optimize

from fieldlens.runtime.bundle.decision import Decision, calibrated
from fieldlens.runtime.errors import ConfigError
from fieldlens.runtime.fields import nearest
from fieldlens.train.config import DecisionConfig
from fieldlens.train.metrics import Floats, Ints, ece, log_loss, multilabel, resamples, wilson

Bools = npt.NDArray[np.bool_]

TEMPERATURES = (0.05, 20.0)
"""Bounds of the search: outside of them the fit says more about the validation set than about the network."""


@dataclass(frozen=True)
class Target:
    """``sensitivity >= 0.95`` or ``specificity >= 0.95``."""

    measure: str
    least: float


@dataclass(frozen=True)
class OperatingPoint:
    """The temperature divides the logits; the decision is None for a general classifier."""

    temperature: float
    decision: Decision | None


def parse_target(text: str) -> Target:
    """Raises ConfigError for anything but ``sensitivity >= x`` and ``specificity >= x``, 0 < x <= 1."""
    match = re.fullmatch(r"\s*(\w+)\s*>=\s*([0-9.]+)\s*", text)
    if not match:
        raise ConfigError(f"decision.target {text!r} is not understood", 'for example "sensitivity >= 0.95"')
    measure = match[1]
    if measure not in ("sensitivity", "specificity"):
        raise ConfigError(f"decision.target {text!r}: {measure!r}", nearest(measure, ("sensitivity", "specificity")))
    try:
        least = float(match[2])
    except ValueError:
        least = 0.0
    if not 0 < least <= 1:
        raise ConfigError(f"decision.target {text!r}: the value must be above 0 and at most 1", "for example 0.95")
    return Target(measure, least)


def fit_temperature(logits: Floats, labels: Ints) -> float:
    """The temperature of least negative log-likelihood (Guo et al., ICML 2017); logits ``[n,C]``, labels ``[n]`` or
    0/1 ``[n,C]`` (one temperature for all labels)."""
    low, high = np.log(TEMPERATURES)
    found = optimize.minimize_scalar(
        lambda t: log_loss(np.asarray(logits, np.float64) / np.exp(t), labels), bounds=(low, high), method="bounded",
        options={"xatol": 1e-6},
    )  # fmt: skip
    return float(np.exp(found.x))


def threshold_for(scores: Floats, positive: Bools, target: Target) -> float:
    """The threshold that meets the target on these scores ``[n]`` at the least cost; refer means score >= threshold.

    Sensitivity: the highest threshold that keeps enough positives, then lowered as long as that refers not one more
    negative: sensitivity beyond the target is taken where it is free. Specificity: the other way round. The threshold
    lies half-way between two scores, so that the last digit of a converted model does not decide.
    """
    sick, well = np.sort(scores[positive]), np.sort(scores[~positive])
    if target.measure == "sensitivity":
        least = sick[len(sick) - _needed(target.least, len(sick))]
        below = float(max(well[well < least], default=0.0))
        return (below + float(sick[sick > below].min(initial=least))) / 2
    most = well[_needed(target.least, len(well)) - 1]
    above = float(min(sick[sick > most], default=1.0))
    return (above + float(well[well < above].max(initial=most))) / 2


def _needed(share: float, count: int) -> int:
    """How many of ``count`` make at least ``share`` (0.95 of 20 is 19, whatever the rounding says)."""
    return int(max(1, np.ceil(share * count - 1e-9)))


def rates(scores: Floats, positive: Bools, threshold: float) -> dict[str, Any]:
    """:func:`counted`, with every score from ``threshold`` on referred."""
    return counted(np.asarray(scores >= threshold), positive)


def counted(referred: Bools, positive: Bools) -> dict[str, Any]:
    """Sensitivity, specificity, PPV and NPV of ``referred`` ``[n]`` with Wilson's 95% intervals and the counts behind
    them. A share of nothing is None, its interval [0, 1]. PPV and NPV hold at this set's own prevalence."""
    hits, positives = int((referred & positive).sum()), int(positive.sum())
    passes, negatives = int((~referred & ~positive).sum()), int((~positive).sum())
    shares = {
        "sensitivity": (hits, positives),
        "specificity": (passes, negatives),
        "ppv": (hits, int(referred.sum())),
        "npv": (passes, int((~referred).sum())),
    }
    result: dict[str, Any] = {}
    for name, (part, whole) in shares.items():
        result |= {name: part / whole if whole else None, f"{name}_interval": list(wilson(part, whole))}
    return {**result, "n": len(positive), "positives": positives, "negatives": negatives}


def band_for(
    scores: Floats, positive: Bools, target: Target, threshold: float, groups: Sequence[str], config: DecisionConfig
) -> tuple[float, float]:
    """Where the threshold might as well have been: its central bootstrap range over resampled groups.

    Resamples without a positive or without a negative say nothing and are left out.
    """
    if config.band == 0:
        return threshold, threshold
    found = [
        threshold_for(scores[chosen], positive[chosen], target)
        for chosen in resamples(groups, config.rounds, seed=0)
        if positive[chosen].any() and not positive[chosen].all()
    ]
    if not found:
        return threshold, threshold
    low, high = np.quantile(found, [0.5 - config.band / 2, 0.5 + config.band / 2])
    return float(min(low, threshold)), float(max(high, threshold))


def choose_decision(
    probabilities: Floats, labels: Ints, classes: Sequence[str], groups: Sequence[str], config: DecisionConfig
) -> Decision | None:
    """The decision for calibrated ``probabilities`` ``[n,C]``; None when the recipe names no positive classes."""
    if not config.positive:
        return None
    target = parse_target(config.target)
    positive = truly_positive(labels, config.positive, classes)
    draft = Decision("sum", config.positive, dict.fromkeys(config.positive, 0.5), (0.5, 0.5), config.target, {})
    reached: dict[str, Any] = {}
    if multilabel(labels):
        thresholds, reached["labels"] = _label_thresholds(probabilities, labels, classes, config)
        draft = replace(draft, rule="any", thresholds=thresholds)
        scores = draft.score(probabilities, classes)
        # The joint border is 0.5 by construction; what it reached is what a resample has to reach again.
        target = Target(target.measure, max(rates(scores, positive, 0.5)[target.measure] or 0.0, 1e-9))
    else:
        scores = draft.score(probabilities, classes)
        threshold = threshold_for(scores, positive, target)
        draft = replace(draft, thresholds=dict.fromkeys(config.positive, threshold))
    band = band_for(scores, positive, target, draft.threshold, groups, config)
    inside = (scores >= band[0]) & (scores <= band[1]) if band[0] < band[1] else np.zeros(len(scores), bool)
    reached = {**rates(scores, positive, draft.threshold), "uncertain": float(inside.mean()), **reached}
    return replace(draft, band=band, reached=reached)


def truly_positive(labels: Ints, positive: Sequence[str], classes: Sequence[str]) -> Bools:
    """``[n]``: is the class one of ``positive``; multi-label: is any of them present?"""
    columns = [classes.index(name) for name in positive]
    return np.asarray((labels[:, columns] == 1).any(axis=1) if multilabel(labels) else np.isin(labels, columns))


def _label_thresholds(
    probabilities: Floats, labels: Ints, classes: Sequence[str], config: DecisionConfig
) -> tuple[dict[str, float], dict[str, Any]]:
    """A threshold for each positive label, each for the target by itself, and what it reached.

    A label that validation shows on every image or on none gives nothing to choose by: 0.5, and its rates say so.
    """
    target = parse_target(config.target)
    thresholds, reached = {}, {}
    for name in config.positive:
        scores, present = probabilities[:, classes.index(name)], labels[:, classes.index(name)] == 1
        reported = bool(present.any() and not present.all())
        thresholds[name] = threshold_for(scores, present, target) if reported else 0.5
        reached[name] = {**rates(scores, present, thresholds[name]), "chosen": reported}
    return thresholds, reached


_NEW = "`fieldlens train new-recipe DATA --positive CLASS --out my.toml` writes a recipe for this data"


def check_decision(config: DecisionConfig, classes: Sequence[str], task: str = "multiclass") -> None:
    """Before hours of training: are the positive classes classes, and is the target one? Raises ConfigError."""
    parse_target(config.target)
    for name in config.positive:
        if name not in classes:
            raise ConfigError(f"decision.positive: {name!r} is not a class", f"{nearest(name, classes)}; {_NEW}")
    if task == "multiclass" and len(set(config.positive)) == len(classes):
        raise ConfigError("decision.positive names every class", "name the findings only")


def fit_operating_point(
    logits: Floats, labels: Ints, classes: Sequence[str], groups: Sequence[str], config: DecisionConfig
) -> tuple[OperatingPoint, dict[str, Any]]:
    """The operating point from validation logits ``[n,C]``, and the object that ``operating-point.json`` holds."""
    temperature, task = fit_temperature(logits, labels), task_of(labels)
    before, after = calibrated(logits, 1.0, task), calibrated(logits, temperature, task)
    decision = choose_decision(after, labels, classes, groups, config)
    return OperatingPoint(temperature, decision), {
        "temperature": temperature,
        "decision": decision.to_json() if decision else None,
        "fitted_on": {"split": "val", "n": len(labels), "groups": len(set(groups))},
        "ece_before": ece(before, labels),
        "ece_after": ece(after, labels),
    }


def task_of(labels: Ints) -> str:
    """``multilabel`` for 0/1 ``[n,C]``, ``multiclass`` for ``[n]``: runtime's word for softmax or sigmoid."""
    return "multilabel" if multilabel(labels) else "multiclass"
