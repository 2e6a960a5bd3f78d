"""How far long work is, and how long it will take if it goes on like this."""

from __future__ import annotations

import time


class Pace:
    """Equal pieces of work: count ``done`` up, and read ``left``."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.done = 0
        self._began_s = time.perf_counter()

    @property
    def left_s(self) -> float | None:
        """Seconds that the rest will take at the pace so far; None before anything is done."""
        if not self.done:
            return None
        return (time.perf_counter() - self._began_s) / self.done * max(0, self.total - self.done)

    @property
    def left(self) -> str:
        """The same for people: ``about 40 s left``."""
        seconds = self.left_s
        if seconds is None:
            return "time left not known yet"
        return f"about {duration(seconds)} left" if seconds >= 0.5 else "done"


def duration(seconds: float) -> str:
    """``40 s``, ``3 min``, ``2 h 10 min``: as exactly as an estimate can be."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"
