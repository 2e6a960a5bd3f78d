"""SIGINT and SIGTERM: a run ends in good order, at once while it waits, after the picture at hand while it works."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Stop(BaseException):
    """Raised by the signal handler while the run waits for input; no ``except Exception`` may catch it."""


class Stopper:
    """``reason`` is empty until a signal came; a second signal ends the process at once."""

    def __init__(self) -> None:
        self.reason = ""
        self._waiting = False

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Take the signals over; only in the main thread."""
        before = {number: signal.signal(number, self._stop) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Inside, a signal raises Stop instead of waiting for the end of the picture at hand."""
        self._waiting = True
        try:
            if self.reason:
                raise Stop
            yield
        finally:
            self._waiting = False

    def _stop(self, number: int, frame: FrameType | None) -> None:
        if self.reason:
            raise KeyboardInterrupt
        self.reason = signal.Signals(number).name
        if self._waiting:
            self._waiting = False  # once: the clean-up that follows must not be interrupted again
            raise Stop
