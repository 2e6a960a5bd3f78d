"""``--mode single-stream``: one query after the other, by rules in the style of MLPerf's SingleStream scenario.

Source: MLPerf Inference Rules (mlcommons/inference_policies, inference_rules.adoc), "Scenarios" and "LoadGen
Operation": the next query goes out as soon as the last one is answered; at least 1024 queries and 60 s (version 0.5)
or 600 s (since 1.0); samples are drawn uniformly with replacement by a fixed seed; the result is the 90th percentile.
This is no MLPerf result and must not be called one: the load generator, the model and the images are ours.
Stricter than the original: decoding and preprocessing are inside the time, and a changed answer is INVALID.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from fieldlens.runtime.classifier import Classifier
from fieldlens.runtime.errors import ImageError, KitError
from fieldlens.runtime.prediction import Failure, Prediction
from fieldlens.runtime.running.latency import Histogram
from fieldlens.runtime.running.run import RunLog
from fieldlens.runtime.sources.item import Broken, Encoded, News, ReadItem
from fieldlens.runtime.stopping import Stopper

PERCENTILE = 90.0
FEWEST_QUERIES = 1024
SHORT_S, COMPARABLE_S = 60.0, 600.0
SEED = 20_231_114
MOST_IMAGES = 1024  # as many as MLPerf's performance sample count for ResNet-50
MOST_BYTES = 512 * 2**20
_WARM_UPS = 20
_SAME = 1e-3
"""Two answers to the same image may differ by this much of a probability: threads sum in another order."""


@dataclass(frozen=True)
class Rule:
    """One rule: what it asks, what was found, and whether it held."""

    rule: str
    asked: str
    found: str
    held: bool


@dataclass(frozen=True)
class SingleStreamResult:
    """All rules of a run, its result (p90 in ms), and a bound that the true p90 exceeds in 1% of runs at most."""

    checks: tuple[Rule, ...]
    p90_ms: float
    p90_bound_ms: float | None
    comparable: bool
    seed: int
    pictures: int

    @property
    def valid(self) -> bool:
        """Whether every rule held."""
        return all(check.held for check in self.checks)

    @property
    def word(self) -> str:
        """``VALID`` or ``INVALID``."""
        return "VALID" if self.valid else "INVALID"

    def to_json(self) -> dict[str, Any]:
        """For the report."""
        return {"verdict": self.word, "official": False, **asdict(self)}

    def text(self) -> str:
        """Several lines for a terminal."""
        lines = [f"single-stream, MLPerf-style, not an official MLPerf result: {self.word}"]
        bound = "" if self.p90_bound_ms is None else f" (99% confident: at most {self.p90_bound_ms:.3f} ms)"
        lines.append(f"  result: p90 {self.p90_ms:.3f} ms{bound}")
        lines += [
            f"  {'ok  ' if check.held else 'FAIL'} {check.rule}: {check.found} (asked: {check.asked})"
            for check in self.checks
        ]
        if not self.comparable:
            lines.append(
                f"  shorter than {COMPARABLE_S:.0f} s: for a quick look, not for comparison with others' figures"
            )
        return "\n".join(lines)


def load_images(items: Iterable[ReadItem]) -> list[tuple[str, bytes]]:
    """Encoded images in memory, as MLPerf's sample library. Raises KitError for one that is not there, or a frame."""
    pictures: list[tuple[str, bytes]] = []
    size = 0
    for item in items:
        if isinstance(item, Broken):
            raise item.error
        if not isinstance(item, Encoded) or item.timing.captured_at is not None:
            name = item.notice.source if isinstance(item, News) else item.source
            raise ImageError(f"{name}: single-stream takes image files", "give files or folders")
        pictures.append((item.source, item.data))
        size += len(item.data)
        if len(pictures) >= MOST_IMAGES or size >= MOST_BYTES:
            break
    if not pictures:
        raise ImageError("no images to ask about", "give files or folders")
    return pictures


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
    log, answers = RunLog(), _Answers(len(pictures))
    draw = random.Random(seed)
    for index in range(_WARM_UPS):
        _quietly(classifier, *pictures[index % len(pictures)])
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
    log.ended_by = stopper.reason or "the rules: time and queries reached"
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
        Rule("ended by itself", "yes", log.ended_by, log.ended_by.startswith("the rules")),
    )
    comparable = wanted_s >= COMPARABLE_S and log.seconds >= COMPARABLE_S
    bound = upper_bound(total, PERCENTILE)
    return SingleStreamResult(checks, total.percentile(PERCENTILE), bound, comparable, seed, pictures)


def upper_bound(total: Histogram, percent: float, confidence: float = 0.99) -> float | None:
    """A latency, in ms, that the true percentile exceeds with a probability of 1 - ``confidence`` at most.

    The order statistic that leaves t samples above it, t being the largest with P(Binomial(n, 1 - p) <= t) <= 1 - c:
    the idea of LoadGen's early stopping (mlcommons/inference, loadgen/early_stopping.cc). None for too few samples.
    """
    count, above = total.count, 1 - percent / 100
    if count < 1:
        return None
    numbers = np.arange(1, count + 1)
    steps = np.log((count - numbers + 1) / numbers) + np.log(above / (1 - above))
    log_chance = count * np.log(1 - above) + np.concatenate([[0.0], np.cumsum(steps)])
    cumulative = np.cumsum(np.exp(log_chance))
    allowed = int(np.searchsorted(cumulative, 1 - confidence, side="right")) - 1
    return total.bound_at(count - allowed) if allowed >= 0 else None


class _Answers:
    """The first answer to each image, and how many images ever got another."""

    def __init__(self, pictures: int) -> None:
        self._first: list[tuple[str, list[float]] | None] = [None] * pictures
        self._changed: set[int] = set()

    @property
    def changed(self) -> int:
        return len(self._changed)

    def add(self, index: int, prediction: Prediction) -> None:
        answer = str(prediction.outcome), list(prediction.probabilities.values())
        first = self._first[index]
        if first is None:
            self._first[index] = answer
        elif answer[0] != first[0] or max(abs(a - b) for a, b in zip(answer[1], first[1], strict=True)) > _SAME:
            self._changed.add(index)


def _quietly(classifier: Classifier, source: str, data: bytes) -> None:
    """Warm up; an image that cannot be read counts when its turn comes."""
    try:
        classifier.classify_bytes(data, source)
    except ImageError:
        return
