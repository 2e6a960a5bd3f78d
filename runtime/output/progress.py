"""How far a run over folders is, and how long it will take: one line on standard error, for a terminal only."""

from __future__ import annotations

import shutil
import sys
import time
from typing import TextIO

from fieldlens.runtime.errors import OutputError
from fieldlens.runtime.output.linefile import LineStream
from fieldlens.runtime.output.sinks import Sink
from fieldlens.runtime.prediction import Notice, Result
from fieldlens.runtime.terminal.colour import is_terminal

FEWEST_FOR_BAR = 10
"""With fewer images a bar would be gone before it is read."""
_EVERY_S = 0.1
_CLEAR = "\r\x1b[K"
_BAR = 20


class ProgressSink(Sink):
    """Hands results on to ``inner`` and keeps a bar below its lines. ``total``: how many inputs there will be.

    A terminal that takes nothing any more costs the bar, not the run.
    """

    def __init__(self, inner: Sink | None, total: int, stream: TextIO | None = None) -> None:
        self._inner, self._total = inner, total
        self._lines: LineStream | None = LineStream(stream or sys.stderr)
        self._together = inner is not None and is_terminal(sys.stdout)
        self._done = 0
        self._began = time.monotonic()
        self._drawn_at = -_EVERY_S
        self._shown = False

    def write(self, result: Result) -> None:
        if self._together:
            self._clear()
        if self._inner is not None:
            self._inner.write(result)
        self._done += not isinstance(result, Notice)
        now = time.monotonic()
        if self._together or now - self._drawn_at >= _EVERY_S:
            self._drawn_at = now
            self._put(f"{_CLEAR}{bar(self._done, self._total, now - self._began, _columns())}")
            self._shown = True

    def _clear(self) -> None:
        if self._shown:
            self._put(_CLEAR)
            self._shown = False

    def _put(self, text: str) -> None:
        try:
            if self._lines is not None:
                self._lines.write(text)
        except (OutputError, OSError):
            self._lines = None

    def close(self) -> None:
        """The last line for people is followed by nothing of ours."""
        self._clear()
        if self._inner is not None:
            self._inner.close()


def bar(done: int, total: int, seconds: float, columns: int = 80) -> str:
    """``[#####...............] 125 of 500, 12 s left``, cut to the terminal's width."""
    total = max(total, done)
    full = _BAR * done // total if total else _BAR
    left = seconds / done * (total - done) if done else 0.0
    text = f"[{'#' * full}{'.' * (_BAR - full)}] {done:,} of {total:,}, {duration(left)} left"
    return text[: max(columns - 1, 0)]


def duration(seconds: float) -> str:
    """``42 s``, ``3 min 20 s``, ``2 h 5 min``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def _columns() -> int:
    return shutil.get_terminal_size().columns
