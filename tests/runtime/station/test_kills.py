"""SIGKILL at random moments under load: nothing acknowledged is lost, no file without its row, no row without its file;
the audit log verifies, and leads through every head that was printed before.

A kill is not a power cut: what the kernel has in its memory survives a kill. The order of writes is checked by the
disk faults of test_disk_faults.py.
"""

from __future__ import annotations

import multiprocessing
import random
import time
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from tests.runtime.conftest import jpeg, scene
from tests.runtime.station import killed_station
from tests.runtime.station.made_results import check_whole

KILLS, KILLS_FULL = 30, 300
LATEST_S = 0.15
_CONTEXT = multiprocessing.get_context("forkserver")


def acknowledged(pipe: Connection, first_s: float) -> list[str]:
    """Everything that came through, the first of it within ``first_s``: an id and the audit's head."""
    found: list[str] = []
    try:
        while pipe.poll(first_s if not found else 0):
            found.append(pipe.recv_bytes().decode())
    except (EOFError, OSError):  # killed in the middle of a message: that one was never acknowledged
        pass
    return found


def run_and_kill(bundle: Path, data: Path, photo: bytes, after_s: float) -> list[str]:
    """One life of a station, ``after_s`` after its first answer; what it acknowledged."""
    ours, theirs = _CONTEXT.Pipe(duplex=False)
    process = _CONTEXT.Process(target=killed_station.work, args=(bundle, data, photo, theirs), daemon=True)
    process.start()
    theirs.close()
    try:
        assert ours.poll(60), "the station answers"
        found: list[str] = []
        until = time.monotonic() + after_s
        while time.monotonic() < until:
            found += acknowledged(ours, max(0.0, until - time.monotonic()))
    finally:
        process.kill()
        process.join()
    found += acknowledged(ours, 0)
    ours.close()
    return found


def test_nothing_acknowledged_is_lost(bundle_folder: Path, tmp_path: Path, pytestconfig: pytest.Config) -> None:
    _CONTEXT.set_forkserver_preload(["tests.runtime.station.killed_station", "fieldlens.runtime.backends.fake"])
    photo, chance = jpeg(scene(1, 120, 160)), random.Random(15)
    everything: list[str] = []
    printed: list[str] = []
    for _ in range(KILLS_FULL if pytestconfig.getoption("--full") else KILLS):
        for line in run_and_kill(bundle_folder, tmp_path / "data", photo, chance.uniform(0, LATEST_S)):
            everything.append(line.partition(" ")[0])
            printed.append(line.partition(" ")[2])
        stored = check_whole(tmp_path / "data", everything, printed)
        assert stored >= len(everything)
    assert len(everything) > 100, "there was load"
    print(f"{len(everything)} acknowledged, {stored} stored")
