"""Schemas: the first one is fixed, the next ones are reached whole or not at all."""

from __future__ import annotations

import contextlib
import hashlib
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from fieldlens.runtime.station.records import database
from fieldlens.runtime.station.records.database import DATABASE, RecordsError, open_database, own_schemas
from fieldlens.runtime.station.records.store import Records
from tests.runtime.station.made_results import made

ROOT = Path(__file__).parents[4]
FIRST_SHA256 = "41f7222e7f1ca33b3b452a73ba4c0cb4962b2af017cc8b6b26fc1865ad0a9434"
"""Of schema-1.sql: stations in the field have it, so a change goes into a new file."""
NEW = max(own_schemas()) + 1
SECOND = """
ALTER TABLE results ADD COLUMN eye TEXT NOT NULL DEFAULT '';  -- made up
CREATE TABLE visits (number INTEGER PRIMARY KEY, subject TEXT NOT NULL) STRICT;
INSERT INTO visits (subject) SELECT DISTINCT subject FROM results;
UPDATE results SET eye = 'left' WHERE number % 2;
CREATE INDEX results_by_eye ON results (eye);
"""
_KILLED = """
import os, signal, sqlite3, sys
from pathlib import Path
from fieldlens.runtime.station.records import database
path, after, second = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
def steps(statement):
    global after
    after -= 1
    if after < 0:
        os.kill(os.getpid(), signal.SIGKILL)
connected = database._connected
def traced(uri):
    connection = connected(uri)
    connection.set_trace_callback(steps)
    return connection
database._connected = traced
database.open_database(path, {**database.own_schemas(), max(database.own_schemas()) + 1: second})
"""


@pytest.fixture
def first(tmp_path: Path) -> Path:
    """Records of the first version with forty results."""
    records = Records(tmp_path / "data")
    for number in range(40):
        records.add(made(f"P{number % 7}"))
    records.close()
    return tmp_path / "data" / DATABASE


def rows(path: Path, statement: str) -> list[tuple[object, ...]]:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        return connection.execute(statement).fetchall()


def test_the_first_schema_never_changes() -> None:
    assert hashlib.sha256(own_schemas()[1].encode()).hexdigest() == FIRST_SHA256


def test_a_second_schema_takes_everything_along(first: Path) -> None:
    before = rows(first, "SELECT id, number FROM results ORDER BY number")
    open_database(first, {**own_schemas(), NEW: SECOND}).close()
    assert rows(first, "PRAGMA user_version") == [(NEW,)]
    assert rows(first, "SELECT id, number FROM results ORDER BY number") == before
    assert rows(first, "SELECT count(*) FROM visits") == [(7,)]
    aside = first.with_name(f"records-before-schema-{NEW}.db")
    assert rows(aside, "SELECT id, number FROM results ORDER BY number") == before
    assert aside.stat().st_mode & 0o077 == 0


def test_killed_at_every_statement_it_is_of_one_version_or_the_other(first: Path) -> None:
    before = rows(first, "SELECT id FROM results ORDER BY number")
    versions = []
    for after in range(60):
        done = subprocess.run(
            [sys.executable, "-c", _KILLED, first, str(after), SECOND], cwd=ROOT, capture_output=True, check=False
        )
        version = rows(first, "PRAGMA user_version")[0][0]
        columns = [row[1] for row in rows(first, "PRAGMA table_info(results)")]
        tables = {row[0] for row in rows(first, "SELECT name FROM sqlite_master")}
        assert ("eye" in columns) == ("visits" in tables) == ("results_by_eye" in tables) == (version == NEW)
        assert rows(first, "SELECT id FROM results ORDER BY number") == before
        assert rows(first, "PRAGMA integrity_check") == [("ok",)]
        versions.append(version)
        if done.returncode == 0:
            break
        assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    assert versions[-1] == NEW, "in the end it gets there"
    assert versions.count(NEW - 1) > 8, "and it was killed in the middle"


def test_records_of_a_newer_program_are_refused(first: Path) -> None:
    open_database(first, {**own_schemas(), NEW: SECOND}).close()
    with pytest.raises(RecordsError, match="newer version"):
        Records(first.parent)
    assert rows(first, "PRAGMA user_version") == [(NEW,)], "and left alone"


def test_a_schema_that_fails_changes_nothing(first: Path) -> None:
    with pytest.raises(RecordsError):
        open_database(first, {**own_schemas(), NEW: SECOND + "INSERT INTO nowhere VALUES (1);"})
    assert rows(first, "PRAGMA user_version") == [(NEW - 1,)]
    with pytest.raises(ValueError, match="middle of a statement"):
        list(database.statements("CREATE TABLE a (b); CREATE TABLE"))


def test_commits_are_synced_and_the_file_is_private(tmp_path: Path) -> None:
    with contextlib.closing(open_database(tmp_path / "data" / DATABASE)) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
        assert connection.execute("PRAGMA synchronous").fetchone()[0] == 2, "FULL"
        assert connection.execute("PRAGMA foreign_keys").fetchone()[0] == 1
        for path in (tmp_path / "data").iterdir():
            assert path.stat().st_mode & 0o077 == 0, path


@pytest.mark.parametrize("damage", [b"not a database at all" * 300, b"SQLite format 3\0" + bytes(4080)])
def test_what_is_no_database_is_refused(tmp_path: Path, damage: bytes) -> None:
    (tmp_path / DATABASE).write_bytes(damage)
    with pytest.raises(RecordsError):
        Records(tmp_path)
    assert (tmp_path / DATABASE).read_bytes() == damage
