"""A classification run: sources → classifier → sinks, until the input ends, a limit is reached or somebody stops it."""

from __future__ import annotations

import signal
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType
from typing import Any

from runtime.classifier import Answered, Classifier
from runtime.errors import EXIT_OK, EXIT_REFUSED, EXIT_SOME_INPUTS_BAD, ImageError, KitError
from runtime.latency import LatencyLog
from runtime.output import Sink
from runtime.overlay import OverlaySink
from runtime.prediction import Failure
from runtime.sources import Item, Sources

_KEPT_FAILURES = 1000


class _Stop(BaseException):
    """Raised by the signal handler while the run waits for input; no ``except Exception`` may catch it."""


@dataclass
class RunLog:
    """What a run was: counts, latency, failures, and how it ended."""

    latency: LatencyLog = field(default_factory=LatencyLog)
    outcomes: Counter[str] = field(default_factory=Counter)
    failures: list[Failure] = field(default_factory=list)
    failed: int = 0
    dropped: int = 0
    seconds: float = 0.0
    ended_by: str = "end of input"
    notes: list[str] = field(default_factory=list)

    @property
    def answered(self) -> int:
        """Pictures that were classified (``retake`` is an answer)."""
        return sum(self.outcomes.values())

    @property
    def per_second(self) -> float:
        """Pictures a second over the whole run."""
        return self.answered / self.seconds if self.seconds else 0.0

    def exit_code(self) -> int:
        """0, or 3 with some bad inputs, or 2 where all were bad."""
        if not self.failed:
            return EXIT_OK
        return EXIT_SOME_INPUTS_BAD if self.answered else EXIT_REFUSED

    def to_json(self) -> dict[str, Any]:
        """For the report."""
        return {
            "pictures": self.answered,
            "failed": self.failed,
            "frames_dropped": self.dropped,
            "seconds": self.seconds,
            "pictures_per_second": self.per_second,
            "ended_by": self.ended_by,
            "outcomes": dict(self.outcomes),
            "latency_ms": self.latency.summary(),
            "histogram_total_ms": self.latency.stages["total"].coarse(),
            "time_line": self.latency.line.points,
            "failures": [failure.__dict__ for failure in self.failures],
            "notes": self.notes,
        }


class Run:
    """One run. ``limit`` pictures at most, ``duration_s`` seconds at most; None: no bound."""

    def __init__(
        self,
        classifier: Classifier,
        sinks: list[Sink],
        overlays: OverlaySink | None = None,
        limit: int | None = None,
        duration_s: float | None = None,
    ) -> None:
        self._classifier = classifier
        self._sinks = sinks
        self._overlays = overlays
        self._limit = limit
        self._duration_s = duration_s
        self._stopped_by = ""
        self._waiting = False
        self.log = RunLog()

    def __call__(self, sources: Sources) -> RunLog:
        """Run to the end. A camera that fails ends the run with its note; sinks are left to the caller to close."""
        began = time.monotonic()
        with self._signals():
            try:
                for item in self._items(iter(sources)):
                    self._take(item, time.monotonic() - began)
                    if reason := self._finished(time.monotonic() - began):
                        self.log.ended_by = reason
                        break
            except _Stop:
                self.log.ended_by = self._stopped_by
        self.log.seconds = time.monotonic() - began
        self.log.dropped = sources.dropped
        self.log.notes += sources.notes
        return self.log

    def _items(self, items: Iterator[Item]) -> Iterator[Item]:
        """Items, with the wait for each open to signals; a source's own failure becomes an item."""
        try:
            while True:
                self._waiting = True
                try:
                    item = next(items, None)
                except KitError as error:
                    item = Item("source", error=error)
                finally:
                    self._waiting = False
                if item is None:
                    return
                yield item
        finally:
            if hasattr(items, "close"):
                items.close()  # now, and not when the garbage collector comes by: cameras count their drops here

    def _take(self, item: Item, second: float) -> None:
        """Classify one item and hand the result on."""
        try:
            if item.error is not None:
                raise item.error
            answered = self._classify(item)
        except KitError as error:
            self._fail(Failure(item.source, error.message))
            return
        prediction = answered.prediction
        self.log.latency.add(second, prediction.latency_ms)
        self.log.outcomes[str(prediction.outcome)] += 1
        for sink in self._sinks:
            sink.write(prediction)
        if self._overlays is not None:
            self._overlays.picture(answered)

    def _classify(self, item: Item) -> Answered:
        if item.data is not None:
            return self._classifier.classify_bytes(item.data, item.source, item.acquired_ms)
        if item.frame_bgr is None:
            raise ImageError(f"{item.source}: no picture", "check the source")
        return self._classifier.classify_frame(item.frame_bgr, item.source, item.acquired_ms)

    def _fail(self, failure: Failure) -> None:
        self.log.failed += 1
        if len(self.log.failures) < _KEPT_FAILURES:
            self.log.failures.append(failure)
        for sink in self._sinks:
            sink.write(failure)

    def _finished(self, elapsed_s: float) -> str:
        """Why to stop now, or an empty string."""
        if self._stopped_by:
            return self._stopped_by
        if self._limit is not None and self.log.answered + self.log.failed >= self._limit:
            return f"--limit {self._limit}"
        if self._duration_s is not None and elapsed_s >= self._duration_s:
            return f"--duration {self._duration_s:g}"
        return ""

    @contextmanager
    def _signals(self) -> Iterator[None]:
        """SIGINT and SIGTERM end the run after the picture at hand; a second one ends the process at once."""

        def stop(number: int, frame: FrameType | None) -> None:
            if self._stopped_by:
                raise KeyboardInterrupt
            self._stopped_by = signal.Signals(number).name
            if self._waiting:
                raise _Stop

        before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
