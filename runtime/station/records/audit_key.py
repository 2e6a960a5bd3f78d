"""The audit's key for these records, made with the first of them; and events from outside of a running station."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from fieldlens.runtime.audit import chain
from fieldlens.runtime.audit.chain import AuditEntry, AuditHead
from fieldlens.runtime.audit.key import KEY_FILE, make_key, read_key
from fieldlens.runtime.errors import KitError
from fieldlens.runtime.station.clock import CLOCK
from fieldlens.runtime.station.records.database import DATABASE, open_database, reading, unusable

T = TypeVar("T")


def key_of_log(database: Path) -> bytes:
    """The key beside ``database``; a new one only where the log has no row yet. Raises KitError."""
    folder = database.parent
    if not (folder / KEY_FILE).exists():
        with reading(database) as connection:
            empty = chain.head(connection).number == 0
        if empty:
            try:
                return make_key(folder)
            except OSError as error:
                raise unusable(database, error) from error
    return read_key(folder)


def add_event(data: Path, entry: AuditEntry) -> None:
    """Add a row to the log of ``data``, whether or not a station runs on it. Raises KitError."""
    change(data, lambda _: None, entry)


def change(data: Path, work: Callable[[sqlite3.Connection], T], entry: AuditEntry) -> T:
    """Run ``work`` and log it, in one transaction, whether or not a station runs. Raises KitError; then nothing was
    changed."""
    with contextlib.closing(open_database(data / DATABASE)) as connection:
        key = key_of_log(data / DATABASE)
        try:
            connection.execute("BEGIN IMMEDIATE")
            value = work(connection)
            chain.append(connection, key, CLOCK.stamp(), entry)
            connection.execute("COMMIT")
        except sqlite3.Error as error:
            raise unusable(data / DATABASE, error) from error
    return value


def verify_log(data: Path, printed: list[str]) -> AuditHead:
    """Check the whole log of ``data`` and each printed head; where it ends. Raises KitError."""
    heads = [chain.parse_head(text) for text in printed]
    if not (data / DATABASE).is_file():
        raise KitError(f"{data}: has no records", "give the --data of a station")
    key = read_key(data)
    with reading(data / DATABASE) as connection:
        return chain.verify(connection, key, heads)
