"""What TensorRT calls back or hands over while it works: its log, its progress, its parser's errors.

The classes are made when they are needed, because their bases exist only where TensorRT is installed.
"""

from __future__ import annotations

import contextlib
import signal
import threading
from collections import deque
from collections.abc import Iterator
from typing import Any, Protocol


class BuildWatcher(Protocol):
    """Who wants to know how far a build is. ``step`` answers whether to go on."""

    def phase(self, name: str, parent: str | None, steps: int) -> None: ...
    def step(self, name: str, step: int) -> bool: ...
    def finish(self, name: str) -> None: ...


def keeping_logger(trt: Any, lines: deque[str]) -> Any:
    """A logger that keeps warnings and errors. The class is made here because its base exists only here."""

    def log(self: Any, severity: Any, message: str) -> None:
        if severity in worth:
            lines.append(f"{severity.name}: {message}")

    severities = trt.ILogger.Severity
    worth = (severities.INTERNAL_ERROR, severities.ERROR, severities.WARNING)
    return type("KeepingLogger", (trt.ILogger,), {"__init__": lambda self: trt.ILogger.__init__(self), "log": log})()


@contextlib.contextmanager
def held_back_interrupt() -> Iterator[threading.Event]:
    """Ctrl-C sets the event instead of raising: TensorRT calls back from C++, where an exception ends the process."""
    seen = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield seen
        return
    before = signal.signal(signal.SIGINT, lambda *_: seen.set())
    try:
        yield seen
    finally:
        signal.signal(signal.SIGINT, before)


def progress_monitor(trt: Any, progress: BuildWatcher, interrupted: threading.Event) -> Any:
    """Hands TensorRT's calls on, and ends the build once it is interrupted."""
    methods = {
        "__init__": lambda self: trt.IProgressMonitor.__init__(self),
        "phase_start": lambda _, phase_name, parent_phase, num_steps: progress.phase(
            phase_name, parent_phase, num_steps
        ),
        "step_complete": lambda _, phase_name, step: progress.step(phase_name, step) and not interrupted.is_set(),
        "phase_finish": lambda _, phase_name: progress.finish(phase_name),
    }
    return type("Monitor", (trt.IProgressMonitor,), methods)()


def parser_error(error: Any) -> str:
    """All that the parser tells; newer versions name the node and its operator."""
    place = f"{error.file()}:{error.line()} in {error.func()}"
    names = [str(getattr(error, name)()) for name in ("node_name", "node_operator") if hasattr(error, name)]
    node = f"node {error.node()}" + (f" ({', '.join(names)})" if any(names) else "")
    return f"{node}: {error.desc()} [{place}]"
