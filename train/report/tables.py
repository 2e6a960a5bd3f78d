"""HTML from values. Every word that comes from data passes :func:`html_text` here."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fieldlens.runtime.files.printable import html_text as escape
from fieldlens.train.report.text import percent


class Html(str):
    """Text that is HTML already; everything else is escaped."""

    __slots__ = ()


SENSITIVITY, SPECIFICITY = (Html(f'<abbr title="{word}">{word[:4]}.</abbr>') for word in ("sensitivity", "specificity"))


@dataclass(frozen=True)
class Tinted:
    """A cell on a ground of colour ``rgb`` (0 … 255), mixed with white; ``strength`` 0 … 1."""

    value: Html
    rgb: tuple[int, int, int]
    strength: float

    @property
    def ground(self) -> tuple[int, int, int]:
        """The colour that is seen: solid, so that it is the same on a dark page."""
        red, green, blue = (round(255 + (channel - 255) * self.strength) for channel in self.rgb)
        return red, green, blue

    @property
    def ink(self) -> str:
        """Black or white, whichever has more contrast."""
        light = _luminance(self.ground)
        return "#fff" if 1.05 / (light + 0.05) > (light + 0.05) / 0.05 else "#000"


def _luminance(rgb: tuple[int, int, int]) -> float:
    """Relative, 0 … 1, of sRGB (WCAG 2.2, "relative luminance")."""
    parts = [value / 255 for value in rgb]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def text(value: object) -> str:
    """As HTML; None is a dash."""
    return value if isinstance(value, Html) else escape("–" if value is None else str(value))


def table(
    caption: str, header: Sequence[object], rows: Sequence[Sequence[object]], kind: str = "",
    chosen: Sequence[int] = (),
) -> Html:  # fmt: skip
    """A table whose first column names the row; rows in ``chosen`` are marked."""
    head = "".join(f'<th scope="col">{text(cell)}</th>' for cell in header)
    lines = []
    for index, row in enumerate(rows):
        cells = f'<th scope="row">{text(row[0])}</th>' + "".join(map(_cell, row[1:]))
        mark = ' class="chosen"' if index in chosen else ""
        lines.append(f"<tr{mark}>{cells}</tr>")
    thead = f"<thead><tr>{head}</tr></thead>" if header else ""
    return Html(
        f'<table class="{kind}"><caption>{text(caption)}</caption>{thead}<tbody>{"".join(lines)}</tbody></table>'
    )


def _cell(cell: object) -> str:
    if isinstance(cell, Tinted):
        red, green, blue = cell.ground
        return f'<td style="background:rgb({red},{green},{blue});color:{cell.ink}">{text(cell.value)}</td>'
    return f"<td>{text(cell)}</td>"


def figure(svg: str, alt: str, caption: str) -> Html:
    """A drawing as an image with a description, so that its ids and styles stay its own."""
    data = base64.b64encode(svg.encode()).decode()
    return Html(
        f'<figure><img src="data:image/svg+xml;base64,{data}" alt="{escape(alt)}">'
        f"<figcaption>{text(caption)}</figcaption></figure>"
    )


def photograph(jpeg: bytes, alt: str, caption: str) -> Html:
    """An image, with a description."""
    data = base64.b64encode(jpeg).decode()
    return Html(
        f'<figure><img src="data:image/jpeg;base64,{data}" alt="{escape(alt)}">'
        f"<figcaption>{text(caption)}</figcaption></figure>"
    )


def section(title: str, *parts: object) -> Html:
    """A heading and what is below it; nothing where there is nothing."""
    body = "".join(text(part) for part in parts if part)
    return Html(f"<section><h2>{text(title)}</h2>{body}</section>") if body else Html("")


def paragraph(words: object) -> Html:
    """A paragraph."""
    return Html(f"<p>{text(words)}</p>")


def share(values: Mapping[str, Any] | None, measure: str, digits: int = 1) -> Html:
    """A percentage above its interval; ``digits`` after the interval's points."""
    if values is None or values.get(measure) is None:
        return Html("–")
    low, high = (percent(each, digits)[:-1] if each is not None else "–" for each in values[f"{measure}_interval"])
    return Html(f"{percent(values[measure])}<small>{low}–{high}</small>")


def number(values: Mapping[str, Any] | None, measure: str, digits: int = 3) -> Html:
    """A plain number above its interval, if it has one."""
    if values is None or values.get(measure) is None:
        return Html("–")
    low, high = values.get(f"{measure}_interval", (None, None))
    interval = "" if low is None or high is None else f"<small>{low:.{digits}f}–{high:.{digits}f}</small>"
    return Html(f"{values[measure]:.{digits}f}{interval}")
