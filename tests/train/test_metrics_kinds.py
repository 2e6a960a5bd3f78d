"""Multi-label and ordinal figures, and intervals, against scikit-learn, scipy and published values."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest
from sklearn import metrics as theirs

from fieldlens.train import metrics as ours

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


def several(n: int = 300, labels: int = 5, seed: int = 0) -> tuple[Floats, Ints]:
    """Logits and 0/1 labels ``[n,labels]``."""
    random = np.random.default_rng(seed)
    truth = (random.random((n, labels)) < np.linspace(0.1, 0.5, labels)).astype(np.int64)
    return random.normal(size=(n, labels)) + 1.5 * truth - 1, truth


def sigmoid(logits: Floats) -> Floats:
    return np.asarray(1 / (1 + np.exp(-logits)))


def test_multilabel_against_scikit_learn() -> None:
    logits, truth = several()
    probabilities = sigmoid(logits)
    said = probabilities >= 0.5
    assert ours.auc(probabilities, truth) == pytest.approx(theirs.roc_auc_score(truth, probabilities, average="macro"))
    assert ours.accuracy(probabilities, truth) == pytest.approx(1 - theirs.hamming_loss(truth, said))
    assert ours.exact_match(probabilities, truth) == pytest.approx(theirs.accuracy_score(truth, said))
    expected = [theirs.balanced_accuracy_score(t, s) for t, s in zip(truth.T, said.T, strict=True)]
    assert ours.balanced_accuracy(probabilities, truth) == pytest.approx(np.mean(expected))
    losses = [theirs.log_loss(t, p) for t, p in zip(truth.T, probabilities.T, strict=True)]
    assert ours.log_loss(logits, truth) == pytest.approx(np.mean(losses))


def test_a_label_that_nobody_has_leaves_the_macro_auc_to_the_others() -> None:
    logits, truth = several()
    truth[:, 2] = 0
    areas = ours.class_aucs(sigmoid(logits), truth)
    assert math.isnan(areas[2])
    assert ours.auc(sigmoid(logits), truth) == pytest.approx(np.nanmean(areas))
    assert not math.isnan(ours.balanced_accuracy(sigmoid(logits), truth))
    assert math.isnan(ours.auc(sigmoid(logits), np.zeros_like(truth)))


def test_multilabel_ece_counts_every_label() -> None:
    truth = np.array([[1, 0], [1, 0], [0, 0], [0, 0]])
    probabilities = np.tile([0.5, 0.0], (4, 1))
    assert ours.ece(probabilities, truth) == 0
    assert ours.ece(np.tile([0.9, 0.0], (4, 1)), truth) == pytest.approx(0.5 * 0.4)


def test_reliability_bins_hold_every_answer() -> None:
    logits, truth = several()
    bins = ours.reliability(sigmoid(logits), truth, 10)
    assert sum(bar.count for bar in bins) == truth.size
    assert all(0 <= bar.said <= 1 and 0 <= bar.true <= 1 for bar in bins)
    fraction, mean = (np.array([getattr(bar, name) for bar in bins]) for name in ("true", "said"))
    from sklearn.calibration import calibration_curve

    expected = calibration_curve(truth.ravel(), sigmoid(logits).ravel(), n_bins=10)
    assert fraction == pytest.approx(expected[0])
    assert mean == pytest.approx(expected[1])


def test_quadratic_kappa_against_scikit_learn() -> None:
    random = np.random.default_rng(0)
    labels = random.integers(0, 4, 200)
    said = np.clip(labels + random.integers(-1, 2, 200), 0, 3)
    expected = theirs.cohen_kappa_score(labels, said, weights="quadratic")
    assert ours.quadratic_kappa(said, labels, 4) == pytest.approx(expected)
    assert ours.quadratic_kappa(labels, labels, 4) == 1
    assert ours.quadratic_kappa(3 - labels, labels, 4) < 0
    assert math.isnan(ours.quadratic_kappa(np.zeros(5, np.int64), np.zeros(5, np.int64), 4))


def test_the_bootstrap_agrees_with_delongs_published_interval() -> None:
    """Hanley & McNeil's 109 CT ratings (Radiology 1982, table I). Stata's manual of ``roctab`` prints for them an area
    of 0.8932 with DeLong's interval 0.83295 … 0.95339."""
    healthy, ill = (33, 6, 6, 11, 2), (3, 2, 2, 11, 33)
    scores = np.concatenate([np.repeat(np.arange(5), counts) for counts in (healthy, ill)]) / 4
    labels = np.repeat([0, 1], [sum(healthy), sum(ill)])
    probabilities = np.stack([1 - scores, scores], axis=1)
    interval = ours.auc_interval(probabilities, labels, [str(n) for n in range(109)], rounds=2000)
    assert interval.value == pytest.approx(0.8932, abs=5e-5)
    assert interval.low == pytest.approx(0.83295, abs=0.01)
    assert interval.high == pytest.approx(0.95339, abs=0.01)


def test_groups_widen_the_interval() -> None:
    """Ten copies of each image are no ten images: the interval stays as wide as without the copies."""
    random = np.random.default_rng(3)
    labels = random.integers(0, 2, 60)
    scores = 0.6 * labels + random.normal(size=60)
    one, ten = (np.stack([-s, s], axis=1) for s in (scores, np.repeat(scores, 10)))
    alone = ours.auc_interval(one, labels, [str(n) for n in range(60)])
    grouped = ours.auc_interval(ten, np.repeat(labels, 10), [str(n // 10) for n in range(600)])
    naive = ours.auc_interval(ten, np.repeat(labels, 10), [str(n) for n in range(600)])
    assert grouped.high - grouped.low == pytest.approx(alone.high - alone.low, rel=0.05)
    assert naive.high - naive.low < 0.5 * (grouped.high - grouped.low)


def test_wilson_of_192_of_200_is_the_published_bound() -> None:
    assert ours.wilson(192, 200)[0] == pytest.approx(0.923, abs=5e-4)


@pytest.mark.parametrize("kind", ["two", "four", "several"])
def test_the_fast_bootstrap_is_the_plain_one(kind: str) -> None:
    """Sorted once for all resamples, ties and absent classes included: the same values as resampling the images."""
    random = np.random.default_rng(5)
    groups = [f"g{n // 3}" for n in range(60)]
    classes = {"two": 2, "four": 4, "several": 4}[kind]
    scores = np.round(random.random((60, classes)), 1)
    labels = random.integers(0, classes, 60) if kind != "several" else (random.random((60, 4)) < 0.1).astype(np.int64)
    labels[labels == 3] = 0  # the last class is in no resample
    plain = ours.bootstrap(lambda chosen: ours.auc(scores[chosen], labels[chosen]), groups, rounds=250)
    assert ours.auc_interval(scores, labels, groups, rounds=250) == plain
    other = np.round(random.random((60, classes)), 1)
    difference = ours.bootstrap(
        lambda chosen: ours.auc(scores[chosen], labels[chosen]) - ours.auc(other[chosen], labels[chosen]), groups, 250
    )
    fast = ours.auc_difference(scores, other, labels, groups, rounds=250)
    assert (fast.value, fast.low, fast.high) == pytest.approx((difference.value, difference.low, difference.high))
