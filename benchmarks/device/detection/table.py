"""What was detected, as Markdown tables that a terminal can show."""

from __future__ import annotations

from typing import Any

from fieldlens.benchmarks.device.detection.detection import COSTLY, GOOD, Detection, DetectionRow
from fieldlens.benchmarks.device.figures import wilson

_MOST = 3


def show(result: Detection) -> str:
    """All tables."""
    loss = f"{COSTLY:.0%}"
    parts = (
        f"{result.bundle}, {result.backend}; {result.what}; right is {result.truth}; seed {result.seed}",
        _table(("images", "n", "retake", "95% interval", "least of a row"), map(_kind, result.kinds().items())),
        f"Counted: rows that cost {loss} of the answers or more (marked •), and those without a right answer.",
        _table(
            ("kind", "fault", "strength", "n", "retake", "95% interval", "right without a gate",
             "wrong and let through", "found by"),
            (_row(row, row in result.counted(row.kind)) for row in result.rows),
        ),
        _table(("set", "score", "n", "AUROC", "FPR at 95% TPR"), map(_separation, result.separation())),
    )  # fmt: skip
    return "\n\n".join(parts)


def _kind(item: tuple[str, dict[str, Any]]) -> tuple[str, ...]:
    kind, found = item
    if not found["n"]:
        return (kind, "0", "no row counts", "", "")
    least = "" if kind == GOOD else f"{found['least']:.1%}"
    return (kind, f"{found['n']}", f"{found['retake']:.1%}", _interval(found["interval"]), least)


def _row(row: DetectionRow, counts: bool) -> tuple[str, ...]:
    shares = [f"{name} {count / row.n:.0%}" for name, count in row.findings.most_common(_MOST)]
    right = "" if row.accuracy is None else f"{row.accuracy:.1%}"
    missed = "" if row.missed is None else f"{row.missed / row.n:.1%}"
    mark = " •" if counts and row.kind not in (GOOD, "near") else ""
    interval = _interval(wilson(row.retakes, row.n))
    return (
        row.kind, row.fault + mark, row.strength, f"{row.n}", f"{row.retakes / row.n:.1%}", interval, right, missed,
        ", ".join(shares),
    )  # fmt: skip


def _separation(found: dict[str, Any]) -> tuple[str, ...]:
    return found["set"], found["score"], f"{found['n']}", f"{found['auroc']:.3f}", f"{found['fpr_at_95_tpr']:.1%}"


def _interval(ends: Any) -> str:
    return f"{ends[0]:.1%}–{ends[1]:.1%}"


def _table(head: tuple[str, ...], rows: Any) -> str:
    lines = [head, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    drawn = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |" for line in lines
    ]
    return "\n".join([drawn[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *drawn[1:]])
