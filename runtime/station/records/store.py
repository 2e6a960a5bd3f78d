"""The station's records behind one door: what is stored, found, reviewed, noticed and thrown away."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import json
import os
import sqlite3
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from fieldlens.runtime.audit import chain
from fieldlens.runtime.audit.chain import AuditEntry, AuditHead, AuditRow
from fieldlens.runtime.errors import KitError
from fieldlens.runtime.files import atomic, locks
from fieldlens.runtime.files.printable import json_text
from fieldlens.runtime.station.clock import CLOCK
from fieldlens.runtime.station.records import outbox
from fieldlens.runtime.station.records.audit_key import key_of_log
from fieldlens.runtime.station.records.database import (
    DATABASE,
    RecordsError,
    connected_to_read,
    open_database,
    reading,
    unusable,
)
from fieldlens.runtime.station.records.image_files import IMAGES, ImageFiles, KeptFile
from fieldlens.runtime.station.records.outbox import QueueState
from fieldlens.runtime.station.records.rows import BannerRow, ResultRow, Review
from fieldlens.runtime.station.records.search import PAGE, Filters, ResultsPage, find_all, find_one, find_page
from fieldlens.runtime.station.records.writer import RecordWriter, T, Work

_LOCK = ".station.lock"
STATION = "station"
"""Who, in the audit log, where nobody has logged in."""


class Records:
    """The records in ``folder``; one process at a time. Any thread may call. Raises RecordsError, KitError."""

    def __init__(self, folder: Path, schemas: Mapping[int, str] | None = None) -> None:
        self.folder, self.path = folder, folder / DATABASE
        self._lock, self._closed = hold(folder), False
        try:
            self._write = RecordWriter(self.path, schemas)
            self._key = key_of_log(self.path)
            self._reader, self._reading = connected_to_read(self.path), threading.Lock()
            self.files = ImageFiles(folder / IMAGES)
            self.swept = self.files.sweep(self._known_files())
        except BaseException:
            os.close(self._lock)
            raise

    # ---------------------------------------------------------------- results

    def add(
        self, result: ResultRow, images: Sequence[tuple[str, bytes]] = (), by: str = STATION, *, send: bool = False
    ) -> ResultRow:
        """Store a result with its ``(kind, JPEG)`` images and its audit row; when this returns, all are on disk.

        ``send``: it waits in the queue from then on. Files first, then the row: a row never names a file that is not
        there. Raises RecordsError.
        """
        files: tuple[KeptFile, ...] = ()
        if images:
            try:
                files = self.files.write(result.id, result.created_utc[:7], images)
            except OSError as error:
                text = f"the image cannot be kept ({error.strerror})"
                raise RecordsError(text, f"make room: df -h '{self.folder}'") from error
        whole = replace(result, files=files)

        def insert(connection: sqlite3.Connection) -> int:
            event = "capture" if whole.origin == "camera" else "result"
            self._append(connection, AuditEntry(event, by, whole.id, whole.outcome))
            number = _insert(connection, whole)
            if send:
                outbox.add(connection, whole.id, whole.created_utc)
            return number

        try:
            number = self._write(insert)
        except BaseException:
            self.files.doubt(files)
            raise
        if self.files.doubtful:
            self.files.settle(self._known_files())
        return replace(whole, number=number)

    def page(self, filters: Filters, limit: int = PAGE) -> ResultsPage:
        """One page of results, newest first."""
        with reading(self.path) as connection:
            return find_page(connection, filters, limit)

    def all(self, filters: Filters) -> Iterator[ResultRow]:
        """Every result that fits, newest first."""
        with reading(self.path) as connection:
            yield from find_all(connection, filters)

    def one(self, result_id: str) -> ResultRow | None:
        """A result by its id."""
        with reading(self.path) as connection:
            return find_one(connection, result_id)

    def review(self, result_id: str, review: Review, by: str = STATION) -> bool:
        """Add a clinician's word; False where there is no such result."""

        def insert(connection: sqlite3.Connection) -> bool:
            if connection.execute("SELECT 1 FROM results WHERE id = ?", (result_id,)).fetchone() is None:
                return False
            values = (result_id, review.created_utc, int(review.agrees), review.note, review.reviewer)
            connection.execute(
                "INSERT INTO reviews (result_id, created_utc, agrees, note, reviewer) VALUES (?, ?, ?, ?, ?)", values
            )
            self._append(connection, AuditEntry("review", by, result_id, "agrees" if review.agrees else "disagrees"))
            return True

        return self._write(insert)

    def forget_before(self, created_utc: str) -> int:
        """Delete results older than that, rows first and then their files; how many. What is to be sent stays."""
        sent = f"created_utc < ? AND id NOT IN ({outbox.UNSENT})"
        return self._forget(sent, created_utc, AuditEntry("delete", detail=f"older than {created_utc}"))

    def forget_subject(self, subject: str, by: str = STATION) -> int:
        """Delete all results of one subject; how many. The log says how many, and not whose: only its keyed hash.

        Copies that a migration or a killed backup left go, too: they hold the same rows. Backups are elsewhere, out of
        reach.
        """
        count = self._forget("subject = ?", subject, AuditEntry("delete", by, self._hash(subject), "one subject"))
        for pattern in (f"{self.path.stem}-before-schema-*.db", ".*.records*"):
            for copy in self.folder.glob(pattern):
                copy.unlink(missing_ok=True)
        return count

    def _forget(self, which: str, value: str, entry: AuditEntry) -> int:
        def delete(connection: sqlite3.Connection) -> tuple[int, list[str]]:
            chosen = f"SELECT id FROM results WHERE {which}"
            paths = connection.execute(f"SELECT path FROM files WHERE result_id IN ({chosen})", (value,)).fetchall()
            count = connection.execute(f"DELETE FROM results WHERE {which}", (value,)).rowcount
            if count or entry.about:
                self._append(connection, replace(entry, detail=f"{entry.detail}: {count} results"))
            return count, [row["path"] for row in paths]

        count, paths = self._write(delete)
        self.files.remove(paths)
        if count:
            with contextlib.closing(open_database(self.path)) as connection:  # nothing of it stays in the WAL
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return count

    def _hash(self, subject: str) -> str:
        return hmac.new(self._key, f"subject {subject}".encode(), hashlib.sha256).hexdigest()[:32]

    def sent(self, result_id: str, at_utc: str, entry: AuditEntry) -> None:
        """The receiver has it: it leaves the queue, and ``entry`` is logged, in one transaction."""

        def update(connection: sqlite3.Connection) -> None:
            outbox.sent(connection, result_id, at_utc)
            self._append(connection, entry)

        self._write(update)

    def queue(self) -> QueueState:
        """What waits to be sent."""
        with reading(self.path) as connection:
            return outbox.state(connection)

    # ---------------------------------------------------------------- audit

    def audit(self, entry: AuditEntry) -> AuditHead:
        """Add a row to the log; when this returns, it is on disk."""
        return self._write(lambda connection: self._append(connection, entry))

    def change(self, work: Work[T]) -> T:
        """Run ``work`` inside of a transaction; its result, once that is on disk."""
        return self._write(work)

    def quick(self, work: Work[T]) -> T:
        """Read a few rows on a connection that stays open: tens of microseconds, so every request can be checked."""
        with self._reading:
            try:
                return work(self._reader)
            except sqlite3.Error as error:
                raise unusable(self.path, error) from error

    def audit_head(self) -> AuditHead:
        """Where the log ends now."""
        with reading(self.path) as connection:
            return chain.head(connection)

    def audit_rows(self, limit: int, before: int = 0) -> list[AuditRow]:
        """The newest rows of the log, those below ``before``."""
        with reading(self.path) as connection:
            return chain.newest(connection, limit, before)

    def _append(self, connection: sqlite3.Connection, entry: AuditEntry) -> AuditHead:
        return chain.append(connection, self._key, CLOCK.stamp(), entry)

    def image_bytes(self) -> int:
        """What the kept images take, by the records."""
        with reading(self.path) as connection:
            return int(connection.execute("SELECT coalesce(sum(bytes), 0) FROM files").fetchone()[0])

    def count(self) -> int:
        """All results."""
        with reading(self.path) as connection:
            return int(connection.execute("SELECT count(*) FROM results").fetchone()[0])

    def _known_files(self) -> set[str]:
        with reading(self.path) as connection:
            return {row["path"] for row in connection.execute("SELECT path FROM files")}

    # ---------------------------------------------------------------- notices and facts

    def notify(self, kind: str, message: str, hint: str, created_utc: str) -> BannerRow:
        """Raise a banner; one of the same kind and words that nobody has seen yet is enough."""

        def insert(connection: sqlite3.Connection) -> BannerRow:
            same = "SELECT * FROM notices WHERE seen_utc IS NULL AND kind = ? AND message = ?"
            if (row := connection.execute(same, (kind, message)).fetchone()) is not None:
                return BannerRow(**dict(row))
            values = (kind, message, hint, created_utc)
            cursor = connection.execute(
                "INSERT INTO notices (kind, message, hint, created_utc) VALUES (?, ?, ?, ?)", values
            )
            return BannerRow(int(cursor.lastrowid or 0), *values, None, None)

        return self._write(insert)

    def banners(self, *, everything: bool = False) -> tuple[BannerRow, ...]:
        """Those that nobody has seen, oldest first; or ``everything`` that ever was, newest first, at most 500."""
        unseen = "SELECT * FROM notices WHERE seen_utc IS NULL ORDER BY number LIMIT 500"
        every = "SELECT * FROM notices ORDER BY number DESC LIMIT 500"
        with reading(self.path) as connection:
            return tuple(BannerRow(**dict(row)) for row in connection.execute(every if everything else unseen))

    def seen(self, number: int, by: str, at_utc: str, account: str = STATION) -> BannerRow | None:
        """Somebody has seen a banner: the first one counts. None where there is no such banner."""

        def update(connection: sqlite3.Connection) -> BannerRow | None:
            statement = "UPDATE notices SET seen_utc = ?, seen_by = ? WHERE number = ? AND seen_utc IS NULL"
            if connection.execute(statement, (at_utc, by, number)).rowcount:
                self._append(connection, AuditEntry("settings", account, str(number), "a banner was seen"))
            row = connection.execute("SELECT * FROM notices WHERE number = ?", (number,)).fetchone()
            return None if row is None else BannerRow(**dict(row))

        return self._write(update)

    def fact(self, name: str) -> Any:
        """What was remembered under ``name``, or None."""
        with reading(self.path) as connection:
            row = connection.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()
            return None if row is None else json.loads(row["value"])

    def remember(self, name: str, value: Any) -> None:
        """Keep a JSON value between starts."""
        statement = "INSERT INTO facts VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value"
        self._write(lambda connection: connection.execute(statement, (name, json_text(value))).rowcount)

    def close(self) -> None:
        """Write what waits; let the folder go. A second call does nothing."""
        if not self._closed:
            self._closed = True
            with self._reading:
                self._reader.close()
            self._write.close()
            os.close(self._lock)


def hold(folder: Path) -> int:
    """Be the only station on ``folder``; the lock's descriptor. Raises KitError."""
    try:
        atomic.make_folder(folder)
        return locks.taken(folder / _LOCK)
    except BlockingIOError:
        raise KitError(f"{folder}: another station is using it", "stop it first, or give another --data") from None
    except OSError as error:
        raise KitError(f"{folder}: cannot be written ({error.strerror})", "give another --data DIR") from error


def _insert(connection: sqlite3.Connection, result: ResultRow) -> int:
    columns = result.columns
    names, marks = ", ".join(columns), ", ".join("?" * len(columns))
    cursor = connection.execute(f"INSERT INTO results ({names}) VALUES ({marks})", list(columns.values()))
    for file in result.files:
        connection.execute(
            "INSERT INTO files (path, result_id, kind, bytes, sha256) VALUES (?, ?, ?, ?, ?)",
            (file.path, result.id, file.kind, file.bytes, file.sha256),
        )
    return int(cursor.lastrowid or 0)
