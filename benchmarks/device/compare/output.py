"""A comparison as a table and JSON lines."""

from __future__ import annotations

import json
from typing import Any

from fieldlens.benchmarks.device.compare.comparison import Comparison, ContenderRow
from fieldlens.benchmarks.device.compare.folder import FolderRow
from fieldlens.benchmarks.device.compare.statistics import Ratio
from fieldlens.benchmarks.device.contenders.catalogue import FLOOR, FOLDER_REFERENCE

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
    return "\n".join([*text, *_folder_lines(comparison.folders)])


def _folder_lines(rows: tuple[FolderRow, ...]) -> list[str]:
    """Images of a folder a second, most first."""
    if not rows:
        return []
    cells = [("images of a folder, files read", "img/s", "× ours [95%]", "")]
    for row in sorted(rows, key=lambda row: -(row.per_second or 0)):
        if row.per_second is None:
            cells.append((row.contender.name, "–", "–", row.note or ""))
            continue
        against = _against(row.ratio, row.contender.name == FOLDER_REFERENCE)
        cells.append((row.contender.name, f"{row.per_second:.0f}", against, row.runs))
    widths = [max(len(line[i]) for line in cells) for i in range(3)]
    return ["", *(f"{_line(list(line[:3]), widths)}  {line[3]}".rstrip() for line in cells)]


def _against(ratio: Ratio | None, reference: bool) -> str:
    if reference:
        return "1 (reference)"
    return "–" if ratio is None else f"{ratio.value:.2f} [{ratio.low:.2f}, {ratio.high:.2f}]"


def _line(cells: list[str], widths: list[int]) -> str:
    """The first cell to the left, the others to the right."""
    rest = (cell.rjust(width) for cell, width in zip(cells[1:], widths[1:], strict=True))
    return "  ".join([cells[0].ljust(widths[0]), *rest]).rstrip()


def _cells(row: ContenderRow, reference: str) -> list[str]:
    times, ratio = row.times, row.ratio
    name = row.contender.name
    return [
        name,
        *(f"{times[key]:.2f}" for key in ("p50_ms", "p90_ms", "p99_ms")),
        f"{1e3 / times['mean_ms']:.0f}",
        _number(row.peak_mb, "{:.0f}"),
        _number(None if row.start_ms is None or row.contender.group == FLOOR else row.start_ms / 1e3, "{:.2f}"),
        _against(ratio, name == reference),
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
    """One object a line, in the catalogue's order, those on folders last."""
    lines = [to_json(row, comparison) for row in comparison.rows]
    lines += [folder_json(row, comparison) for row in comparison.folders]
    return "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)


def folder_json(row: FolderRow, comparison: Comparison) -> dict[str, Any]:
    """One line, with the same keys: of a folder only images a second and the ratio of times are known."""
    blank = to_json(ContenderRow(row.contender, row.note, row.runs), comparison)
    ratio = row.ratio
    return {
        **blank,
        "images_per_s": _round(row.per_second),
        "ratio_to_ours": _round(ratio.value if ratio else None),
        "ratio_interval": [_round(ratio.low), _round(ratio.high)] if ratio else None,
        "reference": FOLDER_REFERENCE,
        "samples": row.images * len(row.seconds),
    }


def _round(value: float | None) -> float | None:
    return None if value is None else round(value, 4)
