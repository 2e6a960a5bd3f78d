"""The queue of what is to be sent: rows beside the results, written with them and deleted with them.

Functions take a connection; those that write, inside of the caller's transaction.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

UNSENT = "SELECT result_id FROM outbox WHERE sent_utc IS NULL"
"""What retention never deletes."""


@dataclass(frozen=True)
class Waiting:
    """A result that is to be sent. ``upload_url`` and ``sha256``: of an upload that has begun, else empty."""

    result_id: str
    upload_url: str
    sha256: str


@dataclass(frozen=True)
class QueueState:
    """``oldest_utc`` and ``last_sent_utc``: empty where there is none."""

    waiting: int
    oldest_utc: str
    last_sent_utc: str


def add(connection: sqlite3.Connection, result_id: str, queued_utc: str) -> None:
    """Queue a result."""
    connection.execute("INSERT INTO outbox (result_id, queued_utc) VALUES (?, ?)", (result_id, queued_utc))


def unsent(connection: sqlite3.Connection) -> list[Waiting]:
    """Everything that waits, oldest first."""
    statement = "SELECT result_id, upload_url, sha256 FROM outbox WHERE sent_utc IS NULL ORDER BY queued_utc, result_id"
    return [Waiting(*row) for row in connection.execute(statement)]


def began(connection: sqlite3.Connection, result_id: str, upload_url: str, sha256: str) -> None:
    """An upload goes on at ``upload_url``; empty: it has to begin again."""
    values = (upload_url, sha256, result_id)
    connection.execute("UPDATE outbox SET upload_url = ?, sha256 = ? WHERE result_id = ?", values)


def sent(connection: sqlite3.Connection, result_id: str, at_utc: str) -> bool:
    """The receiver has it; False where it was deleted meanwhile, or sent before."""
    statement = "UPDATE outbox SET sent_utc = ? WHERE result_id = ? AND sent_utc IS NULL"
    return connection.execute(statement, (at_utc, result_id)).rowcount == 1


def state(connection: sqlite3.Connection) -> QueueState:
    """How many wait, since when, and when the last one was sent."""
    waiting, oldest = connection.execute(
        "SELECT count(*), min(queued_utc) FROM outbox WHERE sent_utc IS NULL"
    ).fetchone()
    last = connection.execute("SELECT max(sent_utc) FROM outbox").fetchone()[0]
    return QueueState(waiting, oldest or "", last or "")
