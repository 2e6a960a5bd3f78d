"""What a decision is worth in a clinic: predictive values at a prevalence, and what other thresholds would do."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from fieldlens.train.decide.operating_point import Bools, counted
from fieldlens.train.metrics import Floats, two_sided_z
from fieldlens.train.scoring.scored_predictions import Decided

PREVALENCES = (0.01, 0.05, 0.10, 0.20)
"""From a screened village to a specialist's waiting room."""

_STEPS = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)


def at_prevalence(referred: Bools, positive: Bools, prevalence: float, confidence: float = 0.95) -> dict[str, Any]:
    """PPV and NPV where ``prevalence`` of the people have it, and per 1000 of them how many are referred and missed.

    Bayes' rule on sensitivity and specificity; intervals on the logit scale with z²/2 added to every count, so that
    100% has one too (Mercaldo, Lau & Zhou, Statistics in Medicine 2007, "adjusted logit").
    """
    sick, well = int(positive.sum()), int((~positive).sum())
    if not sick or not well:
        return {"prevalence": prevalence}
    hits, passes = int((referred & positive).sum()), int((~referred & ~positive).sum())
    sensitivity, specificity = hits / sick, passes / well
    found, false = prevalence * sensitivity, (1 - prevalence) * (1 - specificity)
    missed, cleared = prevalence * (1 - sensitivity), (1 - prevalence) * specificity
    z = two_sided_z(confidence)
    more_sick, more_well = sick + z * z, well + z * z
    se, sp = (hits + z * z / 2) / more_sick, (passes + z * z / 2) / more_well
    odds = prevalence / (1 - prevalence)
    ppv_reach = z * math.sqrt((1 - se) / (se * more_sick) + sp / ((1 - sp) * more_well))
    npv_reach = z * math.sqrt(se / ((1 - se) * more_sick) + (1 - sp) / (sp * more_well))
    ppv, npv = _share(found, false), _share(cleared, missed)
    return {
        "prevalence": prevalence,
        "ppv": ppv,
        "ppv_interval": _around(ppv, math.log(odds * se / (1 - sp)), ppv_reach),
        "npv": npv,
        "npv_interval": _around(npv, math.log(sp / (odds * (1 - se))), npv_reach),
        "referred_per_1000": 1000 * (found + false),
        "found_per_1000": 1000 * found,
        "missed_per_1000": 1000 * missed,
    }


def _share(part: float, rest: float) -> float | None:
    return part / (part + rest) if part + rest else None


def _around(value: float | None, centre: float, reach: float) -> list[float]:
    """From the logit scale; widened to hold the plain value, which the added counts may leave outside."""
    ends = [1 / (1 + math.exp(-(centre + side * reach))) for side in (-1, 1)]
    return ends if value is None else [min(ends[0], value), max(ends[1], value)]


def threshold_table(decided: Decided, prevalence: float) -> list[dict[str, Any]]:
    """A row per candidate threshold, rising: round values, the chosen one and the ends of its band. Thresholds between
    which no score lies share one."""
    named = {decided.threshold: "chosen"}
    if decided.band[0] < decided.band[1]:
        named = {decided.band[0]: "band, low end", decided.band[1]: "band, high end", **named}
    rows = []
    for threshold in sorted({*_STEPS, *named}):
        referred = decided.scores >= threshold
        values = at_prevalence(referred, decided.positive, prevalence)
        row = {
            "threshold": threshold,
            "note": named.get(threshold, ""),
            **counted(referred, decided.positive),
            **values,
        }
        rows.append(row)
    return _distinct(rows)


def _distinct(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Without those that judge every image as the row before does; one with a note stands for its equals."""
    kept: list[dict[str, Any]] = []
    for row in rows:
        alike = kept and all(kept[-1][rate] == row[rate] for rate in ("sensitivity", "specificity"))
        if alike and row["note"] and not kept[-1]["note"]:
            kept[-1] = row
        elif not alike or row["note"]:
            kept.append(row)
    return kept


def roc_points(scores: Floats, positive: Bools, most: int = 400) -> dict[str, list[float]]:
    """False and true positive rate for every distinct threshold, thinned to ``most`` points; ``[0, 0]`` first."""
    order = np.argsort(-scores, kind="stable")
    hits = np.cumsum(positive[order])
    last = np.append(np.flatnonzero(np.diff(scores[order])), len(scores) - 1)  # equal scores move together
    rates = np.stack([(last + 1 - hits[last]) / max(1, (~positive).sum()), hits[last] / max(1, positive.sum())])
    points = np.concatenate([np.zeros((2, 1)), rates], axis=1)
    kept = points[:, _thin(points.shape[1], most)]
    return {"fpr": kept[0].round(5).tolist(), "tpr": kept[1].round(5).tolist()}


def pr_points(scores: Floats, positive: Bools, most: int = 400) -> dict[str, Any]:
    """Recall and precision for every distinct threshold, and their average precision (as scikit-learn defines it)."""
    order = np.argsort(-scores, kind="stable")
    hits = np.cumsum(positive[order])
    last = np.append(np.flatnonzero(np.diff(scores[order])), len(scores) - 1)
    recall, precision = hits[last] / max(1, positive.sum()), hits[last] / (last + 1)
    average = float(np.sum(np.diff(recall, prepend=0.0) * precision))
    kept = _thin(len(recall), most)
    return {
        "recall": recall[kept].round(5).tolist(),
        "precision": precision[kept].round(5).tolist(),
        "average_precision": average,
        "prevalence": float(positive.mean()),
    }


def _thin(count: int, most: int) -> list[int]:
    return sorted({int(index) for index in np.linspace(0, count - 1, min(count, most))})
