"""Results that no model gave, and what has to be true of any station's records."""

from __future__ import annotations

import sqlite3
import uuid
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from fieldlens.runtime.station.records.audit_key import verify_log
from fieldlens.runtime.station.records.database import DATABASE
from fieldlens.runtime.station.records.image_files import IMAGES
from fieldlens.runtime.station.records.rows import ResultRow
from fieldlens.runtime.station.records.store import Records


def made(subject: str = "A-1", created_utc: str = "2026-11-27T10:00:00.000Z", **values: object) -> ResultRow:
    """A result."""
    given: dict[str, object] = {
        "id": uuid.uuid4().hex, "created_utc": created_utc, "origin": "upload", "subject": subject, "site": "Clinic",
        "operator": "Ada", "outcome": "refer", "label": "sign", "score": 0.9, "threshold": 0.5,
        "probabilities": {"clear": 0.1, "sign": 0.9}, "findings": (), "ood_score": None, "latency_ms": {"total": 9.5},
        "backend": "fake", "precision": "fp32", "bundle": "tiny v3", "bundle_hash": "0" * 64, "bundle_signed_by": None,
        "explained": "sign", "cam": np.ones((7, 7), np.float32),
    }  # fmt: skip
    return ResultRow(**{**given, **values})  # type: ignore[arg-type]


def check_whole(data: Path, acknowledged: Iterable[str], printed: Sequence[str] = ()) -> int:
    """Open the records as the next start does: what was acknowledged is there, nothing is half there. The results."""
    Records(data).close()
    verify_log(data, list(printed))
    connection = sqlite3.connect(data / DATABASE)
    try:
        lost = set(acknowledged) - {row[0] for row in connection.execute("SELECT id FROM results")}
        assert not lost, f"acknowledged and lost: {lost}"
        logged = {row[0] for row in connection.execute("SELECT about FROM audit WHERE event IN ('result', 'capture')")}
        stored = {row[0] for row in connection.execute("SELECT id FROM results")}
        assert stored <= logged, "no result without its audit row"
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
        rows = dict(connection.execute("SELECT path, bytes FROM files"))
        there = {
            path.relative_to(data / IMAGES).as_posix(): path.stat().st_size
            for path in (data / IMAGES).rglob("*") if path.is_file()
        }  # fmt: skip
        assert rows == there, "every row has its file, every file its row"
        return int(connection.execute("SELECT count(*) FROM results").fetchone()[0])
    finally:
        connection.close()
