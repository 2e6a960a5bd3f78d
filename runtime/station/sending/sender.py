"""The thread that sends: oldest first, again and again until the receiver has it, with longer and longer pauses."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from fieldlens.runtime.audit.chain import AuditEntry
from fieldlens.runtime.errors import KitError
from fieldlens.runtime.station.clock import WallClock
from fieldlens.runtime.station.records import outbox
from fieldlens.runtime.station.records.database import RecordsError, reading
from fieldlens.runtime.station.records.outbox import Waiting
from fieldlens.runtime.station.records.store import Records
from fieldlens.runtime.station.sending import tus
from fieldlens.runtime.station.sending.package import package_of
from fieldlens.runtime.station.sending.tus import LineError, Receiver, RefusedError

FIRST_PAUSE_S, LONGEST_PAUSE_S = 5.0, 900.0
_LOOK_S = 60.0


@dataclass(frozen=True)
class SendingState:
    """``problem``: why nothing is sent now; empty where all is well."""

    host: str
    waiting: int
    oldest_utc: str
    last_sent_utc: str
    problem: str


def pause_s(failures: int) -> float:
    """After so many failures one after the other: 5 s, doubled up to a quarter of an hour, and a little chance."""
    return min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2.0 ** min(failures - 1, 10)) * random.uniform(0.8, 1.2)


class Sender:
    """Sends what waits in ``records``. Nothing leaves the queue before the receiver has told the package's hash."""

    def __init__(
        self, records: Records, receiver: Receiver, clock: WallClock, *, pause: Callable[[int], float] = pause_s,
        start: bool = True,
    ) -> None:  # fmt: skip
        """``start`` False: nothing is sent until :meth:`run_once` is called."""
        self._records, self._receiver, self._clock, self._pause = records, receiver, clock, pause
        self._ended, self._wake = threading.Event(), threading.Event()
        self._failures, self._problem = 0, ""
        self._later: dict[str, tuple[int, float]] = {}
        """Packages that the receiver did not take: how often, and from when (monotonic) they are tried again."""
        self._thread = threading.Thread(target=self._run, name="sender", daemon=True)
        if start:
            self._thread.start()

    @property
    def state(self) -> SendingState:
        """For the status bar."""
        now = self._records.queue()
        return SendingState(
            self._receiver.host, now.waiting, now.oldest_utc, now.last_sent_utc, self._problem if now.waiting else ""
        )

    def wake(self) -> None:
        """Something was queued: it goes now, unless the line failed just before."""
        if not self._failures:
            self._wake.set()

    def run_once(self) -> float:
        """Send what can be sent; how many seconds to wait before the next time."""
        with reading(self._records.path) as connection:
            waiting = outbox.unsent(connection)
        due = [each for each in waiting if self._later.get(each.result_id, (0, 0.0))[1] <= time.monotonic()]
        for each in due:
            if self._ended.is_set():
                return 0.0
            try:
                self._one(each)
            except LineError as error:
                self._failures, self._problem = self._failures + 1, error.message
                return max(error.wait_s, self._pause(self._failures))
            except (RefusedError, OSError) as error:
                self._put_off(each, error)
        if due and not self._later:
            self._failures, self._problem = 0, ""
        soonest = min((at for _, at in self._later.values()), default=time.monotonic() + _LOOK_S)
        return max(0.0, min(_LOOK_S, soonest - time.monotonic()))

    def _one(self, waiting: Waiting) -> None:
        id = waiting.result_id
        result = self._records.one(id)
        if result is None:  # deleted on request
            self._later.pop(id, None)
            return
        package = package_of(result, self._records.files)

        def began(url: str) -> None:
            self._records.change(lambda connection: outbox.began(connection, id, url, package.sha256))

        same = waiting.sha256 == package.sha256  # a newer program may make other bytes
        tus.send(self._receiver, package, waiting.upload_url if same else "", began)
        self._records.sent(id, self._clock.stamp(), AuditEntry("send", about=id, detail=self._receiver.host))
        self._failures, self._problem = 0, ""
        self._later.pop(id, None)

    def _put_off(self, waiting: Waiting, error: RefusedError | OSError) -> None:
        """This one later; others may go."""
        times = self._later.get(waiting.result_id, (0, 0.0))[0] + 1
        self._later[waiting.result_id] = (times, time.monotonic() + self._pause(times))
        self._problem = error.message if isinstance(error, KitError) else f"an image cannot be read ({error})"

    def _run(self) -> None:
        while not self._ended.is_set():
            try:
                wait_s = self.run_once()
            except RecordsError as error:  # the disk is full: the page says so, too
                wait_s, self._problem = self._pause(1), error.message
            self._wake.wait(wait_s)
            self._wake.clear()

    def close(self) -> None:
        """End the thread; an upload that has begun goes on after the next start."""
        self._ended.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(5.0)
