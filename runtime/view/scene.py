"""What a person may see at a given moment: rules without input or output, so that a test can run them in no time.

An answer is shown only beside what it belongs to. A camera's answer gives way to a grey card once its image is older
than the limit; a file's stays, named and marked as the last image with its age; whatever went wrong after an answer
takes its place.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fieldlens.runtime.files.printable import printable
from fieldlens.runtime.machine.local_time import ago
from fieldlens.runtime.pixels.drawing import UNSIGNED, banner, card
from fieldlens.runtime.pixels.preprocess import Pixels
from fieldlens.runtime.prediction import Prediction

STALE_AFTER_S = 2.0
_LONGEST_LINE = 300
NO_IMAGE = "No current image"


@dataclass(frozen=True)
class ShownAnswer:
    """The newest answer. ``view_rgb``: its image, small. ``at``: monotonic s of a camera's capture, or of a file's
    answer. ``status``: latency and drops, for the bar."""

    prediction: Prediction
    view_rgb: Pixels
    status: str
    at: float
    live: bool


@dataclass(frozen=True)
class Interruption:
    """What happened after the newest answer, if there is one: no image, and why. ``at``: monotonic s."""

    title: str
    words: str
    at: float


@dataclass(frozen=True)
class Situation:
    """All that is known of a run. ``skipped_at``: monotonic s of a camera's image that nobody watched, if it is the
    newest."""

    seen: ShownAnswer | None = None
    news: Interruption | None = None
    ended: bool = False
    skipped_at: float | None = None

    @property
    def live(self) -> bool:
        """Whether the newest answer is a camera's."""
        return self.skipped_at is not None if self.seen is None else self.seen.live


@dataclass(frozen=True)
class Scene:
    """One thing to look at. Equal ``key``: it looks the same. ``kind``: ``answer``, ``last`` or ``card``.

    ``title`` and ``lines`` say the same as the image, for those who cannot see it. ``since``: monotonic s of the image
    whose age matters. ``old_at``: when it must no longer be shown; None: it may stay. ``changes_at``: when to ask for
    the next scene if nothing happens. ``mark``: words about its age, to stand above the image where nothing else says
    it.
    """

    kind: str
    key: tuple[object, ...]
    title: str
    lines: tuple[str, ...]
    draw: Callable[[], npt.NDArray[np.uint8]]
    since: float | None = None
    old_at: float | None = None
    changes_at: float = float("inf")
    mark: str = ""

    def marked(self, image_rgb: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """What was drawn, with its mark."""
        return banner(image_rgb, self.mark) if self.mark else image_rgb


def scene_at(now: float, situation: Situation, stale_after_s: float = STALE_AFTER_S) -> Scene:
    """What to show at ``now`` (monotonic s)."""
    seen, news = situation.seen, situation.news
    if situation.ended and (seen is None or seen.live):
        return _card("The run has ended", (), situation, now)
    if news is not None:
        return _card(news.title, (news.words,), situation, now)
    if seen is None:
        waiting = situation.skipped_at is None
        return _card("Waiting for the first image" if waiting else NO_IMAGE, (), situation, now)
    if not seen.live:
        return _last(seen, now, ended=situation.ended)
    if now - seen.at <= stale_after_s:
        return _answer(seen, stale_after_s)
    took_s = seen.prediction.latency_ms.get("camera_to_answer", 0.0) / 1e3
    late = f"Answers come {took_s:.1f} s after their image: raise --stale-after above that."
    return _card(NO_IMAGE, (late,) if took_s > stale_after_s else (), situation, now)


def _answer(seen: ShownAnswer, stale_after_s: float) -> Scene:
    prediction = seen.prediction
    old_at = seen.at + stale_after_s
    return Scene(
        "answer", ("answer", id(seen)), str(prediction.outcome), _words(prediction),
        lambda: prediction.overlay(seen.view_rgb, seen.status), seen.at, old_at, old_at,
    )  # fmt: skip


def _last(seen: ShownAnswer, now: float, *, ended: bool) -> Scene:
    """A file's answer stays, and says that it is the last one and how old."""
    prediction, age = seen.prediction, ago(now - seen.at)
    words = f"LAST IMAGE, {age}" + ("; the run has ended" if ended else "")
    return Scene(
        "last", ("last", id(seen), words), str(prediction.outcome), _words(prediction),
        lambda: prediction.overlay(seen.view_rgb, seen.status), seen.at, None, _next_second(seen.at, now), words,
    )  # fmt: skip


def _card(title: str, lines: tuple[str, ...], situation: Situation, now: float) -> Scene:
    """No answer, and how old the last image is."""
    seen = situation.seen
    since = situation.skipped_at if seen is None else seen.at
    if since is None:
        return Scene("card", ("card", title, lines), title, lines, lambda: card(title, lines))
    what = f"Last image {ago(now - since)}"
    if seen is not None and not seen.live:
        what += f": {_name(seen.prediction.source)}, {seen.prediction.moment}"
    lines = (*lines, what)
    return Scene(
        "card", ("card", title, lines), title, lines, lambda: card(title, lines), since, None, _next_second(since, now)
    )


def _words(prediction: Prediction) -> tuple[str, ...]:
    lines = [printable(prediction.words())[:_LONGEST_LINE], f"{_name(prediction.source)}, {prediction.moment}"]
    if prediction.origin.threshold_from:
        lines.append(printable(f"threshold: {prediction.origin.threshold_from}")[:_LONGEST_LINE])
    return (*lines, *(() if prediction.bundle_signed_by is not None else (UNSIGNED,)))


def _name(source: str) -> str:
    """A source, cut at its beginning: its end tells files and frames apart."""
    return printable(source)[-_LONGEST_LINE:]


def _next_second(since: float, now: float) -> float:
    return since + int(now - since) + 1.001
