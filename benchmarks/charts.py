"""A comparison as a bar image."""

from __future__ import annotations

import io

from matplotlib.figure import Figure

from fieldlens.benchmarks.device.compare.comparison import Comparison
from fieldlens.benchmarks.device.compare.output import by_speed
from fieldlens.benchmarks.device.contenders.catalogue import FLOOR, OURS

_COLOURS = {OURS: "#1f77b4", FLOOR: "#bbbbbb"}
_PEER = "#d95f02"


def bars(comparison: Comparison, title: str) -> bytes:
    """PNG: a bar to p50, a line on to p99, the ratio beside it; fastest on top."""
    rows = [row for row in by_speed(comparison) if row.times]
    figure = Figure(figsize=(9.5, 0.42 * len(rows) + 1.4))
    axis = figure.subplots()
    for place, row in enumerate(rows):
        times = row.times
        axis.barh(place, times["p50_ms"], color=_COLOURS.get(row.contender.group, _PEER), height=0.65)
        axis.plot([times["p50_ms"], times["p99_ms"]], [place, place], color="#333333", linewidth=1.2)
        ratio = f"  ×{row.ratio.value:.2f}" if row.ratio and row.contender.name != comparison.reference else ""
        axis.text(times["p99_ms"], place, f"  {times['p50_ms']:.1f} ms{ratio}", va="center", fontsize=9)
    axis.set_yticks(range(len(rows)), [row.contender.name for row in rows])
    axis.invert_yaxis()
    axis.set_xlim(0, max(row.times["p99_ms"] for row in rows) * 1.25)
    axis.set_xlabel("ms from encoded image to class probabilities: bar to p50, line to p99")
    doubtful = " (INVALID: the machine was not quiet)" if comparison.quiet.doubts() else ""
    axis.set_title(title + doubtful, fontsize=11)
    axis.spines[["top", "right"]].set_visible(False)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=120, bbox_inches="tight")
    return buffer.getvalue()
