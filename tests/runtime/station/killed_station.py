"""A station that works until it is killed: what it acknowledges, and how its audit log ends, goes through a pipe."""

from __future__ import annotations

import threading
from multiprocessing.connection import Connection
from pathlib import Path

from fieldlens.runtime.model import load
from fieldlens.runtime.station.housekeeping import KeepingRules
from fieldlens.runtime.station.records.rows import Review
from fieldlens.runtime.station.station import AboutResult, Station, StationSettings

THREADS = 4


def work(bundle: Path, data: Path, photo: bytes, pipe: Connection) -> None:
    """Answer, review and forget until the end; each acknowledged result's id is sent, with the log's head."""
    settings = StationSettings(data, rules=KeepingRules(images=True))
    station = Station(settings, lambda: load(bundle, backend="fake", state=data.parent / "state"))
    lock = threading.Lock()

    def answer_on() -> None:
        while True:
            stored = station.upload(photo, AboutResult("A-1"))
            with lock:
                pipe.send_bytes(f"{stored.id} {station.records.audit_head()}".encode())
            station.records.review(stored.id, Review(station.clock.stamp(), True, "seen", "Dr. C"))

    threads = [threading.Thread(target=answer_on) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    threads[0].join()
