"""systemd's protocol, against a socket that plays its part."""

from __future__ import annotations

import os
import socket
import time
from pathlib import Path

import pytest

from fieldlens.runtime.running.notify import Notifier


@pytest.fixture
def manager(tmp_path: Path) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    listener.bind(str(tmp_path / "notify"))
    listener.settimeout(1.0)
    return listener


def heard(manager: socket.socket) -> list[str]:
    manager.setblocking(False)
    words = []
    while True:
        try:
            words.append(manager.recv(1000).decode())
        except BlockingIOError:
            return words


def test_ready_alive_stopping(manager: socket.socket) -> None:
    place = {"NOTIFY_SOCKET": manager.getsockname(), "WATCHDOG_USEC": "300000", "WATCHDOG_PID": str(os.getpid())}
    with manager:
        notifier = Notifier(place)
        notifier.ready("tiny v3")
        for _ in range(50):
            notifier.beat()
            time.sleep(0.01)
        notifier.close()
        words = heard(manager)
    assert words[0] == "READY=1\nSTATUS=tiny v3"
    assert words[-1] == "STOPPING=1"
    assert set(words[1:-1]) == {"WATCHDOG=1"}
    assert 4 <= len(words[1:-1]) <= 6  # every third of the interval, not for every image


@pytest.mark.parametrize("more", [{}, {"WATCHDOG_USEC": "1000", "WATCHDOG_PID": "1"}, {"WATCHDOG_USEC": "x"}])
def test_no_beats_where_no_watchdog_asks_for_them(manager: socket.socket, more: dict[str, str]) -> None:
    with manager:
        notifier = Notifier({"NOTIFY_SOCKET": manager.getsockname(), **more})
        notifier.beat()
        notifier.close()
        assert heard(manager) == ["STOPPING=1"]


def test_an_abstract_socket() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        name = f"fieldlens-test-{os.getpid()}"
        listener.bind(f"\0{name}")
        notifier = Notifier({"NOTIFY_SOCKET": f"@{name}"})
        notifier.close()
        assert heard(listener) == ["STOPPING=1"]


def test_without_a_manager_nothing_happens(tmp_path: Path) -> None:
    for place in ({}, {"NOTIFY_SOCKET": str(tmp_path / "gone"), "WATCHDOG_USEC": "1"}):
        notifier = Notifier(place)
        notifier.ready("x")
        notifier.beat()
        notifier.close()


def test_a_bundles_name_forges_no_word_to_systemd(manager: socket.socket) -> None:
    with manager:
        notifier = Notifier({"NOTIFY_SOCKET": manager.getsockname()})
        notifier.ready("tiny\nMAINPID=1")
        notifier.close()
        assert heard(manager)[0] == "READY=1\nSTATUS=tiny\\nMAINPID=1"
