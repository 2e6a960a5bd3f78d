"""Figures of merit and their intervals, in numpy.

Probabilities are ``[n,C]``. Labels are int ``[n]`` (one class an image) or 0/1 ``[n,C]`` (multi-label): functions that
take both say what they mean for the second.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import special

Floats = npt.NDArray[np.floating[Any]]
Ints = npt.NDArray[np.integer[Any]]

PRESENT = 0.5
"""Where a multi-label probability says "present" in figures that know no operating point."""

MOST_CLASSES = 50
"""With more of them an AUC, one class against the rest, says little and its bootstrap takes minutes."""


@dataclass(frozen=True)
class Interval:
    """A value with its confidence limits."""

    value: float
    low: float
    high: float


def multilabel(labels: Ints) -> bool:
    """Are these 0/1 ``[n,C]`` rather than classes ``[n]``?"""
    return labels.ndim == 2


def correct(probabilities: Floats, labels: Ints) -> Floats:
    """What each image adds to the accuracy, ``[n]``: 1 or 0, or (multi-label) the share of its labels that are right.

    A multi-label probability says "present" from 0.5 on, as in MedMNIST (Yang et al., Scientific Data 2023).
    """
    if multilabel(labels):
        return np.asarray(((probabilities >= PRESENT) == (labels == 1)).mean(axis=1))
    return np.asarray(np.argmax(probabilities, axis=1) == labels, np.float64)


def accuracy(probabilities: Floats, labels: Ints) -> float:
    """Share of images whose most probable class is the right one; multi-label: of label decisions that are right."""
    return float(np.mean(correct(probabilities, labels)))


def exact_match(probabilities: Floats, labels: Ints) -> float:
    """Multi-label ``[n,C]``: the share of images with every label right (subset accuracy)."""
    return float(np.mean(correct(probabilities, labels) == 1))


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
    """Mean recall over the classes that occur; multi-label: over the labels, each with its presence and absence."""
    if not multilabel(labels):
        return float(np.mean([s.recall for s in per_class(confusion(probabilities, labels)) if s.support]))
    said, true = probabilities >= PRESENT, labels == 1
    recalls = [
        [np.mean(column[truth]), np.mean(~column[~truth])]
        for column, truth in zip(said.T, true.T, strict=True)
        if 0 < truth.sum() < len(truth)
    ]
    return float(np.mean(recalls)) if recalls else math.nan


def binary_auc(scores: Floats, positive: npt.NDArray[np.bool_]) -> float:
    """Area under the ROC curve by ranks (Mann–Whitney, ties half); NaN where one side is empty or a score is NaN.
    ``[n]``, ``[n]``."""
    count = int(positive.sum())
    others = len(positive) - count
    if not count or not others:
        return math.nan
    if np.isnan(scores).any():
        return math.nan
    ranks = _ranks(scores)
    return float((ranks[positive].sum() - count * (count + 1) / 2) / (count * others))


def _ranks(scores: Floats) -> Floats:
    """From 1 on; equal scores share the mean of their places. ``[n]`` → ``[n]``.

    ``scipy.stats.rankdata``, but importing ``scipy.stats`` takes as long as many a whole command.
    """
    ordered = np.sort(scores)
    below, up_to = (np.searchsorted(ordered, scores, side) for side in ("left", "right"))
    return np.asarray((below + 1 + up_to) / 2)


def class_aucs(probabilities: Floats, labels: Ints) -> list[float]:
    """AUC of each class against the rest, or of each label; NaN where one side is empty."""
    positive = labels == 1 if multilabel(labels) else labels[:, None] == np.arange(probabilities.shape[1])
    return [binary_auc(scores, truth) for scores, truth in zip(probabilities.T, positive.T, strict=True)]


def auc(probabilities: Floats, labels: Ints) -> float:
    """Two classes: of the second. More, and multi-label: macro average over the classes that have both sides."""
    if probabilities.shape[1] == 2 and not multilabel(labels):
        return binary_auc(probabilities[:, 1], labels == 1)
    known = [area for area in class_aucs(probabilities, labels) if not math.isnan(area)]
    return float(np.mean(known)) if known else math.nan


def log_loss(logits: Floats, labels: Ints) -> float:
    """Mean negative log-likelihood in nats: of softmax, or (multi-label) of a sigmoid, averaged over labels too."""
    rows = np.asarray(logits, np.float64)
    if multilabel(labels):
        return float(np.mean(np.logaddexp(0, rows) - rows * labels))
    return float(np.mean(special.logsumexp(rows, axis=1) - rows[np.arange(len(labels)), labels]))


def ece(probabilities: Floats, labels: Ints, bins: int = 15) -> float:
    """Expected calibration error, equal-width bins (Guo et al., ICML 2017): sum of ``|said - true|`` by bin's share."""
    return sum(abs(bar.said - bar.true) * bar.count for bar in reliability(probabilities, labels, bins)) / labels.size


@dataclass(frozen=True)
class Bin:
    """One bar of a reliability diagram: mean probability said, share that was true, answers in it."""

    said: float
    true: float
    count: int


def reliability(probabilities: Floats, labels: Ints, bins: int = 15) -> list[Bin]:
    """Bins that are not empty: of the most probable class, or (multi-label) of every label's probability."""
    if multilabel(labels):
        said, true = probabilities.ravel(), labels.ravel() == 1
    else:
        said, true = probabilities.max(axis=1), np.argmax(probabilities, axis=1) == labels
    bin_of = np.minimum((said * bins).astype(np.int64), bins - 1)
    counts, sums, hits = (np.bincount(bin_of, weights, bins) for weights in (None, said, true))
    return [Bin(float(sums[b] / counts[b]), float(hits[b] / counts[b]), int(counts[b])) for b in np.flatnonzero(counts)]


def quadratic_kappa(predicted: Ints, labels: Ints, classes: int) -> float:
    """Cohen's kappa with quadratic weights of grades ``[n]`` in 0 … classes-1 (Cohen, Psychological Bulletin 1968).

    NaN where chance alone agrees fully: everything has one grade.
    """
    seen = np.bincount(labels * classes + predicted, minlength=classes * classes).reshape(classes, classes)
    weight = np.subtract.outer(np.arange(classes), np.arange(classes)) ** 2
    by_chance = np.outer(seen.sum(axis=1), seen.sum(axis=0)) / len(labels)
    expected = float((weight * by_chance).sum())
    return 1.0 - float((weight * seen).sum()) / expected if expected else math.nan


def two_sided_z(confidence: float) -> float:
    """How many standard deviations of a normal distribution hold ``confidence`` around its mean: 1.96 for 0.95."""
    return float(special.ndtri(0.5 + confidence / 2))


def wilson(successes: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval of a proportion (Wilson, JASA 1927); (0, 1) where nothing was counted."""
    if n == 0:
        return 0.0, 1.0
    z = two_sided_z(confidence)
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
    return _percentiles(value, np.array([statistic(each) for each in resamples(groups, rounds, seed)]), confidence)


def _percentiles(value: float, values: Floats, confidence: float = 0.95) -> Interval:
    known = values[~np.isnan(values)]
    if not len(known):
        return Interval(value, math.nan, math.nan)
    low, high = np.quantile(known, [0.5 - confidence / 2, 0.5 + confidence / 2])
    return Interval(value, float(low), float(high))


def auc_interval(
    probabilities: Floats, labels: Ints, groups: Sequence[str], rounds: int = 1000, seed: int = 0
) -> Interval:
    """AUC with its 95% interval, bootstrapped by group."""
    return _percentiles(auc(probabilities, labels), _resampled_aucs(probabilities, labels, groups, rounds, seed))


def score_auc_interval(
    scores: Floats, positive: npt.NDArray[np.bool_], groups: Sequence[str], rounds: int = 1000, seed: int = 0
) -> Interval:
    """The same for one score ``[n]``."""
    return auc_interval(np.stack([-scores, scores], axis=1), positive.astype(np.int64), groups, rounds, seed)


def auc_difference(
    ours: Floats, theirs: Floats, labels: Ints, groups: Sequence[str], rounds: int = 1000, seed: int = 0
) -> Interval:
    """``auc(ours) - auc(theirs)`` on the same images: paired bootstrap by group, 95% interval."""
    values = [_resampled_aucs(each, labels, groups, rounds, seed) for each in (ours, theirs)]
    return _percentiles(auc(ours, labels) - auc(theirs, labels), values[0] - values[1])


def _resampled_aucs(probabilities: Floats, labels: Ints, groups: Sequence[str], rounds: int, seed: int) -> Floats:
    """:func:`auc` of every resample, ``[rounds]``; a hundred at a time, sorted once for all of them."""
    classes = probabilities.shape[1]
    columns = [1] if classes == 2 and not multilabel(labels) else range(classes)
    drawn = resamples(groups, rounds, seed)
    values = []
    for start in range(0, rounds, 100):
        counts = np.stack([np.bincount(each, minlength=len(groups)) for each in drawn[start : start + 100]])
        areas = [
            _weighted_aucs(probabilities[:, c], labels[:, c] == 1 if multilabel(labels) else labels == c, counts)
            for c in columns
        ]
        known = np.sum(~np.isnan(areas), axis=0)
        values.append(np.where(known > 0, np.nansum(areas, axis=0) / np.maximum(known, 1), math.nan))
    return np.concatenate(values)


def _weighted_aucs(scores: Floats, positive: npt.NDArray[np.bool_], counts: npt.NDArray[np.int64]) -> Floats:
    """:func:`binary_auc` with each image taken ``counts`` ``[R,n]`` times: ``[R]``."""
    order = np.argsort(scores, kind="stable")
    sorted_scores, drawn = scores[order], counts[:, order]
    ties = np.flatnonzero(np.append(True, sorted_scores[1:] != sorted_scores[:-1]))
    hits, rest = (np.add.reduceat(drawn * side, ties, axis=1) for side in (positive[order], ~positive[order]))
    pairs = hits.sum(axis=1) * rest.sum(axis=1)
    wins = (hits * (np.cumsum(rest, axis=1) - 0.5 * rest)).sum(axis=1)
    return np.where(pairs > 0, wins / np.maximum(pairs, 1), math.nan)
