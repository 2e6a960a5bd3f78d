"""Signs of life of a run: to systemd, and into a small file for whoever looks after the device (``--heartbeat``)."""

from __future__ import annotations

import contextlib
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fieldlens.runtime.errors import KitError
from fieldlens.runtime.files import atomic, records
from fieldlens.runtime.running.notify import Notifier

if TYPE_CHECKING:
    from fieldlens.runtime.prediction import AnswerOrigin
    from fieldlens.runtime.running.run import RunLog

EVERY_S = 1.0


@dataclass(frozen=True)
class HeartbeatRecord:
    """One moment of a run. Names no image and no patient.

    ``began_s``, ``beat_s`` and ``last_image_s`` are seconds since this machine started (CLOCK_BOOTTIME), so that a
    clock that is set in between changes nothing. ``camera``: ``none``, ``opening``, ``live`` or ``lost``.
    """

    pid: int
    bundle_hash: str
    backend: str
    precision: str
    began_s: float
    beat_s: float
    answered: int
    failed: int
    last_image_s: float | None
    camera: str
    latency_p95_ms: float | None


def boot_s() -> float:
    """Seconds since the machine started, standby included."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


def read_heartbeat(path: Path) -> HeartbeatRecord | None:
    """What a run left last; None where there is no file. Raises KitError for one that cannot be read."""
    if not path.exists():
        return None
    return records.read_file(HeartbeatRecord, path, KitError, "it is the service user's: look as root")


class LifeSigns:
    """``ready`` once, then ``beat`` as often as you like: both are cheap. ``path`` None: only systemd is told.

    The file goes when the run ends in good order. Where it cannot be written, the run goes on and says so.
    """

    def __init__(self, path: Path | None, origin: AnswerOrigin) -> None:
        self._path, self._origin, self._notifier = path, origin, Notifier()
        self._log: RunLog | None = None
        self._last_image_s: float | None = None
        self._began_s, self._written_s, self._images, self._refused = boot_s(), -EVERY_S, 0, False

    def ready(self, status: str, log: RunLog) -> None:
        """The model is loaded and the run begins."""
        self._log = log
        self._notifier.ready(status)
        self._write()

    def beat(self) -> None:
        """The run moves on."""
        self._notifier.beat()
        if boot_s() - self._written_s >= EVERY_S:
            self._write()

    def _write(self) -> None:
        if self._path is None or self._log is None:
            return
        self._written_s = now = boot_s()
        log, total = self._log, self._log.latency.stages["total"]
        if log.answered + log.failed > self._images:
            self._images, self._last_image_s = log.answered + log.failed, now
        record = HeartbeatRecord(
            os.getpid(), self._origin.bundle_hash, self._origin.backend, self._origin.precision, self._began_s, now,
            log.answered, log.failed, self._last_image_s, _camera(log), total.percentile(95.0) if total.count else None,
        )  # fmt: skip
        try:
            atomic.write_json(self._path, asdict(record))
        except OSError as error:
            if not self._refused:
                log.notes.append(f"--heartbeat {self._path}: it cannot be written ({error.strerror or error})")
            self._refused = True

    def close(self) -> None:
        """Say that the run ends."""
        self._notifier.close()
        if self._path is not None:
            with contextlib.suppress(OSError):
                self._path.unlink(missing_ok=True)


def _camera(log: RunLog) -> str:
    """Of the last one that was opened."""
    if not log.cameras:
        return "none"
    camera = log.cameras[-1]
    if camera.lost > camera.reopened:
        return "lost"
    return "live" if camera.captured else "opening"
