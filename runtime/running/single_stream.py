"""``--mode single-stream``: one query after the other, by rules in the style of MLPerf's SingleStream scenario.

Source: MLPerf Inference Rules (mlcommons/inference_policies, inference_rules.adoc), "Scenarios" and "LoadGen
Operation": the next query goes out as soon as the last one is answered; at least 1024 queries and 60 s (version 0.5)
or 600 s (since 1.0); samples are drawn uniformly with replacement by a fixed seed; the result is the 90th percentile.
This is no MLPerf result and must not be called one: the load generator, the model and the images are ours.
Stricter than the original: decoding and preprocessing are inside the time, and a changed answer is INVALID.

What it hides: while one query stalls, no other is asked, so a stall costs one slow query however long it is. Where
images arrive by a clock, ``fixed_rate`` measures what they would have waited.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from fieldlens.runtime.classifier import Classifier
from fieldlens.runtime.errors import KitError
from fieldlens.runtime.prediction import Failure
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
from fieldlens.runtime.stopping import Stopper

PERCENTILE = 90.0


@dataclass(frozen=True)
class SingleStreamResult:
    """All rules of a run, its result (p90 in ms), and a bound that the true p90 exceeds in 1% of runs at most."""

    checks: tuple[Rule, ...]
    p90_ms: float
    p90_bound_ms: float | None
    comparable: bool
    seed: int
    pictures: int
    percentile: float = PERCENTILE
    key = "single_stream"

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
        return result_text(PERCENTILE, self.p90_ms, self.p90_bound_ms)

    def to_json(self) -> dict[str, Any]:
        """For the report."""
        described = "Single-stream run in the style of MLPerf; not an official MLPerf result."
        said = {"verdict": self.word, "official": False, "headline": self.result, "described": described}
        return {**said, **asdict(self)}

    def text(self) -> str:
        """Several lines for a terminal."""
        title = f"single-stream, MLPerf-style, not an official MLPerf result: {self.word}"
        return "\n".join([title, f"  result: {self.result}", *rule_lines(self.checks, self.comparable)])


def run_single_stream(
    classifier: Classifier,
    pictures: list[tuple[str, bytes]],
    seconds: float,
    seed: int = SEED,
    clock: Callable[[], float] = time.perf_counter,
    fewest: int = FEWEST_QUERIES,
    stopper: Stopper | None = None,
) -> tuple[RunLog, SingleStreamResult]:
    """Ask for ``seconds`` and ``fewest`` queries at least, whichever is longer; a signal ends it, INVALID."""
    log, answers = RunLog(), FirstAnswers(len(pictures))
    draw = random.Random(seed)
    warm_up(classifier, pictures)
    stopper = stopper or Stopper()
    with stopper.listening():
        began = clock()
        while not stopper.reason and (clock() - began < seconds or log.answered + log.failed < fewest):
            index = draw.randrange(len(pictures))
            source, data = pictures[index]
            start = clock()
            try:
                prediction = classifier.classify_bytes(data, source)
            except KitError as error:
                log.failed += 1
                log.failures = log.failures or [Failure(source, error.message)]
                continue
            end = clock()
            log.latency.add(end - began, {**prediction.latency_ms, "total": (end - start) * 1e3})
            log.outcomes[str(prediction.outcome)] += 1
            answers.add(index, prediction)
        log.seconds = clock() - began
    classifier.check_golden()  # figures of a backend that no longer answers rightly are worth nothing
    log.golden_check = classifier.golden.last if classifier.golden else None
    log.ended_by = stopper.reason or BY_THE_RULES
    return log, judge(log, answers.changed, len(pictures), seed, seconds)


def judge(log: RunLog, changed: int, pictures: int, seed: int = SEED, seconds: float = SHORT_S) -> SingleStreamResult:
    """The rules, applied. ``changed``: images whose answer was not the same every time."""
    total = log.latency.stages["total"]
    wanted_s = max(seconds, SHORT_S)
    checks = (
        Rule("queries", f">= {FEWEST_QUERIES}", str(log.answered), log.answered >= FEWEST_QUERIES),
        Rule("duration", f">= {wanted_s:.0f} s", f"{log.seconds:.1f} s", log.seconds >= wanted_s),
        Rule("queries without an answer", "0", str(log.failed), log.failed == 0),
        Rule("images with a changed answer", "0", str(changed), changed == 0),
        Rule("ended by itself", "yes", log.ended_by, log.ended_by == BY_THE_RULES),
    )
    comparable = wanted_s >= COMPARABLE_S and log.seconds >= COMPARABLE_S
    bound = upper_bound(total, PERCENTILE)
    return SingleStreamResult(checks, total.percentile(PERCENTILE), bound, comparable, seed, pictures)
