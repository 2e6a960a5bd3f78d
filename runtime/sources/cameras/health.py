"""Is a camera well? Rules without input or output, so that a test can run them in no time."""

from __future__ import annotations

from dataclasses import dataclass

NOTICED_S = 2.5
"""A camera must be noticed within 3 s: silent, frozen or garbage for this long is a fault."""

_PAUSES_S = (0.5, 1.0, 2.0, 4.0, 5.0)
_WELL_AFTER_S = 10.0


@dataclass(frozen=True)
class Mark:
    """What a frame looks like to the watchdog: equal marks mean equal images; ``flat`` ones have a single colour.

    A covered lens gives flat black images for hours, which is no fault of the camera; flat ``odd`` colours (the
    green of an empty buffer) are.
    """

    print: int
    flat: bool = False
    odd: bool = False


class Health:
    """Judges one opened camera. All times are monotonic seconds."""

    def __init__(self, now: float, frozen_print: int | None = None) -> None:
        self._seen_at = now
        self._changed_at = now
        self._odd_since: float | None = None
        self._bad_since: float | None = None
        self._last: Mark | None = None
        self._frozen_print = frozen_print

    def saw(self, mark: Mark, now: float) -> bool:
        """A frame came. False: do not answer for it, it is the image at which the camera froze before."""
        self._seen_at = now
        if self._last is None or mark.print != self._last.print or mark.flat:
            self._changed_at = now
        self._last = mark
        self._odd_since = (now if self._odd_since is None else self._odd_since) if mark.odd else None
        return mark.print != self._frozen_print

    def refused(self, now: float) -> None:
        """A frame could not be decoded."""
        self._bad_since = now if self._bad_since is None else self._bad_since

    def accepted(self) -> None:
        """A frame was decoded."""
        self._bad_since = None

    @property
    def last_print(self) -> int | None:
        """The print of the newest frame."""
        return None if self._last is None else self._last.print

    @property
    def well_until(self) -> float:
        """When the last good frame came, as far as it is known now."""
        doubts = [since for since in (self._odd_since, self._bad_since) if since is not None]
        return min([self._seen_at, *doubts, *([self._changed_at] if self.frozen(self._seen_at) else [])])

    def frozen(self, now: float) -> bool:
        """Frames come, and all are the same image."""
        return self._seen_at > self._changed_at and now - self._changed_at >= NOTICED_S

    def fault(self, now: float) -> str:
        """What is wrong, in words; empty while all is well."""
        if now - self._seen_at >= NOTICED_S:
            return f"no image for {now - self._seen_at:.1f} s"
        if self.frozen(now):
            return f"frozen: the same image for {now - self._changed_at:.1f} s"
        if now - self.well_until >= NOTICED_S:
            return f"garbage instead of images for {NOTICED_S:.1f} s"
        return ""


class Pauses:
    """How long to wait before opening again: longer each time, from the start again once a camera stayed well."""

    def __init__(self) -> None:
        self._tries = 0

    def next_s(self, was_well_for_s: float) -> float:
        """The next pause, in seconds. ``was_well_for_s``: how long the camera delivered since it was opened last."""
        if was_well_for_s >= _WELL_AFTER_S:
            self._tries = 0
        pause = _PAUSES_S[min(self._tries, len(_PAUSES_S) - 1)]
        self._tries += 1
        return pause
