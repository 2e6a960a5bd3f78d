"""Figures of merit and their intervals, in numpy.

Probabilities are ``[n,C]`` and labels int ``[n]`` unless said otherwise.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import special, stats

Floats = npt.NDArray[np.floating[Any]]
Ints = npt.NDArray[np.integer[Any]]


@dataclass(frozen=True)
class Interval:
    """A value with its confidence limits."""

    value: float
    low: float
    high: float


def accuracy(probabilities: Floats, labels: Ints) -> float:
    """Share of pictures whose most probable class is the right one."""
    return float(np.mean(np.argmax(probabilities, axis=1) == labels))


def confusion(probabilities: Floats, labels: Ints) -> npt.NDArray[np.int64]:
    """Counts ``[C,C]``: true class by row, most probable class by column."""
    classes = probabilities.shape[1]
    flat = labels * classes + np.argmax(probabilities, axis=1)
    return np.bincount(flat, minlength=classes * classes).reshape(classes, classes).astype(np.int64)


@dataclass(frozen=True)
class ClassScores:
    """One class against the rest, by argmax. A ratio without a denominator is 0, as in scikit-learn."""

    precision: float
    recall: float
    f1: float
    support: int


def per_class(counts: npt.NDArray[np.int64]) -> list[ClassScores]:
    """Precision, recall and F1 of each class from a confusion matrix ``[C,C]``."""
    scores = []
    for index, right in enumerate(np.diag(counts)):
        said, true = int(counts[:, index].sum()), int(counts[index].sum())
        precision, recall = _ratio(right, said), _ratio(right, true)
        scores.append(ClassScores(precision, recall, _ratio(2 * right, said + true), true))
    return scores


def _ratio(part: float, whole: float) -> float:
    return float(part / whole) if whole else 0.0


def balanced_accuracy(probabilities: Floats, labels: Ints) -> float:
    """Mean recall over the classes that occur."""
    return float(np.mean([s.recall for s in per_class(confusion(probabilities, labels)) if s.support]))


def binary_auc(scores: Floats, positive: npt.NDArray[np.bool_]) -> float:
    """Area under the ROC curve by ranks (Mann–Whitney, ties half); NaN where one side is empty. ``[n]``, ``[n]``."""
    count = int(positive.sum())
    others = len(positive) - count
    if not count or not others:
        return math.nan
    ranks = stats.rankdata(scores)
    return float((ranks[positive].sum() - count * (count + 1) / 2) / (count * others))


def auc(probabilities: Floats, labels: Ints) -> float:
    """Two classes: of the second. More: macro average of one against the rest, over the classes that occur."""
    if probabilities.shape[1] == 2:
        return binary_auc(probabilities[:, 1], labels == 1)
    areas = [binary_auc(probabilities[:, c], labels == c) for c in range(probabilities.shape[1])]
    known = [area for area in areas if not math.isnan(area)]
    return float(np.mean(known)) if known else math.nan


def log_loss(logits: Floats, labels: Ints) -> float:
    """Mean negative log-likelihood of softmax logits, in nats."""
    rows = np.asarray(logits, np.float64)
    return float(np.mean(special.logsumexp(rows, axis=1) - rows[np.arange(len(labels)), labels]))


def ece(probabilities: Floats, labels: Ints, bins: int = 15) -> float:
    """Expected calibration error of the most probable class, equal-width bins (Guo et al., ICML 2017)."""
    confidence = probabilities.max(axis=1)
    right = np.argmax(probabilities, axis=1) == labels
    bin_of = np.minimum((confidence * bins).astype(np.int64), bins - 1)
    gap = np.abs(np.bincount(bin_of, right, bins) - np.bincount(bin_of, confidence, bins))
    return float(gap.sum() / len(labels))


def wilson(successes: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval of a proportion (Wilson, JASA 1927); (0, 1) where nothing was counted."""
    if n == 0:
        return 0.0, 1.0
    z = float(stats.norm.ppf(0.5 + confidence / 2))
    share = successes / n
    centre = share + z * z / (2 * n)
    reach = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    scale = 1 + z * z / n
    # At the ends the formula gives 0 and 1 but for rounding.
    low = 0.0 if successes == 0 else (centre - reach) / scale
    return low, 1.0 if successes == n else (centre + reach) / scale


def resamples(groups: Sequence[str], rounds: int, seed: int) -> list[Ints]:
    """Bootstrap resamples of whole groups: index arrays, ``rounds`` of them."""
    _, member_of = np.unique(np.asarray(groups, dtype=str), return_inverse=True)
    order = np.argsort(member_of, kind="stable")
    counts = np.bincount(member_of)
    starts = np.cumsum(counts) - counts
    generator = np.random.default_rng(seed)
    drawn = []
    for _ in range(rounds):
        chosen = generator.integers(0, len(counts), len(counts))
        sizes = counts[chosen]
        offset = np.arange(sizes.sum()) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        drawn.append(order[np.repeat(starts[chosen], sizes) + offset])
    return drawn


def bootstrap(
    statistic: Callable[[Ints], float], groups: Sequence[str], rounds: int = 1000, seed: int = 0,
    confidence: float = 0.95,
) -> Interval:  # fmt: skip
    """Percentile interval of ``statistic(indices)`` over resampled groups; resamples where it is NaN are left out."""
    value = statistic(np.arange(len(groups)))
    values = np.array([statistic(indices) for indices in resamples(groups, rounds, seed)])
    values = values[~np.isnan(values)]
    if not len(values):
        return Interval(value, math.nan, math.nan)
    low, high = np.quantile(values, [0.5 - confidence / 2, 0.5 + confidence / 2])
    return Interval(value, float(low), float(high))


def auc_interval(
    probabilities: Floats, labels: Ints, groups: Sequence[str], rounds: int = 1000, seed: int = 0
) -> Interval:
    """AUC with its 95% interval, bootstrapped by group."""
    return bootstrap(lambda chosen: auc(probabilities[chosen], labels[chosen]), groups, rounds, seed)


def auc_difference(
    ours: Floats, theirs: Floats, labels: Ints, groups: Sequence[str], rounds: int = 1000, seed: int = 0
) -> Interval:
    """``auc(ours) - auc(theirs)`` on the same pictures: paired bootstrap by group, 95% interval."""

    def difference(chosen: Ints) -> float:
        return auc(ours[chosen], labels[chosen]) - auc(theirs[chosen], labels[chosen])

    return bootstrap(difference, groups, rounds, seed)
