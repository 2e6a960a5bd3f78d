"""A list of paths on standard input, one a line, answered as they come."""

from __future__ import annotations

import os
import select
from collections.abc import Iterator

from fieldlens.runtime.errors import SourceError

_BLOCK = 65_536
_LONGEST_LINE = 65_536


def paths_from(handle: int, tick_s: float) -> Iterator[str | None]:
    """The lines, read with ``select``, so that a run can end while nobody writes; None every ``tick_s`` without one.

    Raises SourceError where it cannot be read, or a line does not end.
    """
    pending = b""
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
        *lines, pending = (pending + block).split(b"\n")
        yield from (os.fsdecode(line).rstrip("\r") for line in lines)
        if not block:
            yield os.fsdecode(pending)
            return
        if len(pending) > _LONGEST_LINE:
            raise SourceError(
                f"standard input: a line of more than {_LONGEST_LINE:,} bytes is no path",
                "write one path a line (find … -print, without 0)",
            )
