"""How far a long build is: a real share where TensorRT tells it (10.0 and later), else the time it has taken so far."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import TextIO

_EVERY_S = 10.0
_EVERY_ON_TERMINAL_S = 0.5


class BuildProgress:
    """Written to ``out`` (None: nowhere) while a ``with`` block runs. TensorRT calls ``phase``, ``step`` and ``finish``
    from its own threads."""

    def __init__(
        self, what: str, out: TextIO | None = None, clock: Callable[[], float] = time.monotonic, every_s: float = 0.0,
        last_s: float | None = None,
    ) -> None:  # fmt: skip
        """``last_s``: how long the same build took on this device the last time; None: not known."""
        self._last_s = last_s
        self._what, self._out, self._clock = what, out, clock
        self._terminal = out is not None and out.isatty()
        self._every_s = every_s or (_EVERY_ON_TERMINAL_S if self._terminal else _EVERY_S)
        self._phases: dict[str, tuple[int, int]] = {}
        self._lock = threading.Lock()
        self._done = threading.Event()
        self._ticker = threading.Thread(target=self._tick, daemon=True)
        self._start = clock()

    def __enter__(self) -> BuildProgress:
        self._start = self._clock()
        expected = "this takes seconds on a large GPU, several minutes on a small device"
        if self._last_s is not None:
            expected = f"the last time this took {self._last_s:.0f} s on this device"
        self._print(f"{self._what}: {expected}")
        self._ticker.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._done.set()
        self._ticker.join()
        self._print(f"{self._what}: {'ended' if error is None else 'given up'} after {self.seconds:.0f} s", last=True)

    @property
    def seconds(self) -> float:
        """Since the block began."""
        return self._clock() - self._start

    def phase(self, name: str, parent: str | None, steps: int) -> None:
        """A phase of ``steps`` steps begins; inner phases have a parent."""
        with self._lock:
            self._phases[name] = (0, max(int(steps), 1))

    def step(self, name: str, step: int) -> bool:
        """One step is done. Always answers "go on"."""
        with self._lock:
            if name in self._phases:
                self._phases[name] = (int(step) + 1, self._phases[name][1])
        return True

    def finish(self, name: str) -> None:
        """A phase is over."""
        with self._lock:
            self._phases.pop(name, None)

    def line(self) -> str:
        """The outermost phase's share with the innermost's name, else the elapsed time."""
        with self._lock:
            phases = list(self._phases.items())
        if not phases:
            last = f" (the last time: {self._last_s:.0f} s)" if self._last_s is not None else ""
            return f"{self._what}: {self.seconds:.0f} s so far{last}"
        share = 0.0
        for _, (done, steps) in reversed(phases):  # each inner phase is a part of one step of the outer one
            share = min((done + share) / steps, 1.0)
        return f"{self._what}: {share:.0%} ({phases[-1][0]}), {self.seconds:.0f} s so far"

    def _tick(self) -> None:
        while not self._done.wait(self._every_s):
            self._print(self.line())

    def _print(self, text: str, last: bool = False) -> None:
        if self._out is None:
            return
        if self._terminal and not last:
            self._out.write(f"\r\033[K{text}")
        else:
            self._out.write(("\r\033[K" if self._terminal else "") + text + "\n")
        self._out.flush()
