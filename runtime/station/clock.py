"""The wall clock, which may be wrong: a station without internet may think it is 1970, or jump by years."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone

EARLIEST = datetime(2026, 1, 1, tzinfo=timezone.utc)
"""No station existed before: a clock that says so has lost its time."""


def _now() -> datetime:
    return datetime.now(timezone.utc)


@dataclass(frozen=True)
class WallClock:
    """``now`` is UTC, ``monotonic`` seconds that only grow; tests put their own in."""

    now: Callable[[], datetime] = _now
    monotonic: Callable[[], float] = time.monotonic

    def stamp(self) -> str:
        """Now, as in the records: ISO 8601 with milliseconds and Z, so that text sorts as time."""
        return stamp(self.now())

    @property
    def plausible(self) -> bool:
        """Whether the clock can be right."""
        return self.now() >= EARLIEST


CLOCK = WallClock()
"""The machine's own."""


def stamp(moment: datetime) -> str:
    """A moment as in the records."""
    return moment.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"
