"""The report of a run: the same facts as JSON for programs and as one self-contained page for people."""

from __future__ import annotations

from dataclasses import asdict
from html import escape
from pathlib import Path
from typing import Any

from runtime import atomic
from runtime.backends.base import BackendInfo
from runtime.bundle import Bundle
from runtime.run import RunLog

FORMAT = 1

_STYLE = """
:root { color-scheme: light dark; --ink: #1b1f24; --soft: #57606a; --line: #d0d7de; --bar: #1f6feb; --paper: #fff }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6edf3; --soft: #9aa4ae; --line: #3d444d; --bar: #58a6ff; --paper: #0d1117 }
}
body { font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper) }
body { max-width: 60rem; margin: 2rem auto; padding: 0 1rem }
h1 { font-size: 1.5rem; margin-bottom: 0 }
h2 { font-size: 1.15rem; margin-top: 2rem }
.soft { color: var(--soft) }
.wide { overflow-x: auto }
.tiles { display: flex; flex-wrap: wrap; gap: .75rem; margin: 1rem 0 }
.tile { border: 1px solid var(--line); border-radius: .5rem; padding: .5rem 1rem; min-width: 7rem }
.tile b { display: block; font-size: 1.4rem; font-variant-numeric: tabular-nums }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums }
td, th { border-bottom: 1px solid var(--line); padding: .3rem .6rem; text-align: right }
td:first-child, th:first-child { text-align: left }
.facts td { text-align: left; overflow-wrap: anywhere }
svg { width: 100%; height: auto }
svg text { fill: var(--soft); font-size: 12px }
@media print { body { margin: 0; max-width: none } .tile, table, svg { break-inside: avoid } }
"""


def write_report(
    path: Path, log: RunLog, bundle: Bundle, info: BackendInfo, reasons: tuple[str, ...], around: dict[str, Any]
) -> None:
    """Write ``path`` (HTML) and its twin ``.json``. ``around`` are the conditions at the run's start."""
    facts = {
        "format": FORMAT,
        "bundle": {"title": bundle.title, "hash": bundle.hash, "version": bundle.manifest.version.number},
        "backend": {**asdict(info), "chosen_because": list(reasons)},
        "run": log.to_json(),
        "conditions": around,
    }
    atomic.write_json(path.with_suffix(".json"), facts)
    atomic.write_text(path, page(facts))


def page(facts: dict[str, Any]) -> str:
    """The HTML of a report's facts. Loads nothing: styles and pictures are inside."""
    run, backend = facts["run"], facts["backend"]
    total = run["latency_ms"]["total"]
    tiles = {
        "pictures": f"{run['pictures']:,}",
        "not readable": f"{run['failed']:,}",
        "p50, ms": f"{total['p50']:.2f}",
        "p99, ms": f"{total['p99']:.2f}",
        "pictures / s": f"{run['pictures_per_second']:.1f}",
        "frames dropped": f"{run['frames_dropped']:,}",
    }
    title = f"{facts['bundle']['title']} on {backend['name']} {backend['version']}, {backend['precision']}"
    parts = [
        f"<h1>{escape(title)}</h1>",
        f'<p class="soft">{escape(facts["conditions"].get("time_utc", ""))} · ended by {escape(run["ended_by"])}</p>',
        '<div class="tiles">',
        *(f'<div class="tile"><b>{value}</b>{escape(name)}</div>' for name, value in tiles.items()),
        "</div><h2>Latency per picture</h2>",
        _latency_table(run["latency_ms"]),
        "<h2>How total latency is spread</h2>",
        histogram_svg(run["histogram_total_ms"]),
        "<h2>Total latency over time</h2>",
        line_svg(run["time_line"]),
        "<h2>Outcomes</h2>",
        _facts_table({name: str(count) for name, count in sorted(run["outcomes"].items())}),
        "<h2>Conditions</h2>",
        _facts_table(_conditions(facts)),
    ]
    if run["failures"]:
        parts += ["<h2>Not readable</h2>", _facts_table({f["source"]: f["error"] for f in run["failures"]})]
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{escape(title)}</title>'
    body = f"<head>{head}<style>{_STYLE}</style></head><body>{''.join(parts)}</body>"
    return f'<!doctype html><html lang="en">{body}</html>\n'


def _latency_table(latency: dict[str, dict[str, float]]) -> str:
    columns = ("p50", "p90", "p95", "p99", "p99.9", "max", "mean")
    head = "".join(f"<th>{column}</th>" for column in columns)
    rows = [
        f"<tr><td>{escape('capture/decode' if stage == 'decode' else stage)}</td>"
        + "".join(f"<td>{values[column]:.2f}</td>" for column in columns)
        + "</tr>"
        for stage, values in latency.items()
    ]
    note = '<p class="soft">Milliseconds. Total is measured on its own, from the picture at hand to the answer.</p>'
    return f'<div class="wide"><table><tr><th>stage</th>{head}</tr>{"".join(rows)}</table></div>{note}'


def _conditions(facts: dict[str, Any]) -> dict[str, str]:
    backend, around = facts["backend"], dict(facts["conditions"])
    versions = around.pop("versions", {})
    shown = {
        "backend": f"{backend['name']} {backend['version']} on {backend['device']}",
        "precision as the compiled model reports it": backend["precision"],
        "threads": str(backend["threads"]),
        "chosen because": "; ".join(backend["chosen_because"]),
        **{key.replace("_", " "): str(value) for key, value in around.items()},
        "versions": ", ".join(f"{name} {version}" for name, version in versions.items()),
        "bundle": f"{facts['bundle']['title']} ({facts['bundle']['hash'][:16]}…)",
        "notes": "; ".join((*backend["notes"], *facts["run"]["notes"])),
    }
    return {key: value for key, value in shown.items() if value}


def _facts_table(facts: dict[str, str]) -> str:
    rows = "".join(f"<tr><td>{escape(key)}</td><td>{escape(value)}</td></tr>" for key, value in facts.items())
    return f'<div class="wide"><table class="facts">{rows}</table></div>'


def histogram_svg(bins: list[tuple[float, float, int]]) -> str:
    """Bars over ``(low_ms, high_ms, count)``."""
    most = max((count for _, _, count in bins), default=0)
    if not most:
        return '<p class="soft">No pictures.</p>'
    width = 720 / len(bins)
    bars = "".join(
        f'<rect x="{40 + i * width:.1f}" y="{180 - 160 * count / most:.1f}" width="{width * 0.9:.1f}" '
        f'height="{160 * count / most:.1f}" fill="var(--bar)"><title>{low:.2f}–{high:.2f} ms: {count}</title></rect>'
        for i, (low, high, count) in enumerate(bins)
    )
    axis = (
        f'<text x="40" y="198">{bins[0][0]:.2f} ms</text>'
        f'<text x="760" y="198" text-anchor="end">{bins[-1][1]:.2f} ms</text>'
        f'<text x="36" y="26" text-anchor="end">{most}</text>'
    )
    return f'<svg viewBox="0 0 800 205" role="img" aria-label="histogram of total latency">{bars}{axis}</svg>'


def line_svg(points: list[tuple[float, float]]) -> str:
    """Total latency in ms over seconds."""
    if len(points) < 2:
        return '<p class="soft">Too few pictures for a time line.</p>'
    last, top = max(points[-1][0], 1e-9), max(value for _, value in points)
    path = " ".join(f"{40 + 720 * second / last:.1f},{180 - 160 * value / top:.1f}" for second, value in points)
    axis = (
        '<text x="40" y="198">0 s</text>'
        f'<text x="760" y="198" text-anchor="end">{last:.1f} s</text><text x="40" y="14">{top:.2f} ms</text>'
    )
    line = f'<polyline points="{path}" fill="none" stroke="var(--bar)" stroke-width="1.5"/>'
    return f'<svg viewBox="0 0 800 205" role="img" aria-label="total latency over time">{line}{axis}</svg>'
