"""What the two benchmark modes share: rules that a run keeps or breaks, images in memory, and answers that must not
change.

A run that breaks one rule is INVALID, whatever its figures are. Neither mode is an MLPerf result, and no text of theirs
may call it one: the load generator, the model and the images are ours.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from fieldlens.runtime.classifier import Classifier
from fieldlens.runtime.errors import ImageError
from fieldlens.runtime.prediction import Prediction
from fieldlens.runtime.running.latency import Histogram
from fieldlens.runtime.sources.item import Broken, Encoded, News, ReadItem

FEWEST_QUERIES = 1024
SHORT_S, COMPARABLE_S = 60.0, 600.0
SEED = 20_231_114
MOST_IMAGES = 1024  # as many as MLPerf's performance sample count for ResNet-50
MOST_BYTES = 512 * 2**20
BY_THE_RULES = "the rules: time and queries reached"
"""How a run ends that nobody stopped."""
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


class Verdict(Protocol):
    """What a benchmark mode ends with."""

    @property
    def valid(self) -> bool:
        """Whether every rule held."""

    @property
    def percentile(self) -> float:
        """The one that is the result."""

    @property
    def key(self) -> str:
        """Its name in the report's JSON."""

    def to_json(self) -> dict[str, Any]:
        """For the report: ``verdict``, ``headline``, ``described``, ``checks``, ``comparable``, and its own figures."""

    def text(self) -> str:
        """Several lines for a terminal."""


def word(checks: Iterable[Rule]) -> str:
    """``VALID`` or ``INVALID``."""
    return "VALID" if all(check.held for check in checks) else "INVALID"


def result_text(percent: float, value_ms: float, bound_ms: float | None) -> str:
    """``p90 5.123 ms (99% confident: at most 5.300 ms)``."""
    bound = "" if bound_ms is None else f" (99% confident: at most {bound_ms:.3f} ms)"
    return f"p{percent:g} {value_ms:.3f} ms{bound}"


def rule_lines(checks: Iterable[Rule], comparable: bool) -> list[str]:
    """A line for each rule, and one for a run that is too short to be compared."""
    lines = [
        f"  {'ok  ' if check.held else 'FAIL'} {check.rule}: {check.found} (asked: {check.asked})" for check in checks
    ]
    if not comparable:
        lines.append(f"  shorter than {COMPARABLE_S:.0f} s: for a quick look, not for comparison with others' figures")
    return lines


def load_images(items: Iterable[ReadItem]) -> list[tuple[str, bytes]]:
    """Encoded images in memory, as MLPerf's sample library. Raises KitError for one that is not there, or a frame."""
    pictures: list[tuple[str, bytes]] = []
    size = 0
    for item in items:
        if isinstance(item, Broken):
            raise item.error
        if not isinstance(item, Encoded) or item.timing.captured_at is not None:
            name = item.notice.source if isinstance(item, News) else item.source
            raise ImageError(f"{name}: a benchmark takes image files", "give files or folders")
        pictures.append((item.source, item.data))
        size += len(item.data)
        if len(pictures) >= MOST_IMAGES or size >= MOST_BYTES:
            break
    if not pictures:
        raise ImageError("no images to ask about", "give files or folders")
    return pictures


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


class FirstAnswers:
    """The first answer to each image, and how many images ever got another."""

    def __init__(self, pictures: int) -> None:
        self._first: list[tuple[str, list[float]] | None] = [None] * pictures
        self._changed: set[int] = set()

    @property
    def changed(self) -> int:
        """Images whose answer was not the same every time."""
        return len(self._changed)

    def add(self, index: int, prediction: Prediction) -> None:
        """Another answer to image ``index``."""
        answer = str(prediction.outcome), list(prediction.probabilities.values())
        first = self._first[index]
        if first is None:
            self._first[index] = answer
        elif answer[0] != first[0] or max(abs(a - b) for a, b in zip(answer[1], first[1], strict=True)) > _SAME:
            self._changed.add(index)


def warm_up(classifier: Classifier, pictures: list[tuple[str, bytes]]) -> None:
    """Twenty queries that do not count; an image that cannot be read counts when its turn comes."""
    for index in range(_WARM_UPS):
        source, data = pictures[index % len(pictures)]
        try:
            classifier.classify_bytes(data, source)
        except ImageError:
            continue
