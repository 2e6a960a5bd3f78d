"""Telling systemd that we are ready and alive: the protocol of sd_notify(3), which is one datagram of text."""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Mapping

from fieldlens.runtime.files.printable import printable


class Notifier:
    """Does nothing where no service manager listens. ``beat`` is cheap: call it for every image."""

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        given = os.environ if environment is None else environment
        self._address = given.get("NOTIFY_SOCKET", "")
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) if self._address else None
        if self._socket is not None:
            self._socket.setblocking(False)
        self._interval_s = _watchdog_s(given) / 3
        self._beaten_at = -1e9

    def ready(self, status: str) -> None:
        """The model is loaded and the run begins."""
        self._send(f"READY=1\nSTATUS={printable(status)}")

    def beat(self) -> None:
        """The run moves on. Sent three times per watchdog interval (systemd asks for at least two)."""
        now = time.monotonic()
        if self._interval_s and now - self._beaten_at >= self._interval_s:
            self._beaten_at = now
            self._send("WATCHDOG=1")

    def stopping(self) -> None:
        """The run ends in good order."""
        self._send("STOPPING=1")

    def _send(self, text: str) -> None:
        if self._socket is None:
            return
        address = f"\0{self._address[1:]}" if self._address.startswith("@") else self._address
        with contextlib.suppress(OSError):  # nobody listens (any more): no reason to stop answering
            self._socket.sendto(text.encode(), address)

    def close(self) -> None:
        """Say that we stop, and close the socket."""
        self.stopping()
        if self._socket is not None:
            self._socket.close()


def _watchdog_s(given: Mapping[str, str]) -> float:
    """The watchdog's interval in seconds; 0 where there is none, or where it is another process's."""
    if given.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return 0.0
    text = given.get("WATCHDOG_USEC", "0")
    return int(text) / 1e6 if text.isdigit() else 0.0
