"""What the device answers for one picture."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from fieldlens.runtime.bundle.decision import Outcome

STAGES = (
    "frame_age", "decode", "preprocess", "host_to_device", "inference", "device_to_host", "postprocess", "wait",
    "total", "camera_to_answer", "enqueue",
)  # fmt: skip
"""Stages of one picture's latency, in ms, in the order in which they happen. ``total`` is measured on its own, from
the bytes (or frame) at hand to the Prediction; it is not the sum. ``frame_age`` (capture to the start of our work) and
``camera_to_answer`` exist for cameras. ``host_to_device``, ``device_to_host`` and ``enqueue`` exist where the backend
measures them; ``inference`` is then the rest of the network's call, and ``enqueue`` is a part of it, not a stage more.
``wait`` exists where workers decode ahead: the time in which a picture waited for its turn, a part of ``total``.
"""

ALWAYS = ("decode", "preprocess", "inference", "postprocess", "total")
"""The stages that every answer has."""


@dataclass(frozen=True)
class Finding:
    """A reason to take the picture again: what was measured, what was allowed, and what to do about it."""

    check: str
    value: float
    limit: float
    advice: str


@dataclass(frozen=True)
class Prediction:
    """Calibrated probabilities by class id, the outcome, and where the time went.

    ``cam`` is float32 ``[C,h,w]``: its spatial mean plus the head's bias is the class's logit.
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
    backend: str
    precision: str
    bundle: str

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
    def label(self) -> str:
        """Id of the most probable class."""
        return self.top(1)[0][0]


@dataclass(frozen=True)
class Failure:
    """An input that gave no picture: which, why, and what to do about it."""

    source: str
    error: str
    hint: str = ""

    @property
    def reason(self) -> str:
        """The error without the source in front, for a line that begins with it."""
        return self.error.removeprefix(f"{self.source}: ")


@dataclass(frozen=True)
class Notice:
    """News of a camera, no answer: it was ``lost``, or has ``recovered`` after ``seconds`` without pictures."""

    source: str
    event: str
    message: str
    seconds: float = 0.0


Result = Prediction | Failure | Notice


def result_to_json(result: Result) -> dict[str, Any]:
    """One JSON object; probabilities are there for every decoded picture, whatever the outcome."""
    if not isinstance(result, Prediction):
        blank: dict[str, Any] = {"source": result.source, "outcome": None, "probabilities": {}, "latency_ms": {}}
        if isinstance(result, Failure):
            return {**blank, "error": result.error}
        event = {"kind": result.event, "message": result.message, "seconds": round(result.seconds, 3)}
        return {**blank, "error": None, "event": event}
    return {
        "source": result.source,
        "outcome": str(result.outcome),
        "class": result.label,
        "probabilities": result.probabilities,
        "score": result.score,
        "findings": [finding.__dict__ for finding in result.findings],
        "ood_score": result.ood_score,
        "latency_ms": {stage: round(value, 4) for stage, value in result.latency_ms.items()},
        "backend": result.backend,
        "precision": result.precision,
        "bundle": result.bundle,
        "error": None,
    }


def json_line(result: Result) -> str:
    """One line of JSON, with its newline. NaN and infinity are refused: they are not JSON."""
    return json.dumps(result_to_json(result), ensure_ascii=False, allow_nan=False) + "\n"
