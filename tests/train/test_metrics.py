from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from scipy import stats
from sklearn import metrics as theirs

from fieldlens.train import metrics as ours

Arrays = tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]


def made(classes: int, n: int = 300, seed: int = 0, ties: bool = False) -> Arrays:
    random = np.random.default_rng(seed)
    labels = random.integers(0, classes, n)
    logits = random.normal(size=(n, classes)) + 1.2 * np.eye(classes)[labels]
    exponent = np.exp(logits)
    probabilities = exponent / exponent.sum(1, keepdims=True)
    return (np.round(probabilities, 1) if ties else probabilities), labels


@pytest.mark.parametrize("classes", [2, 4])
def test_against_scikit_learn(classes: int) -> None:
    probabilities, labels = made(classes)
    said = probabilities.argmax(1)
    assert ours.accuracy(probabilities, labels) == theirs.accuracy_score(labels, said)
    assert ours.balanced_accuracy(probabilities, labels) == pytest.approx(theirs.balanced_accuracy_score(labels, said))
    counts = ours.confusion(probabilities, labels)
    assert np.array_equal(counts, theirs.confusion_matrix(labels, said))
    precision, recall, f1, support = theirs.precision_recall_fscore_support(labels, said)
    scores = ours.per_class(counts)
    assert [s.precision for s in scores] == pytest.approx(precision)
    assert [s.recall for s in scores] == pytest.approx(recall)
    assert [s.f1 for s in scores] == pytest.approx(f1)
    assert [s.support for s in scores] == list(support)
    logits = np.log(probabilities) + 3
    assert ours.log_loss(logits, labels) == pytest.approx(theirs.log_loss(labels, probabilities))


@pytest.mark.parametrize("ties", [False, True])
def test_auc_against_scikit_learn(ties: bool) -> None:
    probabilities, labels = made(2, ties=ties)
    assert ours.auc(probabilities, labels) == pytest.approx(theirs.roc_auc_score(labels, probabilities[:, 1]))
    probabilities, labels = made(4)
    expected = theirs.roc_auc_score(labels, probabilities, multi_class="ovr", average="macro")
    assert ours.auc(probabilities, labels) == pytest.approx(expected)


def test_auc_without_one_side_is_not_a_number() -> None:
    assert math.isnan(ours.auc(np.array([[0.1, 0.9], [0.4, 0.6]]), np.array([1, 1])))


def test_auc_by_ranks_is_scipys_to_the_last_bit() -> None:
    random = np.random.default_rng(0)
    for count in (2, 3, 40, 1000):
        scores, positive = random.integers(0, count, count) / count, np.arange(count) % 2 == 0
        ranks = stats.rankdata(scores)
        expected = (ranks[positive].sum() - positive.sum() * (positive.sum() + 1) / 2) / (
            positive.sum() * (~positive).sum()
        )
        assert ours.binary_auc(scores, positive) == expected


def test_auc_of_a_score_that_is_no_number_is_none() -> None:
    assert math.isnan(ours.binary_auc(np.array([0.1, math.nan, 0.3]), np.array([True, False, True])))


@pytest.mark.parametrize(("k", "n"), [(0, 10), (10, 10), (40, 40), (192, 200), (7, 11), (1, 1000)])
def test_wilson_is_scipys(k: int, n: int) -> None:
    expected = stats.binomtest(k, n).proportion_ci(method="wilson")
    assert ours.wilson(k, n) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_wilson_of_40_of_40_is_the_published_bound() -> None:
    assert ours.wilson(40, 40)[0] == pytest.approx(0.912, abs=5e-4)
    assert ours.wilson(0, 0) == (0.0, 1.0)


def test_ece_of_known_cases() -> None:
    sure = np.array([[1.0, 0.0]] * 4)
    assert ours.ece(sure, np.array([0, 0, 0, 0])) == 0
    assert ours.ece(sure, np.array([0, 0, 1, 1])) == pytest.approx(0.5)
    mixed = np.array([[0.75, 0.25]] * 4 + [[0.55, 0.45]] * 4)
    assert ours.ece(mixed, np.array([0, 0, 0, 1, 0, 0, 1, 1])) == pytest.approx(0.5 * 0.0 + 0.5 * 0.05)


def test_resamples_keep_groups_whole() -> None:
    groups = ["a"] * 3 + ["b"] * 2 + ["c"]
    for chosen in ours.resamples(groups, 50, seed=1):
        counts = np.bincount(chosen, minlength=6)
        assert counts[0] == counts[1] == counts[2]
        assert counts[3] == counts[4]
        assert counts[0] + counts[3] + counts[5] == 3


def test_bootstrap_of_a_mean_is_near_the_normal_interval() -> None:
    values = np.random.default_rng(0).normal(5, 2, 400)
    interval = ours.bootstrap(lambda chosen: float(values[chosen].mean()), [str(n) for n in range(400)], 2000)
    reach = 1.96 * values.std() / math.sqrt(400)
    assert interval.value == pytest.approx(values.mean())
    assert interval.low == pytest.approx(values.mean() - reach, abs=0.03)
    assert interval.high == pytest.approx(values.mean() + reach, abs=0.03)


def test_auc_interval_covers_as_hanley_and_mcneil_say() -> None:
    """Bootstrap standard error against Hanley & McNeil, Radiology 1982, formula (1)."""
    probabilities, labels = made(2, n=600, seed=3)
    interval = ours.auc_interval(probabilities, labels, [str(n) for n in range(600)])
    area, positives, negatives = interval.value, int(labels.sum()), int((labels == 0).sum())
    q1, q2 = area / (2 - area), 2 * area**2 / (1 + area)
    variance = (area * (1 - area) + (positives - 1) * (q1 - area**2) + (negatives - 1) * (q2 - area**2)) / (
        positives * negatives
    )
    assert (interval.high - interval.low) / 3.92 == pytest.approx(math.sqrt(variance), rel=0.15)


def test_the_paired_difference_knows_that_the_images_are_the_same() -> None:
    probabilities, labels = made(2)
    groups = [str(n) for n in range(len(labels))]
    same = ours.auc_difference(probabilities, probabilities, labels, groups, rounds=50)
    assert (same.value, same.low, same.high) == (0, 0, 0)
    noise = np.random.default_rng(1).normal(0, 0.01, probabilities.shape)
    near = ours.auc_difference(probabilities + noise, probabilities, labels, groups, rounds=200)
    alone = ours.auc_interval(probabilities, labels, groups, rounds=200)
    assert near.high - near.low < (alone.high - alone.low) / 5


def test_a_bootstrap_without_any_value_says_so() -> None:
    interval: Any = ours.bootstrap(lambda _: math.nan, ["a", "b"], rounds=10)
    assert math.isnan(interval.low)
