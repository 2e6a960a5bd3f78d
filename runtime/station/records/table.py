"""Results as CSV for people with a spreadsheet, which must take no cell for a formula."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator, Sequence

from fieldlens.runtime.files.printable import printable
from fieldlens.runtime.station.records.rows import ResultRow

_FORMULA = re.compile(r"((?:^|;)\s*)(?=[=+\-@\t\r|%\uff1d\uff0b\uff0d\uff20])")
"""At a cell's start (full-width signs count too), and behind a semicolon: where numbers have a decimal comma (Spain),
spreadsheets divide the lines of this file there."""
_PLAIN = (
    "id", "created_utc", "origin", "subject", "site", "operator", "outcome", "label", "score", "threshold", "ood_score",
    "backend", "precision", "bundle", "bundle_hash", "bundle_signed_by",
)  # fmt: skip
_REVIEW = ("agrees", "note", "reviewer", "reviewed_utc")


def table_lines(results: Iterable[ResultRow], classes: Sequence[str], audit_head: str) -> Iterator[str]:
    """The heading and a line for each result, each with its line end (CRLF, RFC 4180) and the end of the audit log."""
    shares = (f"p_{name}" for name in classes)
    yield _line([*_PLAIN, "threshold_from", "findings", "total_ms", *shares, *_REVIEW, "audit_head"])
    for row in results:
        values: list[object] = [getattr(row, name) for name in _PLAIN]
        values.append("" if row.approval is None else row.approval.words())
        values += ["; ".join(str(finding["check"]) for finding in row.findings), row.latency_ms.get("total")]
        values += [row.probabilities.get(name) for name in classes]
        review = row.review
        values += ["", "", "", ""] if review is None else [
            "agrees" if review.agrees else "disagrees", review.note, review.reviewer, review.created_utc,
        ]  # fmt: skip
        yield _line([*values, audit_head])


def _line(values: Sequence[object]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerow([_cell(value) for value in values])
    return text.getvalue()


def _cell(value: object) -> str:
    """Numbers as they are; text that a spreadsheet would calculate gets an apostrophe in front (OWASP)."""
    if value is None:
        return ""
    if isinstance(value, (int, float)):
        return f"{value:.9g}"
    return _FORMULA.sub(r"\1'", printable(str(value)))
