"""``--mode fixed-rate``: images arrive by the clock, and each latency counts from the arrival that was scheduled.

A camera does not wait until the last image is answered. Where a benchmark does (single-stream), the device sets the
pace of its own questions, and a stall of a third of a second is one slow query instead of the ten images that would
have waited: coordinated omission (G. Tene, "How NOT to Measure Latency", 2013; the wrk2 load generator, giltene/wrk2).

Arrivals are computed, not made by a thread: image k is due at ``began + k / rate``, whatever the device is doing. What
happens to an image that comes while another is answered is a choice:

``drop``   as this kit's cameras do: one image waits, and the next one takes its place. The replaced one is dropped.
``queue``  all wait, in order, as frames in a recorder's buffer do.

The share of dropped images that a valid run may have is that of MLPerf's MultiStream scenario (Inference Rules 0.5:
at most 1% of the queries may make the next one skip its interval). This is no MLPerf result.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from fieldlens.runtime.classifier import Classifier
from fieldlens.runtime.errors import KitError
from fieldlens.runtime.prediction import Failure
from fieldlens.runtime.running.latency import Histogram
from fieldlens.runtime.running.rules import (
    BY_THE_RULES,
    COMPARABLE_S,
    FEWEST_QUERIES,
    SEED,
    SHORT_S,
    FirstAnswers,
    Rule,
    result_text,
    rule_lines,
    upper_bound,
    warm_up,
    word,
)
from fieldlens.runtime.running.run import RunLog
from fieldlens.runtime.stopping import Stop, Stopper

PERCENTILE = 99.0
DEFAULT_RATE = 30.0
MOST_DROPPED = 0.01
MOST_OVERSLEPT = 0.1
"""Of the time between two images: a load generator that wakes up later than this measures itself."""
_AFTER_THE_LAST_S = 10.0
"""How long images that still wait after the last arrival are answered; the rest count as dropped."""

Late = Literal["drop", "queue"]


@dataclass(frozen=True)
class ArrivalPace:
    """``rate``: arrivals a second. ``late``: what an image does that comes while another is being answered."""

    rate: float = DEFAULT_RATE
    late: Late = "drop"

    @property
    def period_s(self) -> float:
        """Between two arrivals."""
        return 1 / self.rate

    def arrivals(self, seconds: float, fewest: int) -> int:
        """How many images a run has: those of ``seconds``, and ``fewest`` at least."""
        return max(math.ceil(seconds * self.rate), fewest)


@dataclass
class ArrivalCounts:
    """What became of the images that have arrived."""

    arrived: int = 0
    answered: int = 0
    waited: int = 0
    """Answered, but not at once: another one was being answered when they came."""
    dropped: int = 0
    in_time: int = 0
    """Answered before the next one came."""
    overslept: Histogram = field(default_factory=Histogram)
    """How late the load generator woke up for an image that found the device idle."""


@dataclass(frozen=True)
class FixedRateResult:
    """All rules of a run, its result (p99 in ms of the answered ones), and a bound that the true p99 exceeds in 1% of
    runs at most. Dropped images have no latency: they are counted, and ``in_time_share`` is of all arrivals."""

    checks: tuple[Rule, ...]
    rate: float
    late: Late
    arrived: int
    answered: int
    waited: int
    dropped: int
    in_time_share: float
    p99_ms: float
    p99_bound_ms: float | None
    comparable: bool
    seed: int
    pictures: int
    percentile: float = PERCENTILE
    key = "fixed_rate"

    @property
    def valid(self) -> bool:
        """Whether every rule held."""
        return all(check.held for check in self.checks)

    @property
    def word(self) -> str:
        """``VALID`` or ``INVALID``."""
        return word(self.checks)

    @property
    def result(self) -> str:
        """The figure in words."""
        return f"{result_text(PERCENTILE, self.p99_ms, self.p99_bound_ms)} from the scheduled arrival"

    @property
    def counted(self) -> str:
        """What became of the images, in words."""
        return (
            f"{self.arrived:,} images at {self.rate:g} a second: {self.answered:,} answered, {self.waited:,} of them "
            f"after waiting, {self.dropped:,} dropped; {self.in_time_share:.1%} answered before the next one came"
        )

    def to_json(self) -> dict[str, Any]:
        """For the report."""
        described = f"Fixed-rate run, not an official MLPerf result. {self.counted}."
        said = {"verdict": self.word, "official": False, "headline": self.result, "described": described}
        return {**said, **asdict(self)}

    def text(self) -> str:
        """Several lines for a terminal."""
        title = f"fixed-rate, not an official MLPerf result: {self.word}"
        lines = [title, f"  result: {self.result}", f"  {self.counted}"]
        return "\n".join([*lines, *rule_lines(self.checks, self.comparable)])


def run_fixed_rate(
    classifier: Classifier,
    pictures: list[tuple[str, bytes]],
    seconds: float,
    pace: ArrivalPace,
    *,
    seed: int = SEED,
    clock: Callable[[], float] = time.perf_counter,
    sleep: Callable[[float], None] = time.sleep,
    fewest: int = FEWEST_QUERIES,
    stopper: Stopper | None = None,
) -> tuple[RunLog, FixedRateResult]:
    """Let images arrive for ``seconds``, and ``fewest`` of them at least; a signal ends it, INVALID."""
    run = _Run(classifier, pictures, pace, random.Random(seed), clock, sleep, stopper or Stopper())
    warm_up(classifier, pictures)
    with run.stopper.listening():
        run.go(pace.arrivals(seconds, fewest))
    classifier.check_golden()  # figures of a backend that no longer answers rightly are worth nothing
    log = run.log
    log.golden_check = classifier.golden.last if classifier.golden else None
    log.ended_by = run.stopper.reason or BY_THE_RULES
    log.dropped = run.counts.dropped
    return log, judge(log, run.counts, run.answers.changed, len(pictures), pace, seed=seed, seconds=seconds)


def judge(
    log: RunLog,
    counts: ArrivalCounts,
    changed: int,
    pictures: int,
    pace: ArrivalPace,
    *,
    seed: int = SEED,
    seconds: float = SHORT_S,
) -> FixedRateResult:
    """The rules, applied. ``changed``: images whose answer was not the same every time."""
    total, wanted_s = log.latency.stages["total"], max(seconds, SHORT_S)
    dropped = counts.dropped / max(counts.arrived, 1)
    overslept_ms, allowed_ms = counts.overslept.percentile(99), MOST_OVERSLEPT * pace.period_s * 1e3
    checks = (
        Rule("images", f">= {FEWEST_QUERIES}", str(counts.arrived), counts.arrived >= FEWEST_QUERIES),
        Rule("duration", f">= {wanted_s:.0f} s", f"{log.seconds:.1f} s", log.seconds >= wanted_s),
        Rule("dropped images", f"<= {MOST_DROPPED:.0%}", f"{dropped:.2%}", dropped <= MOST_DROPPED),
        Rule("images without an answer", "0", str(log.failed), log.failed == 0),
        Rule("images with a changed answer", "0", str(changed), changed == 0),
        Rule(
            "load generator late, p99",
            f"<= {allowed_ms:.2f} ms, a tenth of the time between images",
            f"{overslept_ms:.2f} ms",
            overslept_ms <= allowed_ms,
        ),
        Rule("ended by itself", "yes", log.ended_by, log.ended_by == BY_THE_RULES),
    )
    return FixedRateResult(
        checks, pace.rate, pace.late, counts.arrived, counts.answered, counts.waited, counts.dropped,
        counts.in_time / max(counts.arrived, 1), total.percentile(PERCENTILE), upper_bound(total, PERCENTILE),
        min(wanted_s, log.seconds) >= COMPARABLE_S, seed, pictures,
    )  # fmt: skip


@dataclass
class _Run:
    """One run: the clock of arrivals, and what came of each."""

    classifier: Classifier
    pictures: list[tuple[str, bytes]]
    pace: ArrivalPace
    draw: random.Random
    clock: Callable[[], float]
    sleep: Callable[[float], None]
    stopper: Stopper
    log: RunLog = field(default_factory=RunLog)
    counts: ArrivalCounts = field(default_factory=ArrivalCounts)
    began: float = 0.0

    def __post_init__(self) -> None:
        self.answers = FirstAnswers(len(self.pictures))

    def go(self, arrivals: int) -> None:
        """All arrivals, one after the other; the first is due in one interval, and the last has one of its own."""
        self.began, number = self.clock() + self.pace.period_s, 0
        end = self.began + arrivals * self.pace.period_s
        while number < arrivals and not self.stopper.reason:
            now = self.clock()
            if now > end + _AFTER_THE_LAST_S:
                self.counts.dropped += arrivals - number
                number = arrivals
                continue
            newest = min(math.floor((now - self.began) * self.pace.rate), arrivals - 1)
            if self.pace.late == "drop" and newest > number:
                self.counts.dropped += newest - number
                number = newest
            due = self.began + number * self.pace.period_s
            if due <= now:
                self.counts.waited += self._answer(due)
            else:
                if not self._sleep(due - now):
                    break
                self.counts.overslept.add((self.clock() - due) * 1e3)
                self._answer(due)
            number += 1
        self._sleep(end - self.clock())
        self.counts.arrived = number
        self.log.seconds = self.clock() - self.began

    def _sleep(self, seconds: float) -> bool:
        """False where a signal came."""
        try:
            with self.stopper.waiting():
                self.sleep(max(seconds, 0.0))
        except Stop:
            return False
        return True

    def _answer(self, due: float) -> bool:
        """False where it gave no answer."""
        index = self.draw.randrange(len(self.pictures))
        source, data = self.pictures[index]
        start = self.clock()
        try:
            prediction = self.classifier.classify_bytes(data, source)
        except KitError as error:
            self.log.failed += 1
            self.log.failures = self.log.failures or [Failure(source, error.message)]
            return False
        done = self.clock()
        times_ms = {"wait": (start - due) * 1e3, "total": (done - due) * 1e3}
        self.log.latency.add(done - self.began, {**prediction.latency_ms, **times_ms})
        self.log.outcomes[str(prediction.outcome)] += 1
        self.answers.add(index, prediction)
        self.counts.answered += 1
        self.counts.in_time += done - due <= self.pace.period_s
        return True
