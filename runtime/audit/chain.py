"""Rows of the audit log: each has an HMAC-SHA256 over itself and over the HMAC of the row before.

Whoever lacks the key can change no row unnoticed. Whoever has it (root on the device, for one) can write the whole log
again; then only a head that was printed before tells, because the new chain does not lead through it.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from fieldlens.runtime.errors import KitError
from fieldlens.runtime.files.printable import json_text

_FIRST = b"\0" * 32
_SHORT = 32
_HEAD = re.compile(r"(\d{1,15}):([0-9a-f]{32,64})")
_COLUMNS = "number, created_utc, event, who, about, detail"


class AuditError(KitError):
    """The log was changed, or does not lead through a printed head."""


@dataclass(frozen=True)
class AuditHead:
    """Where the chain ends: the number of its last row and that row's HMAC in hexadecimal. 0 and zeros: no row yet."""

    number: int
    mac: str

    def __str__(self) -> str:
        """As printed: ``1204:9f3c…`` with 128 bits."""
        return f"{self.number}:{self.mac[:_SHORT]}"


@dataclass(frozen=True)
class AuditEntry:
    """One event. ``about``: the random ID of what it is about, never a subject; ``who``: an account, or the station."""

    event: str
    who: str = "station"
    about: str = ""
    detail: str = ""


@dataclass(frozen=True)
class AuditRow:
    """An event as it is in the log."""

    number: int
    created_utc: str
    event: str
    who: str
    about: str
    detail: str


def parse_head(text: str) -> AuditHead:
    """A printed head. Raises KitError."""
    found = _HEAD.fullmatch(text.strip().lower())
    if found is None:
        raise KitError(f"{text}: not an audit head", "as on the slip: the number, a colon and 32 hexadecimal digits")
    return AuditHead(int(found[1]), found[2])


def append(connection: sqlite3.Connection, key: bytes, created_utc: str, entry: AuditEntry) -> AuditHead:
    """Add a row inside of the caller's transaction, which must be one that writes (``BEGIN IMMEDIATE``).

    The end of the chain is read from the log itself, so any number of processes may add rows.
    """
    before = head(connection)
    row = AuditRow(before.number + 1, created_utc, entry.event, entry.who, entry.about, entry.detail)
    mac = _mac(key, bytes.fromhex(before.mac), row)
    values = (*_values(row), mac)
    connection.execute(f"INSERT INTO audit ({_COLUMNS}, mac) VALUES (?, ?, ?, ?, ?, ?, ?)", values)
    return AuditHead(row.number, mac.hex())


def head(connection: sqlite3.Connection) -> AuditHead:
    """The end of the chain, unchecked."""
    row = connection.execute("SELECT number, mac FROM audit ORDER BY number DESC LIMIT 1").fetchone()
    return AuditHead(0, _FIRST.hex()) if row is None else AuditHead(row[0], bytes(row[1]).hex())


def newest(connection: sqlite3.Connection, limit: int, before: int = 0) -> list[AuditRow]:
    """The last rows, newest first; with ``before`` those below that number."""
    below = "WHERE number < ?" if before else "WHERE ? = 0"
    rows = connection.execute(f"SELECT {_COLUMNS} FROM audit {below} ORDER BY number DESC LIMIT ?", (before, limit))
    return [AuditRow(*row) for row in rows]


def verify(connection: sqlite3.Connection, key: bytes, printed: Iterable[AuditHead] = ()) -> AuditHead:
    """Check every row, and that the chain leads through each ``printed`` head; its end. Raises AuditError.

    One statement reads all, so a station may go on writing.
    """
    wanted: dict[int, list[AuditHead]] = {}
    for each in printed:
        wanted.setdefault(each.number, []).append(each)
    last = AuditHead(0, _FIRST.hex())
    _check_printed(last, wanted.pop(0, ()))
    for *values, mac in connection.execute(f"SELECT {_COLUMNS}, mac FROM audit ORDER BY number"):
        row = AuditRow(*values)
        if row.number != last.number + 1:
            raise AuditError(f"audit row {last.number + 1} is missing", _WHAT_NOW)
        if not hmac.compare_digest(_mac(key, bytes.fromhex(last.mac), row), bytes(mac)):
            raise AuditError(f"audit row {row.number} is not what was written, or another key wrote it", _WHAT_NOW)
        last = AuditHead(row.number, bytes(mac).hex())
        _check_printed(last, wanted.pop(row.number, ()))
    if wanted:
        raise AuditError(
            f"the log ends at row {last.number}, but row {max(wanted)} was printed: its end was cut off", _WHAT_NOW
        )
    return last


_WHAT_NOW = "keep a copy of the data folder as it is, and compare it with the backups; tell the data-protection officer"


def _check_printed(here: AuditHead, printed: Sequence[AuditHead] | tuple[()]) -> None:
    for each in printed:
        if not here.mac.startswith(each.mac):
            raise AuditError(
                f"row {here.number} is not the one that was printed ({each}): the log was written again", _WHAT_NOW
            )


def _values(row: AuditRow) -> tuple[int, str, str, str, str, str]:
    return row.number, row.created_utc, row.event, row.who, row.about, row.detail


def _mac(key: bytes, before: bytes, row: AuditRow) -> bytes:
    """JSON of all columns: no two different rows have the same bytes."""
    return hmac.new(key, before + json_text(list(_values(row))).encode(), hashlib.sha256).digest()
