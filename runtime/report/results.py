"""The first part of a report: what the images came to, what needs a person first, and a table of all of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from fieldlens.runtime.bundle.score_words import percents, score_words
from fieldlens.runtime.files.printable import html_text as escape
from fieldlens.runtime.output.rows import NOT_CLASSIFIED, ORDER
from fieldlens.runtime.report.table_script import SCRIPT
from fieldlens.runtime.view.gallery import Thumbnail

WORDS = {
    NOT_CLASSIFIED: "not classified",
    "refer": "refer",
    "uncertain": "uncertain",
    "retake": "retake",
    "classified": "classified",
    "no-sign-found": "no sign found",
}
WHAT_TO_DO = {
    NOT_CLASSIFIED: "no image could be read: look at the reason",
    "refer": "send to a specialist",
    "uncertain": "treat as refer",
    "retake": "take the image again",
    "classified": "the likeliest class; there is no decision",
    "no-sign-found": "below the threshold",
}
_FIRST = ORDER[:4]
"""What needs a person."""
_MOST_FIRST = 12


def results(facts: dict[str, Any], gallery: Sequence[Thumbnail]) -> Iterator[str]:
    """The HTML. ``facts["results"]`` holds the rows, ``facts["decision"]`` what scores are compared with."""
    rows, count = facts["results"]["rows"], facts["results"]["count"]
    counts = {name: facts["run"]["outcomes"].get(name, 0) for name in ORDER} | {NOT_CLASSIFIED: facts["run"]["failed"]}
    yield "<h2>Results</h2>" + _tiles(counts)
    if not rows:
        yield '<p class="soft">There was no image.</p>'
        return
    decision, folder = facts["decision"], _common_folder([row["source"] for row in rows])
    yield _border(decision)
    yield from _attention(rows, decision, folder)
    yield "<h2>All images</h2>" + _about(len(rows), count, folder, bool(gallery))
    yield _tools(rows) + _table(rows, decision, folder) + f"<script>{SCRIPT}</script>"
    if gallery:
        yield from _gallery(gallery, count, folder)


def _tiles(counts: dict[str, int]) -> str:
    cells = (
        f'<div class="tile o-{name}"><span>{WORDS[name]}</span><b>{count:,}</b><small>{WHAT_TO_DO[name]}</small></div>'
        for name, count in counts.items()
        if count
    )
    return f'<div class="tiles">{"".join(cells)}</div>'


def _border(decision: dict[str, Any]) -> str:
    """What a score is compared with, once for all rows."""
    threshold, band = decision["threshold"], decision["band"]
    if threshold is None:
        return '<p class="soft">This bundle has no decision: it names the likeliest class.</p>'
    shown, *ends = percents(threshold, *(band or ()))
    uncertain = f", and is uncertain from {ends[0]} to {ends[1]}" if ends else ""
    if whose := decision["threshold_from"]:
        return f"<p>Refers from a score of {shown}{uncertain}. The threshold is {escape(whose)}.</p>"
    return f'<p class="soft">The bundle refers from a score of {shown}{uncertain}.</p>'


def _attention(rows: list[dict[str, Any]], decision: dict[str, Any], folder: str) -> Iterator[str]:
    """The images that a person has to look at, the most urgent first."""
    first = [row for row in rows if row["outcome"] in _FIRST]
    if not first:
        if decision["threshold"] is not None:
            yield '<div class="note good"><b>Nothing needs attention.</b></div>'
        return
    first.sort(key=lambda row: (_FIRST.index(row["outcome"]), -(row["score"] or 0.0), row["number"]))
    items = "".join(f"<li>{_attention_line(row, decision, folder)}</li>" for row in first[:_MOST_FIRST])
    left = len(first) - _MOST_FIRST
    more = f'<p class="soft">And {left:,} more in the table below.</p>' if left > 0 else ""
    yield f'<h2>What needs attention first</h2><ul class="first">{items}</ul>{more}'


def _attention_line(row: dict[str, Any], decision: dict[str, Any], folder: str) -> str:
    outcome, parts = row["outcome"], [row["finding"], row["note"]]
    if row["score"] is not None and decision["threshold"] is not None:
        band = tuple(decision["band"]) if decision["band"] else None
        parts.insert(1, score_words(row["score"], decision["threshold"], band, uncertain=outcome == "uncertain"))
    said = escape(", ".join(part for part in parts if part))
    return f'{_word(outcome)} <span class="name">{escape(_short(row["source"], folder))}</span> <small>{said}</small>'


def _about(shown: int, count: int, folder: str, with_images: bool) -> str:
    part = f"The last {shown:,} of {count:,} images. " if shown < count else ""
    where = f"All names are below <code>{escape(folder)}</code>. " if folder else ""
    privacy = (
        "This page shows images of people: keep it as you keep their records."
        if with_images
        else "This page names files and shows no images; where a file's name tells who it is, so does this page."
    )
    return f'<p class="soft">{part}{where}{privacy}</p>'


def _tools(rows: list[dict[str, Any]]) -> str:
    """Search and filter; hidden until the script runs, because without it they would do nothing."""
    there = {row["outcome"] for row in rows}
    options = "".join(f'<option value="{name}">{WORDS[name]}</option>' for name in ORDER if name in there)
    return (
        '<div id="tools" class="tools" hidden><label>Name or note <input id="text" type="search"></label>'
        f'<label>Outcome <select id="kind"><option value="">all</option>{options}</select></label>'
        '<span id="said" role="status"></span></div>'
    )


def _table(rows: list[dict[str, Any]], decision: dict[str, Any], folder: str) -> str:
    body = "".join(_row(row, decision["threshold"], folder) for row in rows)
    head = (
        '<th data-sort="name">image</th><th data-sort="outcome">outcome</th>'
        '<th data-sort="number">score</th><th data-sort="number">ms</th>'
    )
    return f'<table id="images" class="images"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'


def _row(row: dict[str, Any], threshold: float | None, folder: str) -> str:
    more = ", ".join(part for part in (row["finding"], row["note"]) if part)
    note = f"<small>{escape(more)}</small>" if more else ""
    score = "" if row["score"] is None else percents(row["score"], *([] if threshold is None else [threshold]))[0]
    ms = "" if row["total_ms"] is None else f"{row['total_ms']:.1f}"
    name, outcome = escape(_short(row["source"], folder)), row["outcome"]
    return f'<tr data-kind="{outcome}"><td>{name}{note}</td><td>{_word(outcome)}</td><td>{score}</td><td>{ms}</td></tr>'


def _word(outcome: str) -> str:
    return f'<b class="o-{outcome}">{WORDS[outcome]}</b>'


def _gallery(gallery: Sequence[Thumbnail], count: int, folder: str) -> Iterator[str]:
    size = sum(len(shown.jpeg_base64) for shown in gallery) / 1e6
    which = "all" if len(gallery) == count else f"{len(gallery):,} of {count:,}, those that need attention first"
    yield f'<h2>Images</h2><p class="soft">{which} ({size:.1f} MB). On the right of each: where the model looked, not '
    yield 'where the disease is; as strong as the finding is probable.</p><div class="gallery">'
    for shown in gallery:
        name = escape(_short(shown.source, folder))
        yield (
            f'<figure><img alt="{name}" src="data:image/jpeg;base64,{shown.jpeg_base64}">'
            f'<figcaption>{_word(shown.outcome)} <span class="name">{name}</span> <small>{escape(shown.words)}</small>'
            "</figcaption></figure>"
        )
    yield "</div>"


def _common_folder(sources: list[str]) -> str:
    """The folder that all names begin with, with its slash; nothing for one file alone, or for a camera's frames."""
    if len(sources) < 2 or any("://" in source for source in sources):
        return ""
    first, last = min(sources), max(sources)
    same = next((place for place, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), len(first))
    return first[: first.rfind("/", 0, same) + 1]


def _short(source: str, folder: str) -> str:
    return source[len(folder) :]
