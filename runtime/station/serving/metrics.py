"""Counts and histograms in Prometheus' text format, version 0.0.4. No library: five kinds of lines are all of it."""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections.abc import Mapping

MEDIA = "text/plain; version=0.0.4; charset=utf-8"
BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Metrics:
    """What the station counts. Any thread may call."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: dict[tuple[str, str, str], float] = {}
        self._histograms: dict[str, tuple[list[int], float]] = {}

    def count(self, name: str, label: str = "", value: str = "", by: float = 1) -> None:
        """Add to the counter ``fieldlens_NAME_total``, with one label at most."""
        with self._lock:
            key = (name, label, value)
            self._counts[key] = self._counts.get(key, 0) + by

    def latency(self, latency_ms: Mapping[str, float]) -> None:
        """One answer's stages, in ms."""
        with self._lock:
            for stage, milliseconds in latency_ms.items():
                buckets, total_s = self._histograms.get(stage) or ([0] * (len(BUCKETS_S) + 1), 0.0)
                buckets[bisect_left(BUCKETS_S, milliseconds / 1e3)] += 1
                self._histograms[stage] = (buckets, total_s + milliseconds / 1e3)

    def text(self, gauges: Mapping[str, float | None]) -> str:
        """Everything; ``gauges`` (name → value now) are left out where they are None."""
        with self._lock:
            counts, histograms = dict(self._counts), {k: (list(b), s) for k, (b, s) in self._histograms.items()}
        lines: list[str] = []
        for name in sorted({name for name, _, _ in counts}):
            lines.append(f"# TYPE fieldlens_{name}_total counter")
            for (own, label, value), count in sorted(counts.items()):
                if own == name:
                    lines.append(f"fieldlens_{name}_total{_labels(**{label: value} if label else {})} {count:g}")
        lines.append("# TYPE fieldlens_latency_seconds histogram")
        for stage, (buckets, total_s) in sorted(histograms.items()):
            lines += _histogram(stage, buckets, total_s)
        for name, gauge in gauges.items():
            if gauge is not None:
                lines += [f"# TYPE fieldlens_{name} gauge", f"fieldlens_{name} {gauge:g}"]
        return "\n".join(lines) + "\n"


def _histogram(stage: str, buckets: list[int], total_s: float) -> list[str]:
    lines, so_far = [], 0
    for border, count in zip((*map(str, BUCKETS_S), "+Inf"), buckets, strict=True):
        so_far += count
        lines.append(f"fieldlens_latency_seconds_bucket{_labels(stage=stage, le=border)} {so_far}")
    lines.append(f"fieldlens_latency_seconds_sum{_labels(stage=stage)} {total_s:.6f}")
    lines.append(f"fieldlens_latency_seconds_count{_labels(stage=stage)} {so_far}")
    return lines


def _labels(**labels: str) -> str:
    """``{a="b"}``, escaped as the format wants it."""
    if not labels:
        return ""
    pairs = (f'{k}="{v}"' for k, v in ((k, _escaped(v)) for k, v in labels.items()))
    return "{" + ",".join(pairs) + "}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')
