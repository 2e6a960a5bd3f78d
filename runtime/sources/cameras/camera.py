"""A camera that stays fresh and alive: only the newest frame is kept, and a fault is noticed and fixed.

A thread reads the opened camera (a *link*: a connection, or a process that can be killed), judges it, and opens it
again after growing pauses. The consumer takes the newest frame, or the news that the camera is gone or back.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Any

from fieldlens.runtime.errors import SourceError
from fieldlens.runtime.prediction import Notice
from fieldlens.runtime.sources.cameras.address import Address
from fieldlens.runtime.sources.cameras.health import Health, Pauses
from fieldlens.runtime.sources.cameras.link import Link, Shot
from fieldlens.runtime.sources.item import Encoded, Frame, News

_KEPT_OUTAGES = 100
_READ_S = 0.25
_END_S = 1.0
"""Of waiting for the reading thread: one that hangs in a library is left behind, and ends with the process."""


@dataclass
class CameraLog:
    """What a camera did during a run. ``outages``, the last 100, are ``(second of the run, seconds, reason)``."""

    name: str
    captured: int = 0
    taken: int = 0
    refused: int = 0
    lost: int = 0
    reopened: int = 0
    down_s: float = 0.0
    outages: deque[tuple[float, float, str]] = field(default_factory=lambda: deque(maxlen=_KEPT_OUTAGES))

    @property
    def dropped(self) -> int:
        """Frames that nobody looked at, because a newer one was there."""
        return max(0, self.captured - self.taken)

    def to_json(self) -> dict[str, Any]:
        """For the report."""
        keys = ("second", "seconds", "reason")
        return {
            "name": self.name,
            "frames_captured": self.captured,
            "frames_taken": self.taken,
            "frames_dropped": self.dropped,
            "frames_refused": self.refused,
            "times_lost": self.lost,
            "times_reopened": self.reopened,
            "seconds_without_pictures": round(self.down_s, 2),
            "outages": [dict(zip(keys, outage, strict=True)) for outage in self.outages],
        }

    def __str__(self) -> str:
        text = f"{self.name}: {self.captured} frames captured, {self.taken} looked at, {self.dropped} dropped"
        if self.refused:
            text += f", {self.refused} not readable"
        if self.lost:
            text += f"; lost {_times(self.lost)} for {self.down_s:.1f} s in all, recovered {_times(self.reopened)}"
        return text


class Camera:
    """A camera that gives images. Raises SourceError where it gives none at first; afterwards it only gives notice.

    ``open_link`` opens the camera and may take seconds; it is called by the reading thread.
    """

    def __init__(self, address: Address, open_link: Callable[[Address], Link]) -> None:
        self.log = CameraLog(address.name)
        self._address = address
        self._open_link = open_link
        self._began = time.monotonic()
        self._changed = threading.Condition()
        self._newest: Shot | None = None
        self._taken: Shot | None = None
        self._notices: deque[Notice] = deque(maxlen=_KEPT_OUTAGES)
        self._health = Health(self._began)
        self._link: Link | None = None
        self._before = 0  # frames that earlier links counted
        self._opened = threading.Event()
        self._first_error: Exception | None = None
        self._bug: Exception | None = None
        self._stopped = threading.Event()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._live, name=f"camera {address.name}", daemon=True)
        try:
            self._thread.start()
            self._opened.wait()
        except BaseException:  # a signal ends the wait
            self.close()
            raise
        if self._first_error is not None:
            raise self._first_error

    # ---------------------------------------------------------------- the reading thread

    def _live(self) -> None:
        try:
            self._keep_alive()
        except Exception as error:  # noqa: BLE001  (a bug of ours: the consumer raises it, in its own thread)
            self._bug = self._first_error = error
            self._opened.set()
        finally:
            self._ended.set()

    def _keep_alive(self) -> None:
        pauses, lost_at, frozen = Pauses(), 0.0, None
        while not self._stopped.is_set():
            opened = time.monotonic()
            delivered, reason = self._one_link(frozen, lost_at)
            frozen = self._health.last_print if reason.startswith("frozen") else frozen
            if self._first_error is not None or self._stopped.is_set():
                return
            if delivered or not lost_at:
                lost_at = self._gone(reason)
            self._stopped.wait(pauses.next_s(time.monotonic() - opened if delivered else 0.0))

    def _one_link(self, frozen: int | None, lost_at: float) -> tuple[bool, str]:
        """Open, read until something is wrong, close. Whether a frame came, and what was wrong."""
        delivered = False
        try:
            self._link = self._open_link(self._address)
            self._health = Health(time.monotonic(), frozen)
            while not self._stopped.is_set():
                shot = self._link.read(_READ_S)
                if self._link.opening:
                    self._health = Health(time.monotonic(), frozen)
                elif shot is not None and self._publish(shot) and not delivered:
                    delivered = True
                    self._back(lost_at)
                if reason := self._health.fault(time.monotonic()):
                    raise SourceError(f"{self._address.name}: {reason}", "look at the camera and its cable")
            return delivered, ""
        except SourceError as error:
            if not self._opened.is_set():
                self._first_error = error
                self._opened.set()
            return delivered, error.message.removeprefix(f"{self._address.name}: ")
        finally:
            link, self._link = self._link, None
            self._before = self.log.captured
            if link is not None:
                link.close()

    def _publish(self, shot: Shot) -> bool:
        """Make it the newest frame, unless it is the image at which the camera froze."""
        fresh = self._health.saw(shot.mark, time.monotonic())
        old: Shot | None = shot
        with self._changed:
            self.log.captured = self._before + shot.number
            if fresh:
                old, self._newest = self._newest, shot
                self._changed.notify_all()
        if old is not None:
            old.release()
        return fresh

    def _gone(self, reason: str) -> float:
        """Write an outage down; its beginning, which is the last good image, and not its being noticed."""
        since = self._health.well_until
        with self._changed:
            old, self._newest = self._newest, None  # what is left over is from before the fault
            self.log.lost += 1
            self.log.outages.append((since - self._began, 0.0, reason))
            self._notices.append(Notice(self._address.name, "lost", f"camera lost: {reason}; opening it again"))
            self._changed.notify_all()
        if old is not None:
            old.release()
        return since

    def _back(self, lost_at: float) -> None:
        """The first image is here, for the first time or again."""
        self._opened.set()
        if not lost_at:
            return
        away = time.monotonic() - lost_at
        with self._changed:
            self.log.reopened += 1
            self.log.down_s += away
            second, _, reason = self.log.outages.pop()
            self.log.outages.append((second, away, reason))
            text = f"camera back after {away:.1f} s"
            self._notices.append(Notice(self._address.name, "recovered", text, away))
            self._changed.notify_all()

    # ---------------------------------------------------------------- the consumer

    def take(self, timeout_s: float) -> Encoded | Frame | News | None:
        """The newest frame that was not taken yet, or news of the camera, or None when neither came in time.

        A frame is valid until the next call. Taking the next one means that the one before was readable, unless its
        ``refuse`` said otherwise.
        """
        self._give_back(accepted=True)
        if self._bug is not None:
            raise self._bug
        with self._changed:
            self._changed.wait_for(lambda: self._newest is not None or self._notices, timeout_s)
            if self._notices:
                return News(self._notices.popleft())
            shot, self._newest = self._newest, None
            self._taken = shot
            self.log.taken += shot is not None
            return None if shot is None else replace(shot.image, refuse=self._refuse)

    def _refuse(self) -> None:
        """The frame taken last could not be decoded."""
        self.log.refused += 1
        self._health.refused(time.monotonic())
        self._give_back(accepted=False)

    def _give_back(self, *, accepted: bool) -> None:
        shot, self._taken = self._taken, None
        if shot is not None:
            if accepted:
                self._health.accepted()
            shot.release()

    def close(self) -> None:
        """End the reading, also a read that hangs."""
        self._stopped.set()
        link = self._link
        if link is not None:
            link.interrupt()
        self._ended.wait(_END_S)  # not join, which refuses a thread that a signal met at its start
        if self.log.lost > self.log.reopened and self.log.outages:
            second, _, reason = self.log.outages.pop()
            away = time.monotonic() - self._began - second
            self.log.down_s += away
            self.log.outages.append((second, away, reason))

    def __enter__(self) -> Camera:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"
