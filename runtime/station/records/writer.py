"""The one thread that writes: what waits together is committed together, and nobody is answered before the commit."""

from __future__ import annotations

import contextlib
import queue
import sqlite3
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from fieldlens.runtime.station.records.database import open_database, unusable

T = TypeVar("T")
Work = Callable[[sqlite3.Connection], T]
_TOGETHER = 64


@dataclass(frozen=True)
class _Waiting:
    work: Work[Any]
    future: Future[Any]


class RecordWriter:
    """Owns the connection that writes. ``schemas``: for tests. Raises RecordsError where it cannot be opened."""

    def __init__(self, path: Path, schemas: Mapping[int, str] | None = None) -> None:
        self._path, self._schemas = path, schemas
        self._connection: sqlite3.Connection | None = open_database(path, schemas)
        self._waiting: queue.SimpleQueue[_Waiting | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._write_on, name="records", daemon=True)
        self._thread.start()

    def __call__(self, work: Work[T]) -> T:
        """Run ``work`` inside of a transaction; its result, once that is committed and on disk.

        What ``work`` raises comes back, and its own changes are undone. Raises RecordsError where the disk refuses.
        """
        future: Future[T] = Future()
        self._waiting.put(_Waiting(work, future))
        return future.result()

    def close(self) -> None:
        """Write what waits, then close."""
        self._waiting.put(None)
        self._thread.join()

    def _write_on(self) -> None:
        while (first := self._waiting.get()) is not None:
            batch, last = [first], False
            with contextlib.suppress(queue.Empty):
                while len(batch) < _TOGETHER and not last:
                    following = self._waiting.get_nowait()
                    if following is None:
                        last = True
                    else:
                        batch.append(following)
            self._commit(batch)
            if last:
                break
        self._drop()

    def _commit(self, batch: list[_Waiting]) -> None:
        """All of a batch, then their answers; a disk that refuses is everybody's answer."""
        done: list[tuple[Future[Any], Any]] = []
        failed: list[tuple[Future[Any], BaseException]] = []
        try:
            connection = self._open()
            connection.execute("BEGIN IMMEDIATE")
            for waiting in batch:
                self._one(connection, waiting, done, failed)
            connection.execute("COMMIT")
        except Exception as error:  # noqa: BLE001  (it belongs to those who wait, and the thread must live on)
            self._drop()
            reason = unusable(self._path, error) if isinstance(error, sqlite3.Error) else error
            for waiting in batch:
                waiting.future.set_exception(reason)
            return
        for future, value in done:
            future.set_result(value)
        for future, problem in failed:
            future.set_exception(problem)

    @staticmethod
    def _one(
        connection: sqlite3.Connection,
        waiting: _Waiting,
        done: list[tuple[Future[Any], Any]],
        failed: list[tuple[Future[Any], BaseException]],
    ) -> None:
        """One piece of work; what is wrong with it alone stays its own."""
        connection.execute("SAVEPOINT one")
        try:
            done.append((waiting.future, waiting.work(connection)))
        except (sqlite3.OperationalError, sqlite3.DatabaseError) as error:
            if not isinstance(error, sqlite3.IntegrityError):
                raise
            failed.append((waiting.future, error))
            connection.execute("ROLLBACK TO one")
        except Exception as error:  # noqa: BLE001  (raised again by whoever waits)
            failed.append((waiting.future, error))
            connection.execute("ROLLBACK TO one")
        connection.execute("RELEASE one")

    def _open(self) -> sqlite3.Connection:
        """The connection; after an error a new one, which takes back what was half written."""
        if self._connection is None:
            self._connection = open_database(self._path, self._schemas)
        return self._connection

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(sqlite3.Error):
                connection.close()
