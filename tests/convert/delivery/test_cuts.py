"""Cut lines and killed processes: afterwards one whole version serves and answers, and the device says which."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import threading
import time
from pathlib import Path

import pytest

from fieldlens.convert.delivery.remote import DeliveryFailed
from fieldlens.runtime.updating import supervisor
from fieldlens.runtime.updating.status import status_of
from tests.convert.delivery.loopback import Loopback

CUTS = (0, 1_500, 6_000, 9_000)
"""Bytes towards the device after which the line is cut: before the handshake, in it, in the offer and in the files."""


@pytest.fixture(scope="module")
def serving(device: Loopback, bundles: Path) -> Loopback:
    """Version 1 serves."""
    device.push(bundles / "1", allow_downgrade=True)
    return device


def check_truth(serving: Loopback, case: str) -> int:
    """One version serves and answers, it is the installed one, and the records agree. Its number."""

    def settled() -> bool:
        status = status_of(serving.layout)
        return bool(status["update"] == "none" and status["service"].get("as_linked"))

    serving.wait(settled, case)
    status = status_of(serving.layout)
    assert status["current"] == status["good"], case
    assert status["current"]["number"] in (1, 2), case
    assert not status["faults"], case
    answer = serving.answer()
    assert answer is not None, case
    assert answer.bundle_hash == status["current"]["hash"], case
    return int(status["current"]["number"])


def test_a_push_survives_cuts_at_every_step(serving: Loopback, bundles: Path) -> None:
    """The same push, cut four times on its way, and once more while the device installs."""
    serving.line.bytes_up, serving.line.cuts_at = 0, list(CUTS)
    cutter = threading.Thread(target=_cut_while_installing, args=(serving,))
    cutter.start()
    done = serving.push(bundles / "2")
    cutter.join()
    assert done.result["version"]["number"] == 2
    assert not serving.line.cuts_at, "all of them came"
    assert done.tries >= 3
    assert check_truth(serving, "after the cuts") == 2


def _cut_while_installing(serving: Loopback) -> None:
    end = time.monotonic() + 100
    while time.monotonic() < end and not serving.layout.pending.exists():
        time.sleep(0.005)
    serving.line.cut()


def _kill(serving: Loopback, everything: bool) -> None:
    """The updater; with ``everything`` the supervisor and the service, too, as in a power cut."""
    with contextlib.suppress(OSError, ValueError):
        os.kill(int((serving.layout.state / "incoming.lock").read_text()), signal.SIGKILL)
    if everything and (pid := supervisor.supervisor_pid(serving.layout)) is not None:
        os.kill(pid, signal.SIGKILL)
        time.sleep(0.5)
        supervisor.restart(serving.layout)  # the machine starts again


def test_kills_at_random_moments(serving: Loopback, bundles: Path, request: pytest.FixtureRequest) -> None:
    """10 kills, 50 with --full, spread over what a push takes."""
    chance = random.Random(17)
    began = time.monotonic()
    serving.push(bundles / "1", allow_downgrade=True)
    takes_s = time.monotonic() - began
    versions: list[int] = []
    for turn in range(50 if request.config.getoption("--full") else 10):
        everything = turn % 3 == 2
        killer = threading.Timer(chance.uniform(0.1, 1.1) * takes_s, _kill, (serving, everything))
        killer.start()
        now = check_truth(serving, f"before kill {turn}") if turn == 0 else versions[-1]
        with contextlib.suppress(DeliveryFailed):
            serving.push(bundles / str(3 - now), allow_downgrade=True)
        killer.join()
        versions.append(check_truth(serving, f"after kill {turn}"))
    assert set(versions) == {1, 2}
