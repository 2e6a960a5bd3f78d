"""What keeps the service running where there is no systemd: a container, a test, a laptop that plays a device.

The same promises as the units in ``deploy/``: recovery before each start, a new start after a crash (with a pause that
grows), and recovery of an update whose updater died while the service goes on.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

from fieldlens.runtime.errors import KitError
from fieldlens.runtime.files import atomic
from fieldlens.runtime.files.locks import taken
from fieldlens.runtime.updating.layout import DeviceFolders

_LOOK_EVERY_S = 0.1
_END_S = 15.0
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.2, 10.0
_STEADY_S = 30.0
_START_S = 20.0
_RECOVERY_S = 120.0
LOG_BYTES = 5_000_000
_PR_SET_PDEATHSIG = 1
"""prctl(2)."""


def _lock(layout: DeviceFolders) -> Path:
    return layout.run / "supervisor.lock"


def _generation(layout: DeviceFolders) -> Path:
    """How often the service was started, and by which process: ``COUNT PID``."""
    return layout.run / "service"


def supervise(layout: DeviceFolders) -> int:
    """Keep the service running until SIGTERM or SIGINT; SIGHUP starts it again. Raises KitError."""
    try:
        for folder in (layout.run, layout.log.parent):
            atomic.make_folder(folder, atomic.PUBLIC_FOLDER)
        handle = taken(_lock(layout))
    except BlockingIOError:
        raise KitError(f"a supervisor runs already in {layout.root}", "one is enough") from None
    os.ftruncate(handle, 0)
    os.write(handle, str(os.getpid()).encode())
    return _Supervisor(layout).run()


class _Supervisor:
    def __init__(self, layout: DeviceFolders) -> None:
        self._layout = layout
        self._child: subprocess.Popen[bytes] | None = None
        self._asked: list[int] = []
        self._count = 0
        self._ended: tuple[int, int] | None = None
        self._pause_s, self._next_at, self._began_at = _FIRST_PAUSE_S, 0.0, 0.0

    def run(self) -> int:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, lambda got, _: self._asked.append(got))
        while True:
            while self._asked:
                if self._asked.pop(0) != signal.SIGHUP:
                    self._stop()
                    return 0
                self._stop()
                self._next_at = 0.0
            self._look()
            time.sleep(_LOOK_EVERY_S)

    def _look(self) -> None:
        self._bound_log()
        if self._child is not None and self._child.poll() is not None:
            steady = time.monotonic() - self._began_at > _STEADY_S
            self._pause_s = _FIRST_PAUSE_S if steady else min(2 * self._pause_s, _LONGEST_PAUSE_S)
            self._next_at, self._child = time.monotonic() + self._pause_s, None
        if self._child is not None and self._interrupted():
            self._stop()
            self._next_at = 0.0
        if self._child is None and time.monotonic() >= self._next_at:
            self._start()

    def _interrupted(self) -> bool:
        """A marker without a living updater: the service may hold a version that nobody has called good.

        One start ends it, and takes its time: the same marker is no reason for another one so soon.
        """
        try:
            found = self._layout.pending.stat()
        except OSError:
            return False
        marker = (found.st_ino, found.st_mtime_ns)
        if marker == self._ended and time.monotonic() - self._began_at < _RECOVERY_S:
            return False
        try:
            os.close(taken(self._layout.lock))
        except OSError:
            return False
        if not self._layout.pending.exists():
            return False
        self._ended = marker
        return True

    def _bound_log(self) -> None:
        """Keep the end of a log that has grown too large as the old one. The service writes on into the same file,
        always at its end, so it is emptied and not renamed."""
        log = self._layout.log
        with contextlib.suppress(OSError):
            if log.stat().st_size > LOG_BYTES:
                shutil.copyfile(log, log.with_suffix(".log.1"))
                os.truncate(log, 0)

    def _start(self) -> None:
        log = self._layout.log
        command = [sys.executable, "-m", "fieldlens", "device", "run", "--root", str(self._layout.root)]
        with log.open("ab") as file:
            self._child = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=file, stderr=file, start_new_session=True,
                preexec_fn=_die_with_us,
            )  # fmt: skip
        self._count += 1
        self._began_at = time.monotonic()
        atomic.write_text(_generation(self._layout), f"{self._count} {self._child.pid}\n", atomic.PUBLIC)

    def _stop(self) -> None:
        if self._child is None:
            return
        self._child.terminate()
        try:
            self._child.wait(_END_S)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()
        self._child = None


def _die_with_us() -> None:
    """In the child: whatever ends the supervisor ends the service, so that the next one finds its port free."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def supervisor_pid(layout: DeviceFolders) -> int | None:
    """The process that supervises; None where none does."""
    try:
        os.close(taken(_lock(layout)))
    except BlockingIOError:
        with contextlib.suppress(OSError, ValueError):
            return int(_lock(layout).read_text())
    except OSError:
        return None
    return None


def restart(layout: DeviceFolders) -> None:
    """Start the service again, or the supervisor where none runs; back when the process is there. Raises KitError."""
    before = _started(layout)
    pid = supervisor_pid(layout)
    if pid is not None:
        os.kill(pid, signal.SIGHUP)
    else:
        _begin(layout)
    end = time.monotonic() + _START_S + _END_S
    while time.monotonic() < end:
        if _started(layout) not in ("", before):
            return
        time.sleep(_LOOK_EVERY_S)
    raise KitError("the supervisor did not start the service", f"see {layout.log}")


def stop(layout: DeviceFolders) -> None:
    """End the service and its supervisor; nothing where none runs."""
    pid = supervisor_pid(layout)
    if pid is None:
        return
    os.kill(pid, signal.SIGTERM)
    end = time.monotonic() + _START_S + _END_S
    while supervisor_pid(layout) is not None:
        if time.monotonic() > end:
            raise KitError(f"the supervisor (process {pid}) does not end", f"kill -9 {pid}")
        time.sleep(_LOOK_EVERY_S)


def _begin(layout: DeviceFolders) -> None:
    atomic.make_folder(layout.log.parent, atomic.PUBLIC_FOLDER)
    command = [sys.executable, "-m", "fieldlens", "device", "supervise", "--root", str(layout.root)]
    with layout.log.open("ab") as file:
        started = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=file, stderr=file, start_new_session=True)
    threading.Thread(target=started.wait, daemon=True).start()  # it may outlive us; if not, nothing of it stays behind


def _started(layout: DeviceFolders) -> str:
    with contextlib.suppress(OSError):
        return _generation(layout).read_text()
    return ""
