"""Temperature and decision, chosen on validation: what ``RUN/operating-point.json`` says."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import optimize

from runtime.decision import Decision, calibrated
from runtime.errors import ConfigError
from runtime.fields import nearest
from train.config import DecisionConfig
from train.metrics import Floats, Ints, ece, log_loss, resamples, wilson

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
    """The temperature of least negative log-likelihood (Guo et al., ICML 2017); logits ``[n,C]``, labels ``[n]``."""
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
    """Sensitivity and specificity at a threshold with Wilson's 95% intervals and the counts behind them."""
    refer = scores >= threshold
    hits, positives = int((refer & positive).sum()), int(positive.sum())
    passes, negatives = int((~refer & ~positive).sum()), int((~positive).sum())
    return {
        "sensitivity": hits / positives if positives else None,
        "sensitivity_interval": list(wilson(hits, positives)),
        "specificity": passes / negatives if negatives else None,
        "specificity_interval": list(wilson(passes, negatives)),
        "n": len(scores),
        "positives": positives,
        "negatives": negatives,
    }


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
    positive = np.isin(labels, [classes.index(name) for name in config.positive])
    draft = Decision("sum", config.positive, dict.fromkeys(config.positive, 0.5), (0.5, 0.5), config.target, {})
    scores = draft.score(probabilities, classes)
    threshold = threshold_for(scores, positive, target)
    band = band_for(scores, positive, target, threshold, groups, config)
    inside = (scores >= band[0]) & (scores <= band[1]) if band[0] < band[1] else np.zeros(len(scores), bool)
    reached = {**rates(scores, positive, threshold), "uncertain": float(inside.mean())}
    return Decision("sum", config.positive, dict.fromkeys(config.positive, threshold), band, config.target, reached)


def check_decision(config: DecisionConfig, classes: Sequence[str]) -> None:
    """Before hours of training: are the positive classes classes, and is the target one? Raises ConfigError."""
    parse_target(config.target)
    for name in config.positive:
        if name not in classes:
            raise ConfigError(f"decision.positive: {name!r} is not a class", nearest(name, classes))
    if len(set(config.positive)) == len(classes):
        raise ConfigError("decision.positive names every class", "name the findings only")


def fit_operating_point(
    logits: Floats, labels: Ints, classes: Sequence[str], groups: Sequence[str], config: DecisionConfig
) -> tuple[OperatingPoint, dict[str, Any]]:
    """The operating point from validation logits ``[n,C]``, and the object that ``operating-point.json`` holds."""
    temperature = fit_temperature(logits, labels)
    before, after = calibrated(logits, 1.0, "multiclass"), calibrated(logits, temperature, "multiclass")
    decision = choose_decision(after, labels, classes, groups, config)
    return OperatingPoint(temperature, decision), {
        "temperature": temperature,
        "decision": decision.to_json() if decision else None,
        "fitted_on": {"split": "val", "n": len(labels), "groups": len(set(groups))},
        "ece_before": ece(before, labels),
        "ece_after": ece(after, labels),
    }
