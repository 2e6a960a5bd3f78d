"""Temperature and decision, chosen on validation: what ``RUN/operating-point.json`` says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import optimize, special

from fieldlens.runtime.bundle.decision import Decision, calibrated
from fieldlens.runtime.errors import ConfigError
from fieldlens.runtime.fields import nearest
from fieldlens.train.config import DecisionConfig
from fieldlens.train.decide.thresholds import (
    Border,
    Scored,
    Target,
    band_around,
    border_for,
    empty_border,
    parse_target,
)
from fieldlens.train.metrics import Floats, Ints, ece, multilabel, wilson

Bools = npt.NDArray[np.bool_]

TEMPERATURES = (0.05, 20.0)
"""Bounds of the search: outside of them the fit says more about the validation set than about the network."""
QUANTILES = tuple(share / 20 for share in range(21))
"""Of the scores of each side, in ``reached``."""


@dataclass(frozen=True)
class OperatingPoint:
    """The temperature divides the logits; the decision is None for a general classifier."""

    temperature: float
    decision: Decision | None


def fit_temperature(logits: Floats, labels: Ints, groups: Sequence[str] | None = None) -> float:
    """The temperature of least negative log-likelihood (Guo et al., ICML 2017); logits ``[n,C]``, labels ``[n]`` or
    0/1 ``[n,C]`` (one temperature for all labels).

    The targets are not 1 and 0 but ``(m + 1) / (m + 2)`` for a class that ``m`` groups have, as in Platt's scaling
    (Advances in Large Margin Classifiers 1999): what is never wrong on nine images may be wrong on the tenth. Without
    it a set that the network separates drives the temperature to its lower bound, and every answer reads 100%.
    """
    low, high = np.log(TEMPERATURES)
    rows, targets = np.asarray(logits, np.float64), _smoothed(labels, logits.shape[1], groups)
    several = multilabel(labels)
    found = optimize.minimize_scalar(
        lambda t: _loss(rows / np.exp(t), targets, several), bounds=(low, high), method="bounded",
        options={"xatol": 1e-6},
    )  # fmt: skip
    return float(np.exp(found.x))


def _smoothed(labels: Ints, classes: int, groups: Sequence[str] | None) -> Floats:
    """Platt's targets ``[n,C]``: rows of a class sum to 1; of several labels each is between absent and present."""
    names = np.arange(len(labels)) if groups is None else np.unique(np.asarray(groups, str), return_inverse=True)[1]

    def sure(has: Bools) -> float:
        count = len(np.unique(names[has]))
        return (count + 1) / (count + 2)

    targets = np.empty((len(labels), classes))
    for column in range(classes):
        present = labels[:, column] == 1 if multilabel(labels) else labels == column
        if multilabel(labels):
            targets[:, column] = np.where(present, sure(present), 1 - sure(~present))
        else:
            rest = (1 - sure(present)) / max(classes - 1, 1)
            targets[present] = np.where(np.arange(classes) == column, sure(present), rest)
    return targets


def _loss(rows: Floats, targets: Floats, several: bool) -> float:
    """Mean cross-entropy of ``rows`` ``[n,C]`` with soft ``targets``: of sigmoids, or of a softmax."""
    if several:
        return float(np.mean(np.logaddexp(0, rows) - rows * targets))
    return float(np.mean(special.logsumexp(rows, axis=1) - (rows * targets).sum(axis=1)))


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


def choose_decision(
    probabilities: Floats, labels: Ints, classes: Sequence[str], groups: Sequence[str], config: DecisionConfig,
    networks: int = 0,
) -> Decision | None:  # fmt: skip
    """The decision for calibrated ``probabilities`` ``[n,C]``; None when the recipe names no positive classes.
    ``networks``: how many others gave them (out-of-fold); 0: the one that decides.

    Its ``target`` says what is proved, which may be less than was wanted; ``reached`` has the promise in full.
    """
    if not config.positive:
        return None
    target = parse_target(config.target)
    positive = truly_positive(labels, config.positive, classes)
    draft = Decision("sum", config.positive, dict.fromkeys(config.positive, 0.5), (0.5, 0.5), config.target, {})
    reached: dict[str, Any] = {}
    if multilabel(labels):
        borders, reached["labels"] = _label_borders(probabilities, labels, classes, groups, config, networks)
        draft = replace(draft, rule="any", thresholds={name: border.threshold for name, border in borders.items()})
        promise = min((border.promise for border in borders.values()), key=lambda each: each.proved)
        data = Scored(draft.score(probabilities, classes), positive, groups, networks)
    else:
        data = Scored(draft.score(probabilities, classes), positive, groups, networks)
        border = _border(data, target, config.confidence)
        draft = replace(draft, thresholds=dict.fromkeys(config.positive, border.threshold))
        promise = border.promise
    band, ends = (draft.threshold, draft.threshold), None
    if positive.any() and not positive.all():
        band, ends = band_around(data, draft.threshold, target, config)
    scores = data.scores
    inside = (scores >= band[0]) & (scores <= band[1]) if band[0] < band[1] else np.zeros(len(scores), bool)
    reached = {
        **rates(scores, positive, draft.threshold), "uncertain": float(inside.mean()), **reached,
        "promise": promise.to_json(), "band": ends.to_json() if ends else {}, "scores": spread_of(data),
    }  # fmt: skip
    return replace(draft, band=band, reached=reached, target=promise.target)


def _border(data: Scored, target: Target, confidence: float, labels: int = 1) -> Border:
    there = data.positive.any() and not data.positive.all()
    return (border_for if there else empty_border)(data, target, confidence, labels)


def spread_of(data: Scored) -> dict[str, list[float]]:
    """Quantiles (0, 5, … 100%) of the scores of the sick and the well, for a clinic to compare its own with."""
    sides = {"sick": data.scores[data.positive], "well": data.scores[~data.positive]}
    return {
        name: np.quantile(scores, QUANTILES).tolist() if len(scores) else []
        for name, scores in sides.items()
    }  # fmt: skip


def truly_positive(labels: Ints, positive: Sequence[str], classes: Sequence[str]) -> Bools:
    """``[n]``: is the class one of ``positive``; multi-label: is any of them present?"""
    columns = [classes.index(name) for name in positive]
    return np.asarray((labels[:, columns] == 1).any(axis=1) if multilabel(labels) else np.isin(labels, columns))


def _label_borders(
    probabilities: Floats, labels: Ints, classes: Sequence[str], groups: Sequence[str], config: DecisionConfig,
    networks: int,
) -> tuple[dict[str, Border], dict[str, Any]]:  # fmt: skip
    """A threshold for each positive label, all of them together for the target, and what each reached.

    A label that validation shows on every image or on none gives nothing to choose by: 0.5, and its rates say so.
    """
    target = parse_target(config.target)
    borders, reached = {}, {}
    for name in config.positive:
        scores, present = probabilities[:, classes.index(name)], labels[:, classes.index(name)] == 1
        data = Scored(scores, present, groups, networks)
        borders[name] = _border(data, target, config.confidence, len(config.positive))
        reached[name] = {
            **rates(scores, present, borders[name].threshold),
            "chosen": bool(present.any() and not present.all()), "promise": borders[name].promise.to_json(),
        }  # fmt: skip
    return borders, reached


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
    logits: Floats, labels: Ints, classes: Sequence[str], groups: Sequence[str], config: DecisionConfig,
    networks: int = 0,
) -> tuple[OperatingPoint, dict[str, Any]]:  # fmt: skip
    """The operating point from validation logits ``[n,C]``, and the object that ``operating-point.json`` holds.
    ``networks``: how many others gave the logits; 0: the one that decides."""
    temperature, task = fit_temperature(logits, labels, groups), task_of(labels)
    before, after = calibrated(logits, 1.0, task), calibrated(logits, temperature, task)
    decision = choose_decision(after, labels, classes, groups, config, networks)
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
