"""Percentiles in bounded memory."""

from __future__ import annotations

import numpy as np
import pytest

from runtime.latency import Histogram, LatencyLog, TimeLine, table
from runtime.prediction import STAGES


def filled(values: np.ndarray) -> Histogram:
    histogram = Histogram()
    for value in values:
        histogram.add(float(value))
    return histogram


@pytest.mark.parametrize("percent", [1, 50, 90, 99, 99.9])
def test_percentiles_are_within_half_a_percent_of_numpys(percent: float) -> None:
    values = np.random.default_rng(0).lognormal(2, 0.6, 20_000)
    exact = float(np.percentile(values, percent, method="inverted_cdf"))
    assert filled(values).percentile(percent) == pytest.approx(exact, rel=0.005)


def test_extremes_are_exact() -> None:
    histogram = filled(np.array([3.0, 1.0, 700.0, 0.0]))
    assert (histogram.min_ms, histogram.max_ms, histogram.count) == (0.0, 700.0, 4)
    assert histogram.percentile(100) == pytest.approx(700.0, rel=0.005)
    assert histogram.mean_ms == 176.0


def test_one_sample_is_every_percentile() -> None:
    assert set(filled(np.array([5.0])).summary().values()) == {5.0, 1.0}


def test_no_samples_give_zeros() -> None:
    assert Histogram().summary()["p99"] == 0.0


def test_coarse_bins_hold_every_sample() -> None:
    values = np.random.default_rng(1).lognormal(2, 0.6, 5_000)
    bins = filled(values).coarse(40)
    assert len(bins) == 40
    assert sum(count for _, _, count in bins) == 5_000


def test_a_time_line_stays_small_and_covers_the_run() -> None:
    line = TimeLine(capacity=100)
    for index in range(10_000):
        line.add(float(index), 1.0)
    assert 50 <= len(line.points) < 100
    assert line.points[0][0] == 0
    assert line.points[-1][0] > 9_800


def test_memory_does_not_grow_with_the_run() -> None:
    histogram = Histogram()
    for value in np.random.default_rng(2).uniform(1, 100, 50_000):
        histogram.add(float(value))
    assert len(histogram._bins) < 1_000


def test_the_table_has_a_row_per_stage_and_aligned_columns() -> None:
    log = LatencyLog()
    log.add(0.0, dict.fromkeys(STAGES, 1.5))
    lines = table(log.summary()).splitlines()
    assert len(lines) == 1 + len(STAGES)
    assert len({len(line) for line in lines}) == 1
    assert lines[-1].split() == ["total"] + ["1.50"] * 5
