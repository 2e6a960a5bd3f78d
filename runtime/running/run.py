"""A classification run: sources → classifier → sinks, until the input ends, a limit is reached or somebody stops it."""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Protocol, TypeVar, cast

from fieldlens.runtime.backends.golden_check import GoldenCheck, GoldenCheckFailed
from fieldlens.runtime.classifier import Classifier
from fieldlens.runtime.errors import (
    EXIT_OK,
    EXIT_REFUSED,
    EXIT_SOME_INPUTS_BAD,
    OutputError,
)
from fieldlens.runtime.output.sinks import Sink
from fieldlens.runtime.prediction import Failure, Notice, Prediction
from fieldlens.runtime.prepare import Prepared
from fieldlens.runtime.running.latency import LatencyLog
from fieldlens.runtime.running.ready import Plan, Ready, answer_ready, plan_for, ready_items
from fieldlens.runtime.sources.cameras.camera import CameraLog
from fieldlens.runtime.sources.inputs import Sources
from fieldlens.runtime.sources.item import Broken, News
from fieldlens.runtime.stopping import Stop, Stopper

END_OF_INPUT = "end of input"
_KEPT_FAILURES = 1000
_END = object()
T = TypeVar("T")


@dataclass
class RunLog:
    """What a run was: counts, latency, failures, and how it ended."""

    latency: LatencyLog = field(default_factory=LatencyLog)
    outcomes: Counter[str] = field(default_factory=Counter)
    failures: list[Failure] = field(default_factory=list)
    failed: int = 0
    dropped: int = 0
    seconds: float = 0.0
    ended_by: str = END_OF_INPUT
    notes: list[str] = field(default_factory=list)
    cameras: list[CameraLog] = field(default_factory=list)
    broken: OutputError | GoldenCheckFailed | None = None
    golden_check: GoldenCheck | None = None
    """The last one that passed; None with the fake backend."""
    golden_repeats: int = 0
    """How often it was repeated after the start."""
    workers: int = 0
    """Threads that worked ahead; 0: none."""
    lanes: int = 0
    """Images that were answered at a time, each on a core of its own; 0: one after the other, on all cores."""

    @property
    def sharing(self) -> int:
        """Workers that prepared images for one network; 0 where there were none, or each ran the network itself."""
        return 0 if self.lanes else self.workers

    @property
    def answered(self) -> int:
        """Images that were classified (``retake`` is an answer)."""
        return sum(self.outcomes.values())

    @property
    def per_second(self) -> float:
        """Images a second over the whole run."""
        return self.answered / self.seconds if self.seconds else 0.0

    def exit_code(self) -> int:
        """0, or 3 with some bad inputs, or 2 where all were bad."""
        if not self.failed:
            return EXIT_OK
        return EXIT_SOME_INPUTS_BAD if self.answered else EXIT_REFUSED

    def to_json(self) -> dict[str, Any]:
        """For the report."""
        return {
            "images": self.answered,
            "failed": self.failed,
            "frames_dropped": self.dropped,
            "seconds": self.seconds,
            "images_per_second": self.per_second,
            "ended_by": self.ended_by,
            "outcomes": dict(self.outcomes),
            "latency_ms": self.latency.summary(),
            "intervals_total_ms": self.latency.intervals(),
            "jitter_ms": self.latency.jitter_ms,
            "histogram_total_ms": self.latency.stages["total"].coarse(),
            "time_line": self.latency.line.to_json(),
            "cameras": [camera.to_json() for camera in self.cameras],
            "golden_check": asdict(self.golden_check) if self.golden_check else None,
            "golden_repeats": self.golden_repeats,
            "workers": self.workers,
            "lanes": self.lanes,
            "failures": [failure.__dict__ for failure in self.failures],
            "notes": self.notes,
        }


class Drawn(Protocol):
    """Takes answers with their images."""

    def picture(self, prediction: Prediction, prepared: Prepared) -> object:
        """One answer, and its image, which is valid until this returns."""


class View(Protocol):
    """Somebody who watches the run live."""

    closed: bool

    def picture(self, prediction: Prediction, prepared: Prepared, status: str) -> None:
        """One answer; ``status`` is a few words about latency and drops."""

    def failure(self, failure: Failure) -> None:
        """An input gave no answer."""

    def notice(self, notice: Notice) -> None:
        """News of the camera."""

    def idle(self) -> None:
        """Nothing came for a while."""


class ClassificationRun:
    """One run. ``limit`` images at most, ``duration_s`` seconds at most; None: no bound.

    ``workers`` threads work on files and video frames ahead (:class:`Plan`); 0: one after the other, and None: what is
    fastest (:func:`plan_for`). A camera's frames are never
    prepared ahead, since they would be old by the time they are answered. ``beat`` is called at least
    twice a second as long as the run is alive. Where golden images fail, the run ends and ``log.broken`` says why.
    """

    def __init__(
        self,
        classifier: Classifier,
        sinks: list[Sink],
        drawn: Sequence[Drawn] = (),
        limit: int | None = None,
        duration_s: float | None = None,
        *,
        workers: int | None = 0,
        view: View | None = None,
        beat: Callable[[], None] = lambda: None,
        stopper: Stopper | None = None,
    ) -> None:
        self._classifier = classifier
        self._sinks = sinks
        self._drawn = drawn
        self._limit = limit
        self._duration_s = duration_s
        self._plan = Plan(workers or 0, say=self._say)
        self._fastest = workers is None
        self._view = view
        self._beat = beat
        self._stopper = stopper or Stopper()
        self._sources: Sources | None = None
        self.log = RunLog()

    def __call__(self, sources: Sources) -> RunLog:
        """Run to the end. Sinks are left to the caller to close; one that fails ends the run (``log.broken``)."""
        began = time.monotonic()
        self.log.cameras = sources.cameras
        self._sources = sources
        if self._fastest:
            alone = self._view is not None or sources.awaited
            self._plan = plan_for(self._classifier, alone=alone, say=self._say)
        with self._stopper.listening():
            try:
                ready = ready_items(self._classifier, sources, self._plan, self._waited)
                with contextlib.closing(ready) as images:
                    self._loop(images, began)
            except Stop:
                self.log.ended_by = self._stopper.reason
            except OutputError as error:
                self._break(error)
            except GoldenCheckFailed as error:
                self.log.ended_by, self.log.broken = "a failed golden check", error
            self._tell_unfinished(sources)
        self.log.seconds = time.monotonic() - began
        self.log.workers, self.log.lanes = self._plan.workers, len(self._classifier.lanes or ())
        if self._classifier.golden is not None:
            self.log.golden_check = self._classifier.golden.last
            self.log.golden_repeats = self._classifier.golden_repeats
        self.log.dropped = sources.dropped
        self.log.notes += [*sources.notes, *map(str, sources.cameras)]
        return self.log

    def _break(self, error: OutputError) -> None:
        reported = f"{self._stopper.reason}, and " if self._stopper.reason else ""
        self.log.ended_by, self.log.broken = f"{reported}a result that could not be written", error

    def _tell_unfinished(self, sources: Sources) -> None:
        """Images that were still being copied when the run ended: each is accounted for, once."""
        try:
            for item in sources.unfinished() if self.log.broken is None else ():
                self._fail(item.failure)
        except OutputError as error:
            self._break(error)

    def _loop(self, images: Iterator[Ready | None], began: float) -> None:
        for ready in images:
            self._classifier.check_if_due()
            if ready is not None:
                self._take(ready, time.monotonic() - began)
            elif self._view is not None:
                self._view.idle()
            self._beat()
            if reason := self._finished(time.monotonic() - began):
                self.log.ended_by = reason
                return

    def _waited(self, items: Iterator[T]) -> Iterator[T]:
        """Items, with the wait for each open to signals."""
        try:
            while True:
                with self._stopper.waiting():
                    item = next(items, _END)
                if item is _END:
                    return
                yield cast(T, item)
        finally:
            if close := getattr(items, "close", None):
                close()  # now, and not when the garbage collector comes by: cameras count their drops here

    def _take(self, ready: Ready, second: float) -> None:
        """Answer one image and hand the result on."""
        if isinstance(ready, News):
            self._notice(ready.notice)
            return
        result = ready.failure if isinstance(ready, Broken) else answer_ready(self._classifier, ready)
        hidden = ready.instead_of if isinstance(ready, Broken) else ""
        source = hidden or result.source
        repeated = self._sources is not None and self._sources.begin(source, private=bool(hidden))
        result = replace(result, possibly_repeated=repeated) if repeated else result
        if isinstance(result, Failure):
            self._fail(result)
        else:
            assert isinstance(ready, Prepared)
            self._answered(result, ready, second)
        if self._sources is not None:
            self._sources.done(source)

    def _answered(self, prediction: Prediction, prepared: Prepared, second: float) -> None:
        self.log.latency.add(second, prediction.latency_ms)
        self.log.outcomes[str(prediction.outcome)] += 1
        for sink in self._sinks:
            sink.write(prediction)
        for each in self._drawn:
            each.picture(prediction, prepared)
        if self._view is not None:
            self._view.picture(prediction, prepared, self._status(prediction))

    def _status(self, prediction: Prediction) -> str:
        latency = prediction.latency_ms
        text = f"{latency['total']:.1f} ms"
        if "frame_age" in latency:
            dropped = sum(camera.dropped for camera in self.log.cameras)
            text += f"  camera to answer {latency['camera_to_answer']:.0f} ms  {dropped} dropped"
        return text

    def _say(self, note: str) -> None:
        self.log.notes.append(note)

    def _notice(self, notice: Notice) -> None:
        for sink in self._sinks:
            sink.write(notice)
        if self._view is not None:
            self._view.notice(notice)

    def _fail(self, failure: Failure) -> None:
        self.log.failed += 1
        if len(self.log.failures) < _KEPT_FAILURES:
            self.log.failures.append(failure)
        for sink in self._sinks:
            sink.write(failure)
        if self._view is not None:
            self._view.failure(failure)

    def _finished(self, elapsed_s: float) -> str:
        """Why to stop now, or an empty string."""
        if self._stopper.reason:
            return self._stopper.reason
        if self._view is not None and self._view.closed:
            return "the window's closing"
        if self._limit is not None and self.log.answered + self.log.failed >= self._limit:
            return f"--limit {self._limit}"
        if self._duration_s is not None and elapsed_s >= self._duration_s:
            return f"--duration {self._duration_s:g}"
        return ""
