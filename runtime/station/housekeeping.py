"""What must not grow for ever: images and records. Retention trusts the clock only where nothing speaks against it."""

from __future__ import annotations

import contextlib
import math
import shutil
import threading
from dataclasses import dataclass
from datetime import datetime, timedelta

from fieldlens.runtime.station.clock import WallClock, stamp
from fieldlens.runtime.station.records.database import RecordsError
from fieldlens.runtime.station.records.store import Records

EVERY_S = 3600.0
CLOCK = "clock"
_FACT = "clock"
_JUMP = timedelta(minutes=5)
_LONGEST_OFF = timedelta(days=31)
_LOOK_S = 5.0
_MINUTE = "%Y-%m-%d %H:%M"


@dataclass(frozen=True)
class KeepingRules:
    """``images``: keep them at all. ``days``: delete results older than that; 0: never. ``quota_bytes``: of all kept
    images; ``reserve_bytes``: what the disk must have left for anything to be answered."""

    images: bool = False
    days: int = 0
    quota_bytes: int = 10_000_000_000
    reserve_bytes: int = 100_000_000


class Housekeeping:
    """Looks after the records once an hour, by a thread of its own."""

    def __init__(self, records: Records, rules: KeepingRules, clock: WallClock, *, start: bool = True) -> None:
        """``start`` False: nobody looks until :meth:`tidy` is called."""
        self._records, self._rules, self._clock = records, rules, clock
        self._lock = threading.Lock()
        self._looked_at = -math.inf
        self.free_bytes = 0
        self.image_bytes = 0
        self._last: tuple[datetime, float] | None = None
        self._ended = threading.Event()
        self.look()
        self._thread = threading.Thread(target=self._keep_on, name="housekeeping", daemon=True)
        if start:
            self._thread.start()

    @property
    def full(self) -> bool:
        """Whether the disk has too little room left to answer anything."""
        return self.free_bytes < self._rules.reserve_bytes

    def check_room(self) -> bool:
        """Whether an image may be kept now. Raises RecordsError where not even a result may."""
        self.look()
        if self.full:
            raise RecordsError(
                f"the disk has {self.free_bytes / 1e6:.0f} MB left; {self._rules.reserve_bytes / 1e6:.0f} are needed",
                f"make room: df -h '{self._records.folder}'",
            )
        if self._rules.images and self.image_bytes >= self._rules.quota_bytes:
            gigabytes = self._rules.quota_bytes / 1e9
            self._records.notify(
                "image-quota", f"images are no longer kept: they take {gigabytes:g} GB",
                "back them up and shorten --retention-days, or raise --image-quota", self._clock.stamp(),
            )  # fmt: skip
            return False
        return self._rules.images

    def look(self) -> None:
        """At the disk, every few seconds at most."""
        with self._lock:
            now = self._clock.monotonic()
            if now - self._looked_at >= _LOOK_S:
                self._looked_at = now
                self.free_bytes = shutil.disk_usage(self._records.folder).free
                if self._rules.images:
                    self.image_bytes = self._records.image_bytes()

    def _keep_on(self) -> None:
        while True:
            with contextlib.suppress(RecordsError):  # whoever asks next gets the error; it is tried again
                self.tidy()
            if self._ended.wait(EVERY_S):
                return

    def tidy(self) -> int:
        """Delete what is older than retention allows; how many results. Nothing where the clock may be wrong."""
        doubt = self._clock_doubt()
        if doubt:
            hint = "check the clock; nothing is deleted until somebody has seen this"
            self._records.notify(CLOCK, doubt, hint, self._clock.stamp())
            return 0
        now = self._clock.now()
        self._last = (now, self._clock.monotonic())
        self._records.remember(_FACT, stamp(now))
        unseen = any(banner.kind == CLOCK for banner in self._records.banners())
        if not self._rules.days or unseen:
            return 0
        return self._records.forget_before(stamp(now - timedelta(days=self._rules.days)))

    def _clock_doubt(self) -> str:
        """Why the wall clock may be wrong; empty where nothing speaks against it."""
        now = self._clock.now()
        if not self._clock.plausible:
            return f"the clock says {now:%Y-%m-%d}, which cannot be"
        if self._last is not None:
            before, monotonic = self._last
            jump = (now - before) - timedelta(seconds=self._clock.monotonic() - monotonic)
            if abs(jump) > _JUMP:
                self._last = (now, self._clock.monotonic())
                return f"the clock jumped by {jump.total_seconds() / 3600:+.1f} hours while the station ran"
            return ""
        remembered = self._records.fact(_FACT)
        if remembered is None:
            return ""
        before = datetime.fromisoformat(remembered.replace("Z", "+00:00"))
        if now < before - _JUMP:
            return f"the clock says {now:{_MINUTE}}, before the last time this station ran ({before:{_MINUTE}})"
        if now > before + _LONGEST_OFF:
            self._records.remember(_FACT, stamp(now))
            return f"the clock says {now:%Y-%m-%d}, {(now - before).days} days after this station last ran"
        return ""

    def close(self) -> None:
        """End the thread."""
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join(2.0)
