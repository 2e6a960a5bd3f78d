"""The SQLite file: opened the safe way, and brought from an older schema to ours without ever being half-way."""

from __future__ import annotations

import contextlib
import os
import re
import sqlite3
from collections.abc import Iterator, Mapping
from pathlib import Path

from fieldlens.runtime.errors import KitError
from fieldlens.runtime.files import atomic

DATABASE = "records.db"
_BUSY_MS = 5000


class RecordsError(KitError):
    """Records that cannot be read or written; nothing that was acknowledged is lost."""


def own_schemas() -> dict[int, str]:
    """Version → the statements that lead to it from the version before."""
    files = Path(__file__).parent.glob("schema-*.sql")
    return {int(path.stem.partition("-")[2]): path.read_text(encoding="utf-8") for path in files}


def open_database(path: Path, schemas: Mapping[int, str] | None = None) -> sqlite3.Connection:
    """A connection that writes. Missing: made; older: migrated, after a copy was put aside. Raises RecordsError.

    WAL with ``synchronous=FULL``: a commit that has returned survives a loss of power, as far as the disk tells the
    truth. Foreign keys are on. Transactions are begun and ended by the caller.
    """
    schemas = own_schemas() if schemas is None else schemas
    try:
        atomic.make_folder(path.parent)
        if not path.exists():
            atomic.write_bytes(path, b"")  # an empty file is an empty database, and 0600 from its first byte on
        connection = _connected(f"{path.absolute().as_uri()}?mode=rw")
    except (sqlite3.Error, OSError) as error:
        raise unusable(path, error) from error
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        migrate(connection, path, schemas)
    except BaseException as error:
        connection.close()
        if isinstance(error, (sqlite3.Error, OSError)):
            raise unusable(path, error) from error
        raise
    return connection


@contextlib.contextmanager
def reading(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection that only reads, for the block. Raises RecordsError."""
    connection = connected_to_read(path)
    try:
        yield connection
    except sqlite3.Error as error:
        raise unusable(path, error) from error
    finally:
        connection.close()


def connected_to_read(path: Path) -> sqlite3.Connection:
    """A connection that only reads; the caller closes it. Raises RecordsError."""
    try:
        return _connected(f"{path.absolute().as_uri()}?mode=ro")
    except sqlite3.Error as error:
        raise unusable(path, error) from error


def _connected(uri: str) -> sqlite3.Connection:
    connection = sqlite3.connect(uri, uri=True, isolation_level=None, timeout=_BUSY_MS / 1e3, check_same_thread=False)
    connection.row_factory = sqlite3.Row
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA temp_store = MEMORY")  # nothing of a patient in /tmp
    connection.execute("PRAGMA secure_delete = ON")  # what is deleted is overwritten in the file
    return connection


def migrate(connection: sqlite3.Connection, path: Path, schemas: Mapping[int, str]) -> None:
    """Bring the schema up to the newest of ``schemas``, each version in one transaction with its number.

    Killed at any point, the records are of one version or of the other, never between. Raises RecordsError for
    records of a newer program.
    """
    newest = max(schemas)
    version = schema_version(connection)
    if version > newest:
        raise RecordsError(
            f"{path}: the records are of a newer version ({version}) than this program knows ({newest})",
            "install the newer version again; downgrading keeps its records only from a backup made before",
        )
    if 0 < version < newest:
        _put_aside(connection, path, version)
    for number in range(version + 1, newest + 1):
        connection.execute("BEGIN IMMEDIATE")
        try:
            if schema_version(connection) < number:  # another process may have been faster
                for statement in statements(schemas[number]):
                    connection.execute(statement)
                connection.execute(f"PRAGMA user_version = {number}")
            connection.execute("COMMIT")
        except BaseException:
            with contextlib.suppress(sqlite3.Error):
                connection.execute("ROLLBACK")
            raise


def schema_version(connection: sqlite3.Connection) -> int:
    """0 for an empty file."""
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def statements(script: str) -> Iterator[str]:
    """The single statements of a script: ``executescript`` would commit between them."""
    pending = ""
    for line in script.splitlines(keepends=True):
        pending += line
        if sqlite3.complete_statement(pending):
            yield pending
            pending = ""
    if re.sub(r"--[^\n]*", "", pending).strip():
        raise ValueError(f"a schema ends in the middle of a statement: {pending.strip()[:60]}")


def _put_aside(connection: sqlite3.Connection, path: Path, version: int) -> None:
    """A whole copy of the old records beside them, before anything is changed."""
    target = path.with_name(f"{path.stem}-before-schema-{version + 1}.db")
    if not target.exists():
        copy_to(connection, target)


def copy_to(connection: sqlite3.Connection, target: Path) -> None:
    """A consistent copy, whoever writes meanwhile (SQLite's online backup): whole, or not at all."""
    part = target.with_name(f".{target.name}.part")
    part.unlink(missing_ok=True)
    os.close(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, atomic.PRIVATE))
    with contextlib.closing(sqlite3.connect(part)) as copy:
        connection.backup(copy, pages=1000)
        copy.execute("PRAGMA journal_mode = DELETE")
    with part.open("rb") as file:
        os.fsync(file.fileno())
    part.replace(target)
    atomic.fsync_folder(target.parent)


def unusable(path: Path, error: sqlite3.Error | OSError) -> RecordsError:
    """What went wrong, for people."""
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return RecordsError(f"{path}: the records cannot be used ({text})", f"make room and check the disk: df -h '{path}'")
