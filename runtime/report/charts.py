"""Charts of a page: SVG that stretches with the column, and labels in HTML that keep their size on a telephone."""

from __future__ import annotations

import math
from dataclasses import dataclass

from fieldlens.runtime.files.printable import html_text as escape

Points = list[tuple[float, float]]
_WIDTH, _HEIGHT = 1000.0, 200.0


@dataclass(frozen=True)
class Band:
    """Minimum and maximum around a line, for the windows of a time line."""

    lower: Points
    upper: Points


@dataclass(frozen=True)
class Gap:
    """A stretch of the run without a camera, in seconds from its beginning, and why."""

    start_s: float
    end_s: float
    reason: str


def histogram(bins: list[tuple[float, float, int]], marks: dict[str, float]) -> str:
    """Bars over ``(low_ms, high_ms, count)``, with a labelled line at each of ``marks`` (name → ms)."""
    most = max((count for _, _, count in bins), default=0)
    if not most:
        return '<p class="soft">No answers, so nothing to show.</p>'
    low, high = bins[0][0], bins[-1][1]
    step = _WIDTH / len(bins)
    bars = "".join(
        f'<rect class="bar" x="{i * step + step * 0.06:.1f}" y="{_HEIGHT * (1 - count / most):.1f}" '
        f'width="{step * 0.88:.1f}" height="{_HEIGHT * count / most:.1f}">'
        f"<title>{a:.2f} to {b:.2f} ms: {count:,}</title></rect>"
        for i, (a, b, count) in enumerate(bins)
        if count
    )
    places = {name: _clip((value - low) / (high - low)) for name, value in marks.items()}
    lines = "".join(
        f'<line class="mark" x1="{place * _WIDTH:.1f}" x2="{place * _WIDTH:.1f}" y1="0" y2="{_HEIGHT:.0f}"/>'
        for place in places.values()
    )
    labels = "".join(_mark_label(name, marks[name], place) for name, place in places.items())
    ticks = [f"{low + (high - low) * part:.2f}" for part in (0, 0.25, 0.5, 0.75)] + [f"{high:.2f} ms"]
    top = f'<div class="marks">{labels}</div>' if labels else ""
    plot = _frame(bars + lines, (f"{most:,}", "", "0"), ticks, "How many answers took how long")
    return f"<figure>{top}{plot}</figure>"


def _mark_label(name: str, value_ms: float, place: float) -> str:
    """Beside its line, on the side where there is room."""
    css, side = ("before", f"right:{100 * (1 - place):.2f}%") if place > 0.6 else ("after", f"left:{100 * place:.2f}%")
    return f'<div><span class="{css}" style="{side}">{escape(name)} {value_ms:.2f} ms</span></div>'


def time_panel(
    title: str, unit: str, lines: dict[str, Points], end_s: float, band: Band | None = None, top: float | None = None,
    gaps: tuple[Gap, ...] = (),
) -> str:  # fmt: skip
    """One panel over the run's time. ``top`` cuts the scale; what is above is drawn at the edge, and said so. ``gaps``
    are shaded, and the band is not drawn across them."""
    values = [value for points in lines.values() for _, value in points]
    values += [value for _, value in band.upper] if band else []
    if not values:
        return ""
    low, high = _scale(values, top, from_zero=band is not None)
    shapes = "".join(_gap(gap, end_s) for gap in gaps)
    shapes += "".join(_band(part, end_s, low, high) for part in _pieces(band, gaps)) if band else ""
    for number, points in enumerate(lines.values()):
        parts = _split(points, gaps) if band else [points]
        shapes += "".join(_line(part, end_s, low, high, f"s{number % 6}") for part in parts)
    cut = [(second, value) for second, value in band.upper if value > high] if band else []
    shapes += "".join(f'<line class="cut" x1="{x:.1f}" x2="{x:.1f}" y1="0" y2="9"/>' for x in _across(cut, end_s))
    middle = (low + high) / 2
    labels = (_short(high), _short(middle), _short(low))
    legend = "".join(f'<span><i class="s{number % 6}"></i>{escape(name)}</span>' for number, name in enumerate(lines))
    legend += '<span><i class="gone"></i>camera lost</span>' if gaps else ""
    legend = f'<div class="legend">{legend}</div>' if len(lines) > 1 or band or gaps else ""
    heading = f"<h3>{escape(title)} <small>{escape(unit)}</small></h3>"
    plot = _frame(shapes, labels, _seconds_ticks(end_s), f"{title} over the run, {unit}")
    return f"<figure>{heading}{legend}{plot}</figure>"


def shares(parts: dict[str, float]) -> str:
    """One bar of several parts (name → ms) and a legend with their values."""
    whole = sum(parts.values())
    if whole <= 0:
        return ""
    bar = "".join(
        f'<div class="p{i % 6}" style="width:{100 * value / whole:.2f}%" title="{escape(name)}: {value:.2f} ms"></div>'
        for i, (name, value) in enumerate(parts.items())
    )
    legend = "".join(
        f'<li><i class="p{i % 6}"></i><span>{escape(name)}</span><b>{value:.2f} ms</b>'
        f"<small>{100 * value / whole:.0f}%</small></li>"
        for i, (name, value) in enumerate(parts.items())
    )
    name = "parts of the median latency"
    return f'<div class="shares" role="img" aria-label="{name}">{bar}</div><ul class="parts">{legend}</ul>'


def _frame(shapes: str, y_labels: tuple[str, str, str], x_labels: list[str], name: str) -> str:
    """The plot with its labels around it."""
    grid = "".join(
        f'<line class="grid" x1="0" x2="{_WIDTH:.0f}" y1="{y}" y2="{y}"/>' for y in (0, _HEIGHT / 2, _HEIGHT)
    )
    y = "".join(f"<span>{escape(label)}</span>" for label in y_labels)
    x = "".join(f"<span>{escape(label)}</span>" for label in x_labels)
    svg = (
        f'<svg viewBox="0 0 {_WIDTH:.0f} {_HEIGHT:.0f}" preserveAspectRatio="none" role="img" '
        f'aria-label="{escape(name)}">{grid}{shapes}</svg>'
    )
    return f'<div class="plot"><div class="y">{y}</div>{svg}<div class="x">{x}</div></div>'


def _scale(values: list[float], top: float | None, from_zero: bool) -> tuple[float, float]:
    """Round ends with a round middle, around all values (or up to ``top``)."""
    high = max(values) if top is None else min(top, max(values))
    low = 0.0 if from_zero else min(values)
    half = _round_up(max(high - low, abs(high) * 0.02, 1e-3) / 2)
    start = math.floor(low / half) * half
    while start + 2 * half < high:
        half = _round_up(half * 1.01)
        start = math.floor(low / half) * half
    return start, start + 2 * half


def _round_up(value: float) -> float:
    """The next of 1, 2, 5, 10, … times a power of ten."""
    power = 10.0 ** math.floor(math.log10(value))
    return next(step * power for step in (1.0, 2.0, 5.0, 10.0) if step * power >= value)


def _line(points: Points, end_s: float, low: float, high: float, css: str) -> str:
    path = " ".join(_place(point, end_s, low, high) for point in points)
    return f'<polyline class="line {css}" points="{path}"/>'


def _band(band: Band, end_s: float, low: float, high: float) -> str:
    path = " ".join(_place(point, end_s, low, high) for point in (*band.upper, *reversed(band.lower)))
    return f'<polygon class="band" points="{path}"/>'


def _gap(gap: Gap, end_s: float) -> str:
    left, right = (_WIDTH * _clip(second / end_s) for second in (gap.start_s, gap.end_s))
    reported = f"{gap.end_s - gap.start_s:.1f} s without a camera: {gap.reason}"
    return (
        f'<rect class="gone" x="{left:.1f}" y="0" width="{max(right - left, 1.0):.1f}" height="{_HEIGHT:.0f}">'
        f"<title>{escape(reported)}</title></rect>"
    )


def _split(points: Points, gaps: tuple[Gap, ...]) -> list[Points]:
    """The pieces before, between and after the gaps. Points are middles of windows, so an outage's ends are not."""
    pieces: list[Points] = [[]]
    for point in points:
        if pieces[-1] and any(_within(gap, pieces[-1][-1][0], point[0]) for gap in gaps):
            pieces.append([])
        pieces[-1].append(point)
    return [piece for piece in pieces if piece]


def _within(gap: Gap, left_s: float, right_s: float) -> bool:
    """The camera was away for most of the time between two points."""
    return min(gap.end_s, right_s) - max(gap.start_s, left_s) > (right_s - left_s) / 2


def _pieces(band: Band, gaps: tuple[Gap, ...]) -> list[Band]:
    pairs = zip(_split(band.lower, gaps), _split(band.upper, gaps), strict=True)
    return [Band(lower, upper) for lower, upper in pairs]


def _place(point: tuple[float, float], end_s: float, low: float, high: float) -> str:
    x = _WIDTH * _clip(point[0] / end_s)
    return f"{x:.1f},{_HEIGHT * (1 - _clip((point[1] - low) / (high - low))):.1f}"


def _across(points: Points, end_s: float) -> list[float]:
    return [_WIDTH * _clip(second / end_s) for second, _ in points]


def _clip(part: float) -> float:
    return min(max(part, 0.0), 1.0)


def _short(value: float) -> str:
    """At most four characters, no needless zeros."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _seconds_ticks(end_s: float) -> list[str]:
    unit, size = ("h", 3600.0) if end_s >= 7200 else ("min", 60.0) if end_s >= 180 else ("s", 1.0)
    digits = 0 if end_s / size >= 20 else 1 if end_s / size >= 2 else 2
    parts = [f"{end_s * part / size:.{digits}f}" for part in (0.25, 0.5, 0.75, 1)]
    return ["0", *parts[:3], f"{parts[3]} {unit}"]
