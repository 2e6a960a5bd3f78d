"""Percentiles in bounded memory, and how many samples they need."""

from __future__ import annotations

import math

import numpy as np
import pytest

from fieldlens.runtime.prediction import ALWAYS, STAGES
from fieldlens.runtime.running.latency import Histogram, LatencyLog, TimeLine, carried, milliseconds, needed, table


def filled(values: np.ndarray) -> Histogram:
    histogram = Histogram()
    for value in values:
        histogram.add(float(value))
    return histogram


def log_of(count: int, **stages: float) -> LatencyLog:
    log = LatencyLog()
    for index in range(count):
        log.add(index * 0.01, {**dict.fromkeys(ALWAYS, 1.5), **stages})
    return log


@pytest.mark.parametrize("percent", [1, 50, 90, 99, 99.9])
def test_percentiles_are_within_a_fifth_of_a_percent_of_numpys(percent: float) -> None:
    values = np.random.default_rng(0).lognormal(2, 0.6, 19_999)
    exact = float(np.percentile(values, percent, method="inverted_cdf"))
    assert filled(values).percentile(percent) == pytest.approx(exact, rel=0.002)


def test_extremes_mean_and_deviation_are_exact() -> None:
    histogram = filled(np.array([3.0, 1.0, 700.0, 0.0]))
    assert (histogram.min_ms, histogram.max_ms, histogram.count) == (0.0, 700.0, 4)
    assert histogram.percentile(100) == 700.0
    assert histogram.mean_ms == pytest.approx(176.0)
    assert histogram.std_ms == pytest.approx(float(np.std([3, 1, 700, 0], ddof=1)))


def test_no_samples_give_zeros() -> None:
    summary = Histogram().summary()
    assert (summary["p50"], summary["p99"], summary["max"]) == (0.0, 0.0, 0.0)
    assert Histogram().coarse() == []


@pytest.mark.parametrize(("percent", "count"), [(50, 1), (90, 29), (95, 59), (99, 299), (99.9, 2995)])
def test_a_percentile_needs_wilks_number_of_samples(percent: float, count: int) -> None:
    assert needed(percent) == count
    if count > 1:  # the definition: the largest of so many lies above the percentile in 95% of runs, of one less not
        assert 1 - (percent / 100) ** count >= 0.95 > 1 - (percent / 100) ** (count - 1)
    name = f"p{percent:g}"
    assert carried(filled(np.ones(count)).summary(), name)
    assert count == 1 or not carried(filled(np.ones(count - 1)).summary(), name)


@pytest.mark.parametrize("percent", [50.0, 90.0, 99.0])
def test_intervals_hold_the_true_percentile_as_often_as_they_say(percent: float) -> None:
    rng = np.random.default_rng(3)
    truth = float(np.exp(0.5 * {50.0: 0.0, 90.0: 1.2815516, 99.0: 2.3263479}[percent]))
    held = 0
    for _ in range(300):
        interval = filled(rng.lognormal(0, 0.5, 1000)).interval(percent)
        assert interval is not None
        held += interval[0] <= truth <= interval[1]
    assert 0.92 <= held / 300 <= 0.995  # 95%, less chance and rounding to whole ranks


def test_there_is_no_interval_without_samples_enough() -> None:
    assert filled(np.ones(298)).interval(99) is None
    assert filled(np.ones(4)).interval(50) is None


def test_coarse_bins_hold_every_sample() -> None:
    values = np.random.default_rng(1).lognormal(2, 0.6, 5_000)
    bins = filled(values).coarse(40)
    assert len(bins) == 40
    assert sum(count for _, _, count in bins) == 5_000


def test_coarse_bins_of_a_narrow_spread_have_no_gaps() -> None:
    counts = [count for _, _, count in filled(np.random.default_rng(1).uniform(6.0, 6.6, 40_000)).coarse(40)]
    assert min(counts[1:-1]) > 0.8 * max(counts[1:-1])


def test_a_time_line_stays_small_and_keeps_a_single_slow_answer() -> None:
    line = TimeLine(capacity=100)
    for index in range(10_000):
        line.add(float(index), 500.0 if index == 4321 else 1.0, 0.5)
    shown = line.to_json()
    assert 50 <= len(shown["second"]) <= 100
    assert sum(shown["count"]) == 10_000
    assert max(shown["max_ms"]) == 500.0
    slow = shown["second"][shown["max_ms"].index(500.0)]
    assert abs(slow - 4321) <= line.width_s
    assert shown["second"] == sorted(shown["second"])


def test_memory_does_not_grow_with_the_run() -> None:
    histogram = filled(np.random.default_rng(2).uniform(1, 100, 50_000))
    assert len(histogram._bins) <= math.log(100) / math.log(1.002) + 2


def test_jitter_is_the_mean_step_between_neighbours() -> None:
    log = LatencyLog()
    for index, total in enumerate([10.0, 12.0, 9.0, 9.0]):
        log.add(index, {**dict.fromkeys(ALWAYS, 1.0), "total": total})
    assert log.jitter_ms == pytest.approx(5 / 3)
    assert LatencyLog().jitter_ms == 0


def test_stages_come_in_the_order_in_which_they_happen_and_only_if_measured() -> None:
    log = log_of(3, device_to_host=0.1, host_to_device=0.1, frame_age=4.0)
    assert list(log.summary()) == [s for s in STAGES if s in {*ALWAYS, "device_to_host", "host_to_device", "frame_age"}]
    assert list(log_of(3).summary()) == [stage for stage in STAGES if stage in ALWAYS]


def test_the_table_has_a_row_per_stage_and_aligned_columns() -> None:
    lines = table(log_of(3000).summary()).splitlines()
    assert len(lines) == 1 + len(ALWAYS)
    assert len({len(line) for line in lines}) == 1
    assert lines[-1].split() == ["total"] + ["1.50"] * 6


def test_the_table_says_what_its_question_marks_mean() -> None:
    *_, total, note = table(log_of(60).summary()).splitlines()
    assert total.split() == ["total", "1.50", "1.50", "1.50", "1.50?", "1.50?", "1.50"]
    assert note == "? : 60 images are too few to trust that percentile (p99 needs 299, p99.9 needs 2995)"


def test_small_values_keep_their_digits() -> None:
    assert [milliseconds(value) for value in (0.0123, 0.0, 12.345)] == ["0.012", "0.00", "12.35"]
