"""What the chain finds: a row edited, taken out or added, the end cut off, the whole log written again."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator

import pytest

from fieldlens.runtime.audit import chain
from fieldlens.runtime.audit.chain import AuditEntry, AuditError, AuditHead
from fieldlens.runtime.errors import KitError

KEY, ROWS = b"k" * 32, 9
_TABLE = (
    "CREATE TABLE audit (number INTEGER PRIMARY KEY, created_utc TEXT, event TEXT, who TEXT, about TEXT, detail TEXT, "
    "mac BLOB) STRICT"
)


@pytest.fixture
def log() -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.execute(_TABLE)
    write(connection, ROWS)
    yield connection
    connection.close()


def write(connection: sqlite3.Connection, rows: int) -> AuditHead:
    return [chain.append(connection, KEY, f"t{n}", AuditEntry("view", "Ada", f"r{n}", "ü\n")) for n in range(rows)][-1]


def test_what_was_written_verifies(log: sqlite3.Connection) -> None:
    head = chain.head(log)
    printed = chain.parse_head(str(head))
    more = write(log, 3)
    assert chain.verify(log, KEY, [printed, chain.parse_head(str(more))]) == more
    assert more.number == ROWS + 3
    assert [row.number for row in chain.newest(log, 2, before=5)] == [4, 3]


@pytest.mark.parametrize("column", ["created_utc", "event", "who", "about", "detail"])
@pytest.mark.parametrize("number", [1, 5, ROWS])
def test_a_row_that_was_edited_is_found(log: sqlite3.Connection, column: str, number: int) -> None:
    log.execute(f"UPDATE audit SET {column} = {column} || 'x' WHERE number = ?", (number,))
    with pytest.raises(AuditError, match=f"row {number} is not what was written"):
        chain.verify(log, KEY)


@pytest.mark.parametrize("number", [1, 5])
@pytest.mark.parametrize("renumbered", [False, True])
def test_a_row_that_was_taken_out_is_found(log: sqlite3.Connection, number: int, renumbered: bool) -> None:
    log.execute("DELETE FROM audit WHERE number = ?", (number,))
    if renumbered:
        for later in range(number + 1, ROWS + 1):
            log.execute("UPDATE audit SET number = ? WHERE number = ?", (later - 1, later))
    with pytest.raises(AuditError, match=f"row {number} is (missing|not what)"):
        chain.verify(log, KEY)


def test_words_moved_between_columns_are_found(log: sqlite3.Connection) -> None:
    log.execute("UPDATE audit SET who = 'Adar', about = '4' WHERE number = 5")
    with pytest.raises(AuditError, match="row 5"):
        chain.verify(log, KEY)


def test_a_row_of_another_key_is_found(log: sqlite3.Connection) -> None:
    chain.append(log, b"x" * 32, "t", AuditEntry("view"))
    with pytest.raises(AuditError, match="another key"):
        chain.verify(log, KEY)


@pytest.mark.parametrize("left", [0, 4, ROWS - 1])
def test_only_a_printed_head_finds_an_end_that_was_cut_off(log: sqlite3.Connection, left: int) -> None:
    printed = chain.parse_head(str(chain.head(log)))
    log.execute("DELETE FROM audit WHERE number > ?", (left,))
    assert chain.verify(log, KEY).number == left
    with pytest.raises(AuditError, match="cut off"):
        chain.verify(log, KEY, [printed])


def test_a_log_written_again_with_the_key_does_not_lead_through_a_printed_head(log: sqlite3.Connection) -> None:
    printed = chain.parse_head(str(chain.head(log)))
    log.execute("DELETE FROM audit WHERE number >= 5")
    write(log, ROWS)
    assert chain.verify(log, KEY).number == 4 + ROWS
    with pytest.raises(AuditError, match="written again"):
        chain.verify(log, KEY, [printed])


@pytest.mark.parametrize("text", ["", "5", "5:", "5:abc", "x:" + "0" * 32, "5:" + "g" * 32])
def test_what_is_no_head_is_refused(text: str) -> None:
    with pytest.raises(KitError, match="not an audit head"):
        chain.parse_head(text)
