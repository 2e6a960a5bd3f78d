"""Latency of a run of any length in bounded memory: a logarithmic histogram, and a thinned time line."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from runtime.prediction import STAGES

PERCENTILES = (50.0, 90.0, 95.0, 99.0, 99.9)
_GROWTH = 1.005
_SMALLEST_MS = 1e-4


class Histogram:
    """Counts in bins that grow by 0.5%: a percentile is right within that, for any number of samples."""

    def __init__(self) -> None:
        self._bins: dict[int, int] = {}
        self.count = 0
        self.total_ms = 0.0
        self.min_ms = math.inf
        self.max_ms = 0.0

    def add(self, value_ms: float) -> None:
        """Add one sample in ms."""
        index = math.ceil(math.log(max(value_ms, _SMALLEST_MS) / _SMALLEST_MS) / math.log(_GROWTH))
        self._bins[index] = self._bins.get(index, 0) + 1
        self.count += 1
        self.total_ms += value_ms
        self.min_ms = min(self.min_ms, value_ms)
        self.max_ms = max(self.max_ms, value_ms)

    @property
    def mean_ms(self) -> float:
        """Arithmetic mean; 0 without samples."""
        return self.total_ms / self.count if self.count else 0.0

    def percentile(self, percent: float) -> float:
        """Nearest rank: the smallest bin below whose upper edge ``percent`` of the samples lie. 0 without samples."""
        if not self.count:
            return 0.0
        rank, below = math.ceil(self.count * percent / 100), 0
        for index in sorted(self._bins):
            below += self._bins[index]
            if below >= rank:
                middle = _SMALLEST_MS * _GROWTH ** (index - 0.5)
                return float(min(max(middle, self.min_ms), self.max_ms))
        return self.max_ms

    def coarse(self, bins: int = 40) -> list[tuple[float, float, int]]:
        """``(low_ms, high_ms, count)`` in ``bins`` equal steps between the 0.1st and the 99.9th percentile.

        Samples beyond are in the outermost bins, so that one stray second does not squash the picture.
        """
        low, high = self.percentile(0.1), self.percentile(99.9)
        step = max((high - low) / bins, low * 1e-3, 1e-6)
        counts = [0] * bins
        for index, count in self._bins.items():
            place = (_SMALLEST_MS * _GROWTH ** (index - 0.5) - low) / step
            counts[min(max(int(place), 0), bins - 1)] += count
        return [(low + i * step, low + (i + 1) * step, count) for i, count in enumerate(counts)]

    def summary(self) -> dict[str, float]:
        """Percentiles, max, mean in ms, and the number of samples."""
        values = {f"p{percent:g}": self.percentile(percent) for percent in PERCENTILES}
        return {**values, "max": self.max_ms, "mean": self.mean_ms, "n": float(self.count)}


@dataclass
class TimeLine:
    """At most ``capacity`` points of ``(seconds, ms)``: when full, every second point goes and the stride doubles."""

    capacity: int = 2000
    points: list[tuple[float, float]] = field(default_factory=list)
    stride: int = 1
    _seen: int = 0

    def add(self, second: float, value_ms: float) -> None:
        """Add one sample; only every ``stride``-th is kept."""
        if self._seen % self.stride == 0:
            self.points.append((second, value_ms))
            if len(self.points) >= self.capacity:
                self.points = self.points[::2]
                self.stride *= 2
        self._seen += 1


class LatencyLog:
    """All stages of a run."""

    def __init__(self) -> None:
        self.stages = {stage: Histogram() for stage in STAGES}
        self.line = TimeLine()

    def add(self, second: float, latency_ms: dict[str, float]) -> None:
        """One picture's stages; ``second`` is the time since the run began."""
        for stage, value in latency_ms.items():
            self.stages[stage].add(value)
        self.line.add(second, latency_ms["total"])

    def summary(self) -> dict[str, Any]:
        """Stage → percentiles."""
        return {stage: histogram.summary() for stage, histogram in self.stages.items()}


def table(summary: dict[str, dict[str, float]]) -> str:
    """The latency table, in ms."""
    columns = ("p50", "p90", "p95", "p99", "max")
    lines = ["stage (ms)   " + "".join(f"{column:>10}" for column in columns)]
    for stage, values in summary.items():
        name = "capture/decode" if stage == "decode" else stage
        lines.append(f"{name:<14}" + "".join(f"{values[column]:>10.2f}" for column in columns).removeprefix(" "))
    return "\n".join(lines)
