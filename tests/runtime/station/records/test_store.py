"""The records behind their door: order of writes, doubt, search in ten thousand, banners."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from fieldlens.runtime.errors import KitError
from fieldlens.runtime.station.records.database import RecordsError
from fieldlens.runtime.station.records.rows import Review
from fieldlens.runtime.station.records.search import Filters
from fieldlens.runtime.station.records.store import Records
from tests.runtime.station.made_results import check_whole, made

MANY = 10_000
P95_MS = 100


@pytest.fixture
def records(tmp_path: Path) -> Iterator[Records]:
    records = Records(tmp_path / "data")
    yield records
    records.close()


def images(records: Records) -> list[str]:
    return sorted(path.name for path in records.files.folder.rglob("*") if path.is_file())


def test_what_is_stored_comes_back(records: Records) -> None:
    row = made(findings=({"check": "brightness", "value": 1.0, "limit": 2.0, "advice": "lamp"},), ood_score=1.5)
    stored = records.add(row, [("view", b"jpeg")])
    found = records.one(row.id)
    assert found == stored
    assert found is not None
    np.testing.assert_array_equal(found.cam, row.cam)
    assert records.files.read(found.files[0]) == b"jpeg"


def test_one_station_at_a_time(records: Records) -> None:
    with pytest.raises(KitError, match="another station is using it"):
        Records(records.folder)


def test_a_row_that_is_refused_leaves_no_file(records: Records) -> None:
    row = records.add(made(), [("view", b"one")])
    with pytest.raises(sqlite3.IntegrityError):
        records.add(made(id=row.id, created_utc="2026-10-01T00:00:00.000Z"), [("view", b"two")])
    assert len(images(records)) == 2, "not certain yet whether its row is there"
    records.add(made())
    assert images(records) == [f"{row.id}-view.jpg"]


def test_a_file_without_a_row_is_gone_after_the_next_start(records: Records) -> None:
    kept = records.add(made(), [("view", b"one")])
    stray = records.files.folder / "2026-11" / "stray-view.jpg"
    stray.write_bytes(b"two")
    records.close()
    again = Records(records.folder)
    assert (again.swept, images(again)) == (1, [f"{kept.id}-view.jpg"])
    again.close()


def test_a_file_that_was_changed_is_not_shown(records: Records) -> None:
    kept = records.add(made(), [("view", b"one")])
    (records.files.folder / kept.files[0].path).write_bytes(b"two")
    with pytest.raises(OSError, match="not what was stored"):
        records.files.read(kept.files[0])


def test_forgetting_takes_rows_files_and_reviews(records: Records) -> None:
    old = records.add(made(created_utc="2026-01-02T00:00:00.000Z"), [("view", b"one")])
    new = records.add(made(created_utc="2026-11-02T00:00:00.000Z"), [("view", b"two")])
    records.review(old.id, Review("2026-01-02T00:00:00.000Z", True, "", ""))
    assert records.forget_before("2026-06-01T00:00:00.000Z") == 1
    assert records.one(old.id) is None
    assert images(records) == [f"{new.id}-view.jpg"]
    data = records.folder
    records.close()
    assert check_whole(data, [new.id]) == 1


def test_many_threads_are_each_answered_after_their_commit(records: Records) -> None:
    seen: list[bool] = []

    def store() -> None:
        for _ in range(25):
            row = records.add(made())
            seen.append(records.one(row.id) is not None)

    threads = [threading.Thread(target=store) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [True] * 200
    assert records.count() == 200


def test_a_banner_is_raised_once_until_it_is_seen(records: Records) -> None:
    first = records.notify("clock", "the clock jumped", "set it", "2026-11-27T00:00:00.000Z")
    assert records.notify("clock", "the clock jumped", "set it", "2026-11-28T00:00:00.000Z") == first
    records.seen(first.number, "Ada", "2026-11-28T00:00:00.000Z")
    assert records.banners() == ()
    assert records.notify("clock", "the clock jumped", "set it", "2026-11-29T00:00:00.000Z").number > first.number
    assert len(records.banners(everything=True)) == 2


def test_records_whose_folder_is_gone_are_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(KitError):
        Records(tmp_path / "file" / "data")


def test_a_closed_disk_is_reported_and_the_thread_lives_on(records: Records, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(connection: sqlite3.Connection) -> None:
        raise sqlite3.OperationalError("disk I/O error")

    with pytest.raises(RecordsError, match="disk I/O error"):
        records._write(broken)
    records.add(made())
    assert records.count() == 1


def test_ten_thousand_results_are_searched_in_no_time(records: Records) -> None:
    def fill(connection: sqlite3.Connection) -> None:
        for number in range(MANY):
            row = made(
                f"P{number % 997}", f"2026-{number % 12 + 1:02d}-01T00:00:00.{number % 1000:03d}Z",
                outcome=("refer", "no-sign-found", "uncertain", "retake")[number % 4], operator=f"O{number % 13}",
            )  # fmt: skip
            columns = row.columns
            marks = ",".join("?" * len(columns))
            connection.execute(f"INSERT INTO results ({','.join(columns)}) VALUES ({marks})", list(columns.values()))
            if number % 5 == 0:
                connection.execute(
                    "INSERT INTO reviews (result_id, created_utc, agrees, note, reviewer) VALUES (?, ?, ?, ?, ?)",
                    (row.id, row.created_utc, number % 2, f"note {number}", "Dr. C"),
                )

    records._write(fill)
    queries = [
        Filters(), Filters(text="P99"), Filters(text="note 95"), Filters(outcome="refer"), Filters(subject="P7"),
        Filters(review="disagrees"), Filters(review="none", outcome="refer"), Filters(before=200),
        Filters(since="2026-03", until="2026-05", text="O1"),
    ]  # fmt: skip
    times_ms = []
    for _ in range(6):
        for filters in queries:
            start = time.perf_counter()
            page = records.page(filters)
            times_ms.append((time.perf_counter() - start) * 1e3)
            assert page.total
    p95_ms = float(np.percentile(times_ms, 95))
    print(f"search in {MANY}: p50 {np.percentile(times_ms, 50):.1f} ms, p95 {p95_ms:.1f} ms")
    assert p95_ms < P95_MS
