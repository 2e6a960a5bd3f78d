"""SIGINT and SIGTERM: a run ends in good order, at once while it waits, after the image at hand while it works.

Whatever it hangs in, it has ended after END_S. What can be interrupted is: waiting for input, reading a file, a camera
that does not answer. An output that nobody reads is waited for a while longer and then given up. What is left is a
library that does not return: a thread of its own, to which the kernel's signal comes by a pipe even then, ends the
process.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import NoReturn

END_S = 3.0
"""From the signal to the end of the process: what docs/runtime.md promises."""
PATIENCE_S = 1.0
"""For a pipe or terminal that is full."""
FORCED_S = 2.5
_INTERRUPTED_S = 10.0
_REAP_S = 0.2
_NUMBERS = (signal.SIGINT, signal.SIGTERM)
_told_at: float | None = None
"""When (monotonic, s) this process was asked to end; signals belong to the process, not to a run."""
_interrupted = False


class Stop(BaseException):
    """Raised by the signal handler while the run waits for input; no ``except Exception`` may catch it."""


class Stopper:
    """``reason`` is empty until a signal came; a second signal ends the process at once."""

    def __init__(self) -> None:
        self.reason = ""
        self._waiting = False
        self._listening = False

    @contextlib.contextmanager
    def listening(self, *, to_the_end: bool = False) -> Iterator[None]:
        """Take the signals over; only in the main thread. Inside of another ``listening`` it does nothing.

        ``to_the_end``: after a signal, the process has FORCED_S to end, also what comes after the block.
        """
        if self._listening:
            yield
            return
        guard = _Guard()
        before = {number: signal.signal(number, self._stop) for number in _NUMBERS}
        fd_before = signal.set_wakeup_fd(guard.pipe, warn_on_full_buffer=False)
        self._listening = True
        try:
            yield
        finally:
            self._listening = False
            if not (to_the_end and self.reason):
                signal.set_wakeup_fd(fd_before)
                for number, handler in before.items():
                    signal.signal(number, handler)
                guard.close()
                _tell(None)

    @contextlib.contextmanager
    def waiting(self) -> Iterator[None]:
        """Inside, a signal raises Stop instead of waiting for the end of the image at hand."""
        self._waiting = True
        try:
            if self.reason:
                raise Stop
            yield
        finally:
            self._waiting = False

    def _stop(self, number: int, frame: FrameType | None) -> None:
        if self.reason:  # the guard ends the process
            return
        self.reason = signal.Signals(number).name
        _tell(_told_at or time.monotonic())
        if self._waiting:
            self._waiting = False  # once: the clean-up that follows must not be interrupted again
            raise Stop


@contextlib.contextmanager
def remembering() -> Iterator[None]:
    """Inside, a Ctrl-C raises KeyboardInterrupt as ever, and :func:`interrupted` knows of it. While a library is being
    imported, its C part may turn that into an ImportError of its own (seen with NumPy and OpenVINO)."""
    global _interrupted
    _interrupted = False
    main = threading.current_thread() is threading.main_thread()
    ours = main and signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if ours:
        signal.signal(signal.SIGINT, _remember)
    try:
        yield
    finally:
        if ours:
            signal.signal(signal.SIGINT, signal.default_int_handler)


def _remember(number: int, frame: FrameType | None) -> None:
    global _interrupted
    _interrupted = True
    raise KeyboardInterrupt


def interrupted() -> bool:
    """Whether a Ctrl-C came inside of :func:`remembering`."""
    return _interrupted


def raise_interrupted() -> None:
    """For a library that cannot be imported: raises KeyboardInterrupt if that was why."""
    if _interrupted:
        raise KeyboardInterrupt


@contextlib.contextmanager
def interrupting() -> Iterator[None]:
    """For a command that is no run: SIGTERM raises KeyboardInterrupt as Ctrl-C does, and where that does not end the
    block in time (threads finish what they have begun), the process ends by force. In the main thread only."""
    guard = _Guard(_INTERRUPTED_S)
    before = signal.signal(signal.SIGTERM, _interrupt)
    fd_before = signal.set_wakeup_fd(guard.pipe, warn_on_full_buffer=False)
    try:
        yield
    finally:
        signal.set_wakeup_fd(fd_before)
        signal.signal(signal.SIGTERM, before)
        guard.close()
        _tell(None)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _tell(at: float | None) -> None:
    global _told_at
    _told_at = at


def overdue() -> bool:
    """Whether a signal came so long ago that an output which is full is no longer waited for."""
    return _told_at is not None and time.monotonic() - _told_at > PATIENCE_S


def leave(code: int) -> NoReturn:
    """End the process with ``code``; after a signal without Python's own clean-up, which would wait for a thread that
    hangs in a library."""
    if _told_at is None:
        sys.exit(code)
    _kill_children()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            if _has_room(stream.fileno()):
                stream.flush()
    os._exit(code)


class _Guard:
    """Ends the process ``after_s`` after a signal, or at a second one. ``pipe``: for ``signal.set_wakeup_fd``."""

    def __init__(self, after_s: float = FORCED_S) -> None:
        self._after_s = after_s
        self._read, self.pipe = os.pipe()
        os.set_blocking(self.pipe, False)
        self._thread = threading.Thread(target=self._watch, name="end by force", daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        if not (first := self._next(None)):
            return
        _tell(_told_at or time.monotonic())
        if self._next(self._after_s) == 0:
            return
        _end_by_force(first)

    def _next(self, timeout_s: float | None) -> int | None:
        """The next signal's number; 0 when there will be none any more, None when none came in time."""
        end = None if timeout_s is None else time.monotonic() + timeout_s
        poller = select.poll()
        poller.register(self._read, select.POLLIN)
        while True:
            if not poller.poll(None if end is None else max(0.0, end - time.monotonic()) * 1e3):
                return None
            byte = os.read(self._read, 1)
            if not byte:
                return 0
            if byte[0] in _NUMBERS:
                return byte[0]

    def close(self) -> None:
        """The run has ended: nobody is to be ended any more."""
        os.close(self.pipe)
        self._thread.join()
        os.close(self._read)


def _end_by_force(number: int) -> NoReturn:
    name = signal.Signals(number).name
    _kill_children()
    text = (
        f"error: ended by force after {name}: what this process waited for did not return, or {name} came twice\n"
        "hint: what was written so far is whole; a report or what else comes last is missing\n"
    )
    with contextlib.suppress(OSError):
        if _has_room(2):
            os.write(2, text.encode())
    os._exit(128 + number)


def _kill_children() -> None:
    """Kill this process's children and collect them. Only where there is ``/proc``; elsewhere they see our end."""
    for process in children():
        with contextlib.suppress(OSError):
            os.kill(process, signal.SIGKILL)
    end = time.monotonic() + _REAP_S
    with contextlib.suppress(ChildProcessError):
        while time.monotonic() < end:
            if os.waitpid(-1, os.WNOHANG) == (0, 0):
                time.sleep(0.01)


def children(processes: Path = Path("/proc")) -> list[int]:
    """The ids of this process's children."""
    found = []
    for path in processes.glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            parent = path.read_text(errors="replace").rpartition(")")[2].split()[1]
            if int(parent) == os.getpid():
                found.append(int(path.parent.name))
    return found


def _has_room(handle: int) -> bool:
    poller = select.poll()
    poller.register(handle, select.POLLOUT)
    return bool(poller.poll(0))
