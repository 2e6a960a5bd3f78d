"""A list of paths on standard input, one a line, answered as they come."""

from __future__ import annotations

import os
import select
from collections.abc import Iterator

from fieldlens.runtime.errors import SourceError
from fieldlens.runtime.sources.item import Broken

_BLOCK = 65_536
_LONGEST_LINE = 65_536
_SHOWN = 60
_NO_LIST = 100_000_000
"""A line as long as this, which was passed over, has no end."""
ONE_A_LINE = "write one path a line (find … -print, without 0)"


def paths_from(handle: int, tick_s: float) -> Iterator[str | Broken | None]:
    """The lines, read with ``select``, so that a run can end while nobody writes; None every ``tick_s`` without one.

    A line that is too long for a path is Broken, and the next one is read. Raises SourceError where the list cannot be
    read, or is none (a device that never ends).
    """
    lines = _Lines()
    while True:
        try:
            ready, _, _ = select.select([handle], [], [], tick_s)
            if not ready:
                yield None
                continue
            block = os.read(handle, _BLOCK)
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", error)
            raise SourceError(f"standard input: cannot be read ({reason})", "pipe a list of paths into it") from error
        yield from lines.add(block or b"\n")
        if not block:
            return


class _Lines:
    """From blocks of bytes to lines; of one that is too long, only its beginning is kept."""

    def __init__(self) -> None:
        self._pending = b""
        self._passed_over = 0

    def add(self, block: bytes) -> Iterator[str | Broken]:
        """The lines that end in this block."""
        *lines, rest = block.split(b"\n")
        for line in lines:
            yield _path(self._pending + line)
            self._pending, self._passed_over = b"", 0
        self._pending += rest
        self._passed_over += max(0, len(self._pending) - _LONGEST_LINE - 1)
        self._pending = self._pending[: _LONGEST_LINE + 1]
        if self._passed_over > _NO_LIST:
            raise SourceError(f"standard input: {self._passed_over:,} bytes without a new line are no list", ONE_A_LINE)


def _path(line: bytes) -> str | Broken:
    if len(line) <= _LONGEST_LINE:
        return os.fsdecode(line).rstrip("\r")
    shown = os.fsdecode(line[:_SHOWN]) + "…"
    message = f"{shown}: a line of more than {_LONGEST_LINE:,} bytes is no path"
    return Broken(shown, SourceError(message, ONE_A_LINE))
