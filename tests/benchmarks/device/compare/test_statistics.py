"""Ratios and their intervals."""

from __future__ import annotations

import numpy as np
import pytest

from fieldlens.benchmarks.device.compare.statistics import agreement, percentiles, ratio


def rounds_of(base: float, drift: np.ndarray, seed: int) -> list[list[float]]:
    """20 images a round around ``base`` ms, with the round's drift and 5% of noise."""
    draw = np.random.default_rng(seed)
    return [(base * d * draw.normal(1, 0.05, 20)).tolist() for d in drift]


def test_pairing_within_a_round_removes_drift() -> None:
    """The clock halves in the middle of the run: unpaired medians would be off by half."""
    drift = np.concatenate([np.ones(15), np.full(15, 2.0)])
    found = ratio(rounds_of(15, drift, 1), rounds_of(10, drift, 2))
    assert found.value == pytest.approx(1.5, rel=0.02)
    assert found.low < 1.5 < found.high
    assert found.high - found.low < 0.06


def test_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    drift = np.ones(20)
    hits = 0
    for seed in range(100):
        found = ratio(rounds_of(12, drift, seed), rounds_of(10, drift, 1000 + seed))
        hits += found.low <= 1.2 <= found.high
    assert hits >= 88


def test_equal_contenders_are_not_told_apart() -> None:
    found = ratio(rounds_of(10, np.ones(30), 3), rounds_of(10, np.ones(30), 4))
    assert found.low <= 1 <= found.high


def test_one_slow_round_moves_nothing() -> None:
    theirs, ours = rounds_of(20, np.ones(30), 5), rounds_of(10, np.ones(30), 6)
    theirs[7] = [900.0] * 20
    assert ratio(theirs, ours).value == pytest.approx(2, rel=0.03)


def test_rounds_must_pair() -> None:
    with pytest.raises(ValueError, match="paired"):
        ratio([[1.0]], [[1.0], [1.0]])


def test_percentiles_are_over_all_rounds() -> None:
    found = percentiles([[1.0, 2.0], [3.0, 4.0, 5.0]])
    assert (found["p50_ms"], found["mean_ms"], found["n"]) == (3.0, 3.0, 5)


def test_agreement_counts_classes_and_probabilities() -> None:
    same, largest = agreement([[0.6, 0.4], [0.3, 0.7]], [[0.55, 0.45], [0.7, 0.3]])
    assert same == 0.5
    assert largest == pytest.approx(0.4)
