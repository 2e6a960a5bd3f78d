"""A comparison as a table, a bar image and JSON lines."""

from __future__ import annotations

import io
import json
from typing import Any

from matplotlib.figure import Figure

from fieldlens.benchmarks.compare.comparison import Comparison, ContenderRow
from fieldlens.benchmarks.contenders.catalogue import FLOOR, OURS

_COLOURS = {OURS: "#1f77b4", FLOOR: "#bbbbbb"}
_PEER = "#d95f02"
_COLUMNS = (
    "contender", "p50 ms", "p90", "p99", "img/s", "MB", "start s", "× ours [95%]", "agrees", "AUC", "accuracy",
)  # fmt: skip
_FEW = 500
"""Below this many samples the 99th percentile rests on fewer than five of them."""


def by_speed(comparison: Comparison) -> list[ContenderRow]:
    """Those with figures, fastest first; then those without, in the catalogue's order."""
    timed = sorted((row for row in comparison.rows if row.times), key=lambda row: row.times["p50_ms"])
    return timed + [row for row in comparison.rows if not row.times]


def table(comparison: Comparison) -> str:
    """Milliseconds, images per second, megabytes, seconds; columns without any value are left out."""
    rows = by_speed(comparison)
    cells = [_cells(row, comparison.reference) for row in rows if row.times]
    keep = [i for i in range(len(_COLUMNS)) if any(line[i] != "–" for line in cells)]
    lines = [[line[i] for i in keep] for line in [_COLUMNS, *cells]]
    widths = [max(len(line[i]) for line in lines) for i in range(len(keep))]
    text = [_line(line, widths) for line in lines]
    text += [f"{row.contender.name.ljust(widths[0])}  {row.note}" for row in rows if not row.times]
    if any(row.times and row.times["n"] < _FEW for row in rows):
        text.append(f"p99 rests on fewer than {_FEW} samples: give more --rounds before quoting it")
    return "\n".join(text)


def _line(cells: list[str], widths: list[int]) -> str:
    """The first cell to the left, the others to the right."""
    rest = (cell.rjust(width) for cell, width in zip(cells[1:], widths[1:], strict=True))
    return "  ".join([cells[0].ljust(widths[0]), *rest]).rstrip()


def _cells(row: ContenderRow, reference: str) -> list[str]:
    times, ratio = row.times, row.ratio
    name = row.contender.name
    against = "1 (reference)" if name == reference else "–"
    if ratio is not None and name != reference:
        against = f"{ratio.value:.2f} [{ratio.low:.2f}, {ratio.high:.2f}]"
    return [
        name,
        *(f"{times[key]:.2f}" for key in ("p50_ms", "p90_ms", "p99_ms")),
        f"{1e3 / times['mean_ms']:.0f}",
        _number(row.peak_mb, "{:.0f}"),
        _number(None if row.start_ms is None or row.contender.group == FLOOR else row.start_ms / 1e3, "{:.2f}"),
        against,
        _number(row.agrees, "{:.1%}"),
        _number(row.auc, "{:.4f}"),
        _number(row.accuracy, "{:.4f}"),
    ]


def _number(value: float | None, form: str) -> str:
    return "–" if value is None else form.format(value)


def to_json(row: ContenderRow, comparison: Comparison) -> dict[str, Any]:
    """One contender's line; figures are null where it did not run."""
    times, ratio = row.times, row.ratio
    return {
        "contender": row.contender.name,
        "title": row.contender.title,
        "group": row.contender.group,
        "p50_ms": _round(times.get("p50_ms")),
        "p90_ms": _round(times.get("p90_ms")),
        "p99_ms": _round(times.get("p99_ms")),
        "images_per_s": _round(1e3 / times["mean_ms"]) if times else None,
        "ratio_to_ours": _round(ratio.value if ratio else None),
        "ratio_interval": [_round(ratio.low), _round(ratio.high)] if ratio else None,
        "reference": comparison.reference,
        "peak_mb": _round(row.peak_mb),
        "first_start_ms": _round(row.first_start_ms),
        "start_ms": _round(row.start_ms),
        "agrees": _round(row.agrees),
        "largest_probability_difference": row.largest_difference,
        "accuracy": _round(row.accuracy),
        "auc": _round(row.auc),
        "samples": int(times.get("n", 0)),
        "runs": row.runs or None,
        "note": row.note,
        "valid": not comparison.quiet.doubts(),
    }


def json_lines(comparison: Comparison) -> str:
    """One object a line, in the catalogue's order."""
    return "".join(json.dumps(to_json(row, comparison), ensure_ascii=False) + "\n" for row in comparison.rows)


def _round(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


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
