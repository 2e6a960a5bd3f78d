"""Latency of a run of any length in bounded memory: logarithmic histograms, and a time line that keeps every spike."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from fieldlens.runtime.prediction import ALWAYS, STAGES

PERCENTILES = (50.0, 90.0, 95.0, 99.0, 99.9)
_GROWTH = 1.002
_BIN_EDGE = 1.0011  # from the middle of a bin to its edge, and a hair more: bounds hold in spite of the bins
_SMALLEST_MS = 1e-4
_CONFIDENCE = 0.95
_Z = 1.959964  # the normal distribution's 97.5% point: a two-sided interval at 95%

Summary = dict[str, float]
"""Percentile, mean, std, max in ms, and n. Whether n carries a percentile: :func:`carried`."""


def needed(percent: float) -> int:
    """The fewest samples that say anything about a percentile: 29 for p90, 59 for p95, 299 for p99, 2995 for p99.9.

    With fewer, even the largest sample lies above the true percentile in less than 95% of runs, so that no bound can
    be given (S. S. Wilks, "Determination of sample sizes for setting tolerance limits", Ann. Math. Statist. 12, 1941).
    The median and everything below it describe the samples themselves: 1.
    """
    if percent <= 50:
        return 1
    return math.ceil(math.log(1 - _CONFIDENCE) / math.log(percent / 100))


class Histogram:
    """Counts in bins that grow by 0.2%: a percentile is right within 0.1%, for any number of samples.

    From 0.1 µs to a quarter of an hour that is 11,500 bins at most; a real run fills a few hundred.
    """

    def __init__(self) -> None:
        self._bins: dict[int, int] = {}
        self.count = 0
        self.mean_ms = 0.0
        self._squares = 0.0
        self.min_ms = math.inf
        self.max_ms = 0.0

    def add(self, value_ms: float) -> None:
        """Add one sample in ms."""
        index = math.ceil(math.log(max(value_ms, _SMALLEST_MS) / _SMALLEST_MS) / math.log(_GROWTH))
        self._bins[index] = self._bins.get(index, 0) + 1
        self.count += 1
        from_mean = value_ms - self.mean_ms  # Welford's update: no sum of squares that loses its digits
        self.mean_ms += from_mean / self.count
        self._squares += from_mean * (value_ms - self.mean_ms)
        self.min_ms = min(self.min_ms, value_ms)
        self.max_ms = max(self.max_ms, value_ms)

    @property
    def std_ms(self) -> float:
        """Standard deviation; 0 for fewer than two samples."""
        return math.sqrt(self._squares / (self.count - 1)) if self.count > 1 else 0.0

    def at_rank(self, rank: int) -> float:
        """The ``rank``-th smallest sample, from 1, in ms, within 0.1%. 0 without samples."""
        if rank >= self.count:
            return self.max_ms
        below = 0
        for index in sorted(self._bins):
            below += self._bins[index]
            if below >= rank:
                return float(min(max(_SMALLEST_MS * _GROWTH ** (index - 0.5), self.min_ms), self.max_ms))
        return self.max_ms

    def percentile(self, percent: float) -> float:
        """Nearest rank: the smallest sample that ``percent`` of all do not exceed. 0 without samples."""
        return self.at_rank(max(1, math.ceil(self.count * percent / 100)))

    def interval(self, percent: float) -> tuple[float, float] | None:
        """Where the true percentile lies with 95% confidence, whatever the distribution; None for too few samples.

        Order statistics around the rank, at ±1.96 of the binomial's standard deviation (Conover, *Practical
        Nonparametric Statistics*, 3.2). Takes the samples as independent: a drifting clock makes it too narrow.
        """
        if self.count < max(needed(percent), 5):
            return None
        share = percent / 100
        reach = _Z * math.sqrt(self.count * share * (1 - share))
        low, high = math.floor(self.count * share - reach), math.ceil(self.count * share + reach) + 1
        return max(self.at_rank(max(low, 1)) / _BIN_EDGE, self.min_ms), self.bound_at(min(high, self.count))

    def bound_at(self, rank: int) -> float:
        """A latency, in ms, that the ``rank``-th smallest sample does not exceed in spite of the bins."""
        return min(self.at_rank(rank) * _BIN_EDGE, self.max_ms)

    def coarse(self, bins: int = 40) -> list[tuple[float, float, int]]:
        """``(low_ms, high_ms, count)`` in ``bins`` equal steps between the 0.1st and the 99.9th percentile.

        Samples beyond are in the outermost bins, so that one stray second does not squash the image. A fine bin
        that lies across an edge is divided there, so that no bar is empty between two full ones.
        """
        if not self.count:
            return []
        low, high = self.percentile(0.1), self.percentile(99.9)
        step = max((high - low) / bins, low * 1e-3, 1e-6)
        edges = [low + place * step for place in range(bins + 1)]
        below = [0, *(round(self._below(edge)) for edge in edges[1:-1]), self.count]
        return [(edges[place], edges[place + 1], below[place + 1] - below[place]) for place in range(bins)]

    def _below(self, edge_ms: float) -> float:
        """How many samples are below ``edge_ms``, taking those of a bin as spread evenly over it."""
        found = 0.0
        for index, count in self._bins.items():
            top = _SMALLEST_MS * _GROWTH**index
            bottom = top / _GROWTH
            found += count * min(max((edge_ms - bottom) / (top - bottom), 0.0), 1.0)
        return found

    def summary(self) -> Summary:
        """Percentiles, max, mean, std in ms, and the number of samples."""
        values = {f"p{percent:g}": self.percentile(percent) for percent in PERCENTILES}
        return {**values, "max": self.max_ms, "mean": self.mean_ms, "std": self.std_ms, "n": float(self.count)}


@dataclass
class TimeWindow:
    """All answers given within one stretch of a run; ``inference_ms`` is the fastest, which no other program slows."""

    count: int = 0
    min_ms: float = math.inf
    sum_ms: float = 0.0
    max_ms: float = 0.0
    inference_ms: float = math.inf

    def add(self, total_ms: float, inference_ms: float) -> None:
        """Add one answer."""
        self.merge(TimeWindow(1, total_ms, total_ms, total_ms, inference_ms))

    def merge(self, other: TimeWindow) -> None:
        """Take in a neighbour."""
        self.count += other.count
        self.min_ms = min(self.min_ms, other.min_ms)
        self.sum_ms += other.sum_ms
        self.max_ms = max(self.max_ms, other.max_ms)
        self.inference_ms = min(self.inference_ms, other.inference_ms)


@dataclass
class TimeLine:
    """At most ``capacity`` windows of equal width; when the run outgrows them, neighbours merge and the width doubles.

    Minimum, mean and maximum of each are kept, so a single slow answer stays visible in a run of any length.
    """

    capacity: int = 480
    width_s: float = 0.05
    windows: dict[int, TimeWindow] = field(default_factory=dict)

    def add(self, second: float, total_ms: float, inference_ms: float) -> None:
        """Add one answer, given ``second`` after the run's beginning."""
        while second >= self.capacity * self.width_s:
            self._halve()
        self.windows.setdefault(int(second / self.width_s), TimeWindow()).add(total_ms, inference_ms)

    def _halve(self) -> None:
        merged: dict[int, TimeWindow] = {}
        for index, window in self.windows.items():
            merged.setdefault(index // 2, TimeWindow()).merge(window)
        self.windows = merged
        self.width_s *= 2

    def to_json(self) -> dict[str, Any]:
        """Columns; ``second`` is the middle of a window in which there was an answer."""
        order = sorted(self.windows)
        filled = [self.windows[index] for index in order]
        return {
            "width_s": self.width_s,
            "second": [round((index + 0.5) * self.width_s, 4) for index in order],
            "count": [window.count for window in filled],
            "min_ms": [round(window.min_ms, 4) for window in filled],
            "mean_ms": [round(window.sum_ms / window.count, 4) for window in filled],
            "max_ms": [round(window.max_ms, 4) for window in filled],
            "fastest_inference_ms": [round(window.inference_ms, 4) for window in filled],
        }


class LatencyLog:
    """All stages of a run."""

    def __init__(self) -> None:
        self.stages = {stage: Histogram() for stage in ALWAYS}
        self.line = TimeLine()
        self._last_ms: float | None = None
        self._steps_ms = 0.0

    def add(self, second: float, latency_ms: dict[str, float]) -> None:
        """One image's stages; ``second`` is the time since the run began."""
        for stage, value in latency_ms.items():
            self.stages.setdefault(stage, Histogram()).add(value)
        total_ms = latency_ms["total"]
        self.line.add(second, total_ms, latency_ms["inference"])
        if self._last_ms is not None:
            self._steps_ms += abs(total_ms - self._last_ms)
        self._last_ms = total_ms

    @property
    def jitter_ms(self) -> float:
        """Mean difference between one image's total and the next one's, in ms.

        The interarrival jitter of RFC 3550, 6.4.1, averaged over the whole run instead of smoothed.
        """
        return self._steps_ms / max(self.stages["total"].count - 1, 1)

    def median(self, *stages: str) -> float:
        """Sum of the medians of ``stages``, in ms; a stage that was not measured counts 0."""
        return sum(self.stages[stage].percentile(50) for stage in stages if stage in self.stages)

    def summary(self) -> dict[str, Summary]:
        """Stage → percentiles, in the order in which the stages happen."""
        return {stage: self.stages[stage].summary() for stage in STAGES if stage in self.stages}

    def intervals(self) -> dict[str, tuple[float, float]]:
        """Percentile → 95% confidence interval of ``total``, in ms, where there are samples enough."""
        found = {f"p{percent:g}": self.stages["total"].interval(percent) for percent in PERCENTILES}
        return {name: interval for name, interval in found.items() if interval is not None}


def stage_name(stage: str) -> str:
    """For people: ``host to device``."""
    return "capture/decode" if stage == "decode" else stage.replace("_", " ")


def carried(summary: Summary, name: str) -> bool:
    """Whether there are samples enough for that percentile to say something about the next image."""
    return not name.startswith("p") or summary["n"] >= needed(float(name[1:]))


def milliseconds(value: float) -> str:
    """Two digits behind the point, three below 1 ms."""
    return f"{value:.2f}" if value >= 1 or value == 0 else f"{value:.3f}"


def shown(summary: Summary, name: str) -> str:
    """A value of a summary in ms, with a question mark behind a percentile that the samples do not carry."""
    return milliseconds(summary[name]) + ("" if carried(summary, name) else "?")


def table(summary: dict[str, Summary]) -> str:
    """The latency table, in ms, and what its question marks mean."""
    columns = ("p50", "p90", "p95", "p99", "p99.9", "max")
    lines = [f"{'stage (ms)':<16}" + "".join(f"{column:>10}" for column in columns)]
    for stage, values in summary.items():
        cells = (f"{shown(values, column):>10}" for column in columns)
        lines.append(f"{stage_name(stage):<16}" + "".join(cells))
    count = int(summary["total"]["n"])
    if lacking := [f"p{p:g} needs {needed(p)}" for p in PERCENTILES if count < needed(p)]:
        lines.append(f"? : {count} images are too few to trust that percentile ({', '.join(lacking)})")
    return "\n".join(lines)
