"""Finding results: filters, pages by the last number seen, the newest first."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from fieldlens.runtime.station.records.image_files import KeptFile
from fieldlens.runtime.station.records.rows import ResultRow, Review, result_from

PAGE = 50
MOST = 500
_BLOCK = 200


@dataclass(frozen=True)
class Filters:
    """Which results; empty fields do not filter. ``text`` is looked for in subject, site, operator and review notes.

    ``since`` and ``until`` are ISO 8601 in UTC, compared as text; ``before`` is the number where the page before ended.
    ``review``: ``agrees``, ``disagrees`` or ``none``.
    """

    text: str = ""
    subject: str = ""
    outcome: str = ""
    site: str = ""
    operator: str = ""
    since: str = ""
    until: str = ""
    review: str = ""
    before: int = 0

    def clause(self) -> tuple[str, list[object]]:
        """The condition and its values; nothing that a visitor wrote is ever part of the statement."""
        parts: list[str] = ["1"]
        values: list[object] = []
        for column in ("subject", "outcome", "site", "operator"):
            if wanted := getattr(self, column):
                parts.append(f"{column} = ?")
                values.append(wanted)
        if self.since:
            parts.append("created_utc >= ?")
            values.append(self.since)
        if self.until:
            parts.append("created_utc < ?")
            values.append(self.until)
        if self.before:
            parts.append("number < ?")
            values.append(self.before)
        if self.text:
            like = "%" + self.text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_") + "%"
            columns = " OR ".join(f"{name} LIKE ? ESCAPE '\\'" for name in ("subject", "site", "operator"))
            notes = "id IN (SELECT result_id FROM reviews WHERE note LIKE ? ESCAPE '\\')"
            parts.append(f"({columns} OR {notes})")
            values += [like] * 4
        if self.review:
            newest = "(SELECT agrees FROM reviews WHERE result_id = results.id ORDER BY number DESC LIMIT 1)"
            parts.append(newest + {"agrees": " = 1", "disagrees": " = 0", "none": " IS NULL"}[self.review])
        return " AND ".join(parts), values


@dataclass(frozen=True)
class ResultsPage:
    """Some results, newest first; ``total`` of all pages; ``next_before`` for the following page, None on the last."""

    results: tuple[ResultRow, ...]
    total: int
    next_before: int | None


def find_page(connection: sqlite3.Connection, filters: Filters, limit: int = PAGE) -> ResultsPage:
    """One page of at most ``limit`` (1…MOST) results."""
    limit = max(1, min(limit, MOST))
    whole, values = Filters(**{**filters.__dict__, "before": 0}).clause()
    total = int(connection.execute(f"SELECT count(*) FROM results WHERE {whole}", values).fetchone()[0])
    clause, values = filters.clause()
    rows = connection.execute(
        f"SELECT * FROM results WHERE {clause} ORDER BY number DESC LIMIT ?", [*values, limit + 1]
    ).fetchall()
    more = len(rows) > limit
    found = tuple(_whole(connection, rows[:limit]))
    return ResultsPage(found, total, found[-1].number if more else None)


def find_one(connection: sqlite3.Connection, result_id: str) -> ResultRow | None:
    """One result by its id."""
    rows = connection.execute("SELECT * FROM results WHERE id = ?", (result_id,)).fetchall()
    return next(iter(_whole(connection, rows)), None)


def find_all(connection: sqlite3.Connection, filters: Filters) -> Iterator[ResultRow]:
    """All of them, newest first, in little memory: a page at a time, and what comes in meanwhile is left out."""
    before = filters.before
    while True:
        clause, values = Filters(**{**filters.__dict__, "before": before}).clause()
        rows = connection.execute(
            f"SELECT * FROM results WHERE {clause} ORDER BY number DESC LIMIT ?", [*values, _BLOCK]
        ).fetchall()
        yield from _whole(connection, rows)
        if len(rows) < _BLOCK:
            return
        before = rows[-1]["number"]


def _whole(connection: sqlite3.Connection, rows: Sequence[sqlite3.Row]) -> Iterator[ResultRow]:
    """Rows with their files and their newest review, in three queries however many there are."""
    ids = [row["id"] for row in rows]
    marks = ",".join("?" * len(ids))
    files: dict[str, list[KeptFile]] = {}
    for row in connection.execute(f"SELECT * FROM files WHERE result_id IN ({marks}) ORDER BY kind", ids):
        kept = KeptFile(row["path"], row["kind"], row["bytes"], row["sha256"])
        files.setdefault(row["result_id"], []).append(kept)
    reviews: dict[str, Review] = {}
    for row in connection.execute(f"SELECT * FROM reviews WHERE result_id IN ({marks}) ORDER BY number", ids):
        reviews[row["result_id"]] = Review(row["created_utc"], bool(row["agrees"]), row["note"], row["reviewer"])
    for row in rows:
        yield result_from(row, tuple(files.get(row["id"], ())), reviews.get(row["id"]))
