"""The table in words, and one page with plots, for whoever approves a clinic's threshold. Loads nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from fieldlens.runtime.bundle.decision import logit
from fieldlens.runtime.files.printable import html_text as escape
from fieldlens.runtime.site.figures import Costs, Drift, Local, Proposal, Row, cheapest

_POLICY = "default-src 'none'; style-src 'unsafe-inline'"
_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:80rem;margin:0 auto;padding:1rem;color:#1c2530;background:#fff}"
    ".wide{overflow-x:auto}table{border-collapse:collapse;font-size:.85rem;font-variant-numeric:tabular-nums}"
    "th,td{padding:.25rem .6rem;text-align:right;border-bottom:1px solid #d5dbe1;white-space:nowrap}"
    "tr.chosen td{background:#fff3cd}svg{width:100%;height:auto}.plots{display:grid;gap:1rem;"
    "grid-template-columns:repeat(auto-fit,minmax(18rem,1fr))}figure{margin:0}figcaption{font-size:.85rem}"
)
_NO_DRIFT = (
    "whether scores differ here cannot be said: there are too few cases, "
    "or the bundle does not say how its own scores are spread"
)
_COLOURS = ("#0b4f8a", "#963c00", "#2e7d32")
_W, _H, _PAD = 320, 180, 30


def lines(
    local: Local, rows: Sequence[Row], proposal: Proposal, drifts: Sequence[Drift], costs: Costs, own: float
) -> list[str]:
    """For a terminal."""
    head = ("threshold", "sensitivity", "specificity", "PPV", "NPV", "found", "referred", "missed", "cost")
    table = [head, *(_cells(row) for row in rows)]
    widths = [max(len(row[column]) for row in table) for column in range(len(head))]
    marks = ["", *(_mark(row, proposal, rows, own) for row in rows)]
    text = [
        "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) + (f"  {mark}" if mark else "")
        for row, mark in zip(table, marks, strict=True)
    ]
    many = 10 * local.refused > local.refused + len(local.scores)
    left_out = f"{local.refused} images that the quality gate refuses were left out" + (
        ", which are many: run `fieldlens calibrate-camera` with good images first, then this again" if many else ""
    )
    return [
        f"{len(local.scores)} cases of {len(set(local.groups))} people, {int(local.positive.sum())} with the finding; "
        f"{left_out}",
        "95% intervals; found, referred, missed and cost per 1000 people, of whom "
        f"{1000 * costs.prevalence:.0f} have it",
        *text, *words(proposal, drifts, own),
    ]  # fmt: skip


def words(proposal: Proposal, drifts: Sequence[Drift], own: float) -> list[str]:
    """What is proposed and why, one sentence each."""
    low, high = proposal.threshold_range
    (none, fewest), *more = proposal.needed
    noun = proposal.promise.noun.removesuffix("s") + "s"
    needed = f"{fewest} {noun} with {none} missed, " + ", ".join(f"{count} with {misses}" for misses, count in more)
    exact = f"the threshold that exactly keeps {proposal.promise.wanted:g} lies between {low:.4f} and {high:.4f} (90%)"
    promised = proposal.promise.words()
    first = [f"nothing to approve yet, {own:.4f} stays: {promised}", exact]
    if proposal.promise.kept:
        change = f"proposed: {proposal.threshold:.4f} instead of {own:.4f}; {exact}"
        first = [change, f"promised there: {promised}"]
    return [
        *first,
        *([f"of its band: {proposal.band_promise.words()}"] if _has_band(proposal) and proposal.band_promise else []),
        f"needed to prove {proposal.promise.wanted:g}: {needed}; here: {proposal.promise.groups}",
        *([drift.words() for drift in drifts] or [_NO_DRIFT]),
    ]


def _has_band(proposal: Proposal) -> bool:
    return proposal.promise.kept and proposal.band[0] < proposal.band[1]


def _mark(row: Row, proposal: Proposal, rows: Sequence[Row], own: float) -> str:
    best = cheapest(rows)
    found = (
        (_name(proposal), row.threshold == proposal.threshold), ("the bundle's", row.threshold == own),
        ("cheapest", best is not None and row.threshold == best.threshold),
    )  # fmt: skip
    return ", ".join(name for name, is_it in found if is_it)


def _name(proposal: Proposal) -> str:
    """What its row and its line are called."""
    return "proposed" if proposal.promise.kept else "best proof"


def _cells(row: Row) -> tuple[str, ...]:
    def share(value: float, ends: tuple[float, float]) -> str:
        return f"{100 * value:.1f}% ({100 * ends[0]:.0f}–{100 * ends[1]:.0f})"

    def plain(value: float | None, ends: tuple[float, float] | None) -> str:
        return "–" if value is None or ends is None else f"{value:.1f} ({ends[0]:.0f}–{ends[1]:.0f})"

    return (
        f"{row.threshold:.4f}", share(row.sensitivity, row.sensitivity_range),
        share(row.specificity, row.specificity_range), share(row.ppv, row.ppv_range), share(row.npv, row.npv_range),
        plain(row.found, row.found_range), f"{row.referred:.0f}", f"{row.missed:.1f}", plain(row.cost, row.cost_range),
    )  # fmt: skip


def page(
    title: str, local: Local, rows: Sequence[Row], proposal: Proposal, drifts: Sequence[Drift], costs: Costs,
    own: float, status: str,
) -> str:  # fmt: skip
    """The HTML."""
    head = (
        '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}"><title>{escape(title)}</title>'
        f"<style>{_STYLE}</style>"
    )
    names = ("threshold", "sensitivity", "specificity", "PPV", "NPV", "found", "referred", "missed", "cost", "")
    body = "".join(
        f"<tr{' class=chosen' if row.threshold == proposal.threshold else ''}>"
        + "".join(f"<td>{escape(cell)}</td>" for cell in (*_cells(row), _mark(row, proposal, rows, own)))
        + "</tr>"
        for row in rows
    )
    said = "".join(f"<li>{escape(line)}</li>" for line in (status, *words(proposal, drifts, own)))
    plots = [_plot(name, name.lower(), rows, own, proposal) for name in ("Sensitivity", "Specificity")]
    heads = "".join(f"<th>{name}</th>" for name in names)
    first = lines(local, rows, proposal, drifts, costs, own)[:2]
    about = "".join(f"<p>{escape(line)}.</p>" for line in first)
    return (
        f'<!doctype html>\n<html lang="en"><head>{head}</head><body><h1>{escape(title)}</h1>{about}<ul>{said}</ul>'
        f'<div class="plots">{"".join(plots)}{_cost_plot(rows, own, proposal)}</div>'
        f'<h2>Each threshold</h2><div class="wide"><table><tr>{heads}</tr>{body}'
        "</table></div></body></html>\n"
    )


def _plot(name: str, field: str, rows: Sequence[Row], own: float, proposal: Proposal) -> str:
    def ends(row: Row) -> tuple[float, float, float]:
        low, high = getattr(row, f"{field}_range")
        return low, getattr(row, field), high

    return _figure(f"{name} with its 95% interval", rows, ends, 1.0, own, proposal)


def _cost_plot(rows: Sequence[Row], own: float, proposal: Proposal) -> str:
    def found(row: Row) -> tuple[float, float, float]:
        return row.found_range[0], row.found, row.found_range[1]

    def priced(row: Row) -> tuple[float, float, float]:
        low, high = row.cost_range or (0.0, 0.0)
        return low, row.cost or 0.0, high

    name, ends = ("Cost per 1000 people", priced) if rows[0].cost is not None else ("Found per 1000 people", found)
    return _figure(name, rows, ends, max(ends(row)[2] for row in rows) or 1.0, own, proposal)


def _place(threshold: float) -> float:
    """On the logit's scale; the table rounds to four digits, and what is beyond them lies at the end."""
    return float(logit(min(max(threshold, 1e-4), 1 - 1e-4)))


def _figure(
    name: str, rows: Sequence[Row], ends: Callable[[Row], tuple[float, float, float]], top: float, own: float,
    proposal: Proposal,
) -> str:  # fmt: skip
    start, end = _place(rows[0].threshold), _place(rows[-1].threshold)
    reach = end - start or 1.0  # a sure network has nearly all scores at the ends: on the logit's scale they spread

    def at(threshold: float, value: float) -> str:
        across = _PAD + (_place(threshold) - start) / reach * (_W - 2 * _PAD)
        return f"{across:.1f},{_H - _PAD - value / top * (_H - 2 * _PAD):.1f}"

    values: list[tuple[float, Any]] = [(row.threshold, ends(row)) for row in rows]
    band = " ".join([*(at(t, v[2]) for t, v in values), *(at(t, v[0]) for t, v in reversed(values))])
    line = " ".join(at(t, v[1]) for t, v in values)
    marks = "".join(
        f'<line x1="{at(t, 0).split(",")[0]}" x2="{at(t, 0).split(",")[0]}" y1="{_PAD}" y2="{_H - _PAD}" '
        f'stroke="{colour}" stroke-dasharray="4 3"/>'
        for t, colour in ((proposal.threshold, _COLOURS[1]), (own, _COLOURS[2]))
    )
    label = f"{top:,.0f}" if top >= 10 else f"{top:.3g}"
    labels = (
        f'<text x="2" y="{_PAD}" font-size="11">{label}</text><text x="2" y="{_H - _PAD}" font-size="11">0</text>'
        f'<text x="{_PAD}" y="{_H - 8}" font-size="11">threshold {rows[0].threshold:.4f}</text>'
        f'<text x="{_W - _PAD}" y="{_H - 8}" font-size="11" text-anchor="end">{rows[-1].threshold:.4f}</text>'
    )
    return (
        f'<figure><svg viewBox="0 0 {_W} {_H}" role="img" aria-label="{escape(name)}">'
        f'<polygon points="{band}" fill="{_COLOURS[0]}" opacity=".2"/>'
        f'<polyline points="{line}" fill="none" stroke="{_COLOURS[0]}" stroke-width="2"/>{marks}{labels}</svg>'
        f"<figcaption>{escape(name)}. Brown: {_name(proposal)}. Green: the bundle's.</figcaption></figure>"
    )
