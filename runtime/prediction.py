"""What the device answers for one image."""

from __future__ import annotations

import base64
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import simplejpeg

from fieldlens.runtime.bundle.decision import Outcome
from fieldlens.runtime.bundle.score_words import score_words
from fieldlens.runtime.files.printable import html_text, json_text, printable
from fieldlens.runtime.machine.clock import clock_state, time_utc
from fieldlens.runtime.machine.local_time import local_words
from fieldlens.runtime.pixels.drawing import NOTE, UNSIGNED, annotated
from fieldlens.runtime.pixels.heat import SIDE, heat_of, too_coarse
from fieldlens.runtime.pixels.preprocess import Pixels

STAGES = (
    "frame_age", "decode", "preprocess", "host_to_device", "inference", "device_to_host", "postprocess", "wait",
    "total", "camera_to_answer", "enqueue",
)  # fmt: skip
"""Stages of one image's latency, in ms, in the order in which they happen. ``total`` is measured on its own, from
the bytes (or frame) at hand to the Prediction; it is not the sum. ``frame_age`` (capture to the start of our work) and
``camera_to_answer`` exist for cameras. ``host_to_device``, ``device_to_host`` and ``enqueue`` exist where the backend
measures them; ``inference`` is then the rest of the network's call, and ``enqueue`` is a part of it, not a stage more.
``wait`` exists where workers decode ahead, or images arrive by the clock: the time in which an image waited for its
turn, a part of ``total``.
"""

ALWAYS = ("decode", "preprocess", "inference", "postprocess", "total")
"""The stages that every answer has."""


RECORD_FORMAT = 1
"""Of a JSON line; ``docs/answer.schema.json`` describes it."""


@dataclass(frozen=True)
class AnswerOrigin:
    """What an answer was made with, as every record carries it: which bundle, on what, against which threshold.

    ``bundle`` is name and label for people, ``bundle_hash`` the SHA-256 of the manifest, which fixes every file.
    ``bundle_signed_by``: whose signature was checked when the bundle was opened; None: nobody's. ``threshold`` and
    ``band`` are on the score's scale, None where there is no decision or no band. ``host`` is the machine's name.
    """

    bundle: str
    bundle_name: str
    bundle_version: int
    bundle_hash: str
    bundle_signed_by: str | None
    backend: str
    precision: str
    device: str
    host: str
    threshold: float | None = None
    band: tuple[float, float] | None = None
    threshold_from: str | None = None
    """Whose threshold it is, where it is not the bundle's: this clinic's own, by whom it was approved, and when."""

    def to_dict(self) -> dict[str, Any]:
        """As in the JSON lines."""
        return {**asdict(self), "band": None if self.band is None else list(self.band)}


@dataclass(frozen=True)
class Finding:
    """A reason to take the image again: what was measured, what was allowed, and what to do about it."""

    check: str
    value: float
    limit: float
    advice: str


@dataclass(frozen=True, repr=False)
class Prediction:
    """Calibrated probabilities by class id, the outcome, and where the time went.

    ``cam`` is float32 ``[C,h,w]``: its spatial mean plus the head's bias is the class's logit. ``explained`` is the
    class whose map is shown: the likeliest finding where there is a decision, else the likeliest class. ``display``
    names the classes for people. ``image_rgb`` (uint8 ``[480,480,3]``): what the network saw, where it was kept.
    """

    source: str
    outcome: Outcome
    probabilities: dict[str, float]
    score: float | None
    logits: npt.NDArray[np.float32]
    cam: npt.NDArray[np.float32]
    findings: tuple[Finding, ...]
    ood_score: float | None
    latency_ms: dict[str, float]
    origin: AnswerOrigin
    explained: str = ""
    display: Mapping[str, str] = field(default_factory=dict)
    image_rgb: Pixels | None = field(default=None, compare=False)
    time_s: float = field(default_factory=time.time, compare=False)
    """When it was answered, in seconds since 1970."""
    possibly_repeated: bool = False
    """An earlier run, which was killed, may have written this answer too."""

    def __post_init__(self) -> None:
        count = len(self.probabilities)
        if self.cam.ndim != 3 or self.cam.shape[0] != count or self.logits.shape != (count,):
            raise ValueError(f"shapes do not fit {count} classes: cam {self.cam.shape}, logits {self.logits.shape}")
        if not set(ALWAYS) <= set(self.latency_ms) <= set(STAGES):
            raise ValueError(f"latency must have {ALWAYS} and may have {STAGES}, not {tuple(self.latency_ms)}")

    def top(self, count: int) -> list[tuple[str, float]]:
        """The ``count`` most probable classes, best first."""
        return sorted(self.probabilities.items(), key=lambda item: -item[1])[:count]

    @property
    def backend(self) -> str:
        """The backend's name."""
        return self.origin.backend

    @property
    def precision(self) -> str:
        """What the network ran in."""
        return self.origin.precision

    @property
    def bundle(self) -> str:
        """The bundle's name and version, for people."""
        return self.origin.bundle

    @property
    def bundle_signed_by(self) -> str | None:
        """Whose signature was checked when the bundle was opened; None: nobody's."""
        return self.origin.bundle_signed_by

    @property
    def label(self) -> str:
        """Id of the most probable class."""
        return self.top(1)[0][0]

    def heatmap(self, class_id: str = "", side: int = SIDE) -> npt.NDArray[np.float32]:
        """Where the network looked for ``class_id`` (default: ``explained``), float32 ``[side,side]``, 0 to 1.

        Its maximum is 1 whatever the probability; below half of the map's own maximum it is 0. Raises KeyError for a
        class that the model does not have, and TooCoarse where :attr:`no_heatmap` says why there is none.
        """
        name = class_id or self.explained or self.label
        if name not in self.probabilities:
            raise KeyError(f"{name!r} is not a class of this model: {', '.join(self.probabilities)}")
        return heat_of(self.cam[list(self.probabilities).index(name)], side)

    @property
    def no_heatmap(self) -> str:
        """Why there is no heat map, in words: its cells are too coarse to point at anything. Empty where there is."""
        return too_coarse(self.cam)

    def overlay(self, view_rgb: Pixels | None = None, status: str = "") -> npt.NDArray[np.uint8]:
        """The image, its heat map, and a bar with the outcome, the source and the time: uint8 RGB ``[578,960,3]``; on
        ``retake`` no heat map and no class, only what to do (``[578,480,3]``). The map is as strong as its class is
        probable, so that 0% does not glow. The bar says why there is no map (:attr:`no_heatmap`), and where nobody's
        signature of the bundle was checked.

        ``view_rgb``: what the network saw, uint8 RGB ``[H,W,3]``; default: ``image_rgb``. Raises ValueError without.
        """
        view = self.image_rgb if view_rgb is None else view_rgb
        if view is None:
            raise ValueError("the image was not kept: ask with keep_image=True, or hand it in")
        heat_map, lines = None, [finding.advice for finding in self.findings]
        if self.outcome is not Outcome.RETAKE:
            explained = self.explained or self.label
            share = self.probabilities[explained]
            map_words = self.no_heatmap
            if not map_words:
                heat_map = self.heatmap(explained) * np.float32(share)
                map_words = f"heat map of {self._drawable(explained)}, as strong as its {share:.1%}: {NOTE}"
            words = self.words()
            lines = [words if words.isascii() else replace(self, display={}).words(), map_words]
        footer = UNSIGNED if self.bundle_signed_by is None else ""
        if self.origin.threshold_from:
            footer = "; ".join(filter(None, ("this clinic's own threshold", footer)))
        return annotated(
            view, heat_map, str(self.outcome), lines, source=self.source, moment=self.moment, status=status,
            footer=footer,
        )  # fmt: skip

    @property
    def moment(self) -> str:
        """When the image was: a camera's when it was captured, a file's when it was answered; local time."""
        return local_words(self.time_s - self.latency_ms.get("camera_to_answer", 0.0) / 1e3)

    def _drawable(self, class_id: str) -> str:
        """A class's display name where OpenCV's letters have it, else its id."""
        name = self.display.get(class_id, class_id)
        return name if name.isascii() else class_id

    def words(self, count: int = 0) -> str:
        """For people: the finding by its display name where there is one, the score and what it is compared with. On
        ``retake`` only what to do. ``count``: so many of the likeliest classes with their probabilities, too.

        No finding is named where none was found: a class beside "no sign found" would contradict it.
        """
        if self.outcome is Outcome.RETAKE:
            return "; ".join(finding.advice for finding in self.findings)
        likeliest = ", ".join(f"{self._shown(name)} {p:.1%}" for name, p in self.top(count))
        if self.score is None or self.origin.threshold is None:
            return likeliest or self.words(1)
        uncertain = self.outcome is Outcome.UNCERTAIN
        words = score_words(self.score, self.origin.threshold, self.origin.band, uncertain=uncertain)
        if self.outcome is not Outcome.NO_SIGN_FOUND:
            words = f"{self.finding}: {words}"
        if self.origin.threshold_from:
            words = f"{words} (this clinic's threshold)"
        return f"{words}; {likeliest}" if likeliest else words

    @property
    def finding(self) -> str:
        """The display name of the class that the answer is about."""
        return self._shown(self.explained or self.label)

    def _shown(self, class_id: str) -> str:
        return self.display.get(class_id, class_id)

    def __str__(self) -> str:
        return printable(f"{self.source}: {self.outcome} ({self.words()}), {self.latency_ms['total']:.1f} ms")

    def __repr__(self) -> str:
        return f"<Prediction {self}>"

    def _repr_html_(self) -> str:
        """For notebooks: the overlay, where the image was kept, above the line."""
        line = f"<figcaption>{html_text(str(self))}</figcaption>"
        if self.image_rgb is None:
            return f"<figure>{line}</figure>"
        data = base64.b64encode(simplejpeg.encode_jpeg(np.ascontiguousarray(self.overlay()), 90)).decode()
        return f'<figure><img alt="{self.outcome}" src="data:image/jpeg;base64,{data}">{line}</figure>'

    def to_dict(self) -> dict[str, Any]:
        """As in the JSON lines: plain values, ready for JSON."""
        return {
            **_head("answer", self.source, self.time_s),
            "outcome": str(self.outcome),
            "class": self.label,
            "probabilities": self.probabilities,
            "score": self.score,
            "findings": [finding.__dict__ for finding in self.findings],
            "ood_score": self.ood_score,
            "latency_ms": {stage: round(value, 4) for stage, value in self.latency_ms.items()},
            **self.origin.to_dict(),
            "error": None,
            **_REPEATED[self.possibly_repeated],
        }


def _head(record: str, source: str, time_s: float) -> dict[str, Any]:
    """What every line begins with. Without a clock that was set, no time: a wrong one would pass for a right one."""
    clock = clock_state(time_s)
    return {"format": RECORD_FORMAT, "record": record, "time_utc": time_utc(time_s), "clock": clock, "source": source}


_REPEATED: dict[bool, dict[str, Any]] = {False: {}, True: {"possibly_repeated": True}}
"""Only a run that goes on where another one was killed has it."""
_BLANK: dict[str, Any] = {"outcome": None, "probabilities": {}, "latency_ms": {}}


@dataclass(frozen=True)
class Failure:
    """An input that gave no image: which, why, and what to do about it."""

    source: str
    error: str
    hint: str = ""
    time_s: float = field(default_factory=time.time, compare=False)
    possibly_repeated: bool = False

    @property
    def reason(self) -> str:
        """The error without the source in front, for a line that begins with it."""
        return self.error.removeprefix(f"{self.source}: ")

    def __str__(self) -> str:
        return printable(f"{self.source}: not classified ({self.reason})")

    def to_dict(self) -> dict[str, Any]:
        """As in the JSON lines."""
        return {
            **_head("failure", self.source, self.time_s),
            **_BLANK,
            "error": self.error,
            **_REPEATED[self.possibly_repeated],
        }


@dataclass(frozen=True)
class Notice:
    """News of a camera, no answer: it was ``lost``, or has ``recovered`` after ``seconds`` without images."""

    source: str
    event: str
    message: str
    seconds: float = 0.0
    time_s: float = field(default_factory=time.time, compare=False)

    def __str__(self) -> str:
        return printable(f"{self.source}: {self.message}")

    def to_dict(self) -> dict[str, Any]:
        """As in the JSON lines."""
        event = {"kind": self.event, "message": self.message, "seconds": round(self.seconds, 3)}
        return {**_head("news", self.source, self.time_s), **_BLANK, "error": None, "event": event}


Result = Prediction | Failure | Notice
"""What a run gives, one by one."""


def json_line(result: Result, origin: AnswerOrigin) -> str:
    """One line of JSON, with its newline. NaN and infinity are refused: they are not JSON.

    ``origin``: what would have answered, for the lines of failures and news.
    """
    return json_text({**result.to_dict(), **origin.to_dict()}) + "\n"
