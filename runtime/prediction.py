"""What the device answers for one picture."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from runtime.decision import Outcome

STAGES = ("decode", "preprocess", "inference", "postprocess", "total")
"""Stages of one picture's latency, in ms. ``total`` is measured on its own, from the bytes (or frame) at hand to the
Prediction; it is not the sum."""


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
        if set(self.latency_ms) != set(STAGES):
            raise ValueError(f"latency must have the stages {STAGES}, not {tuple(self.latency_ms)}")

    def top(self, count: int) -> list[tuple[str, float]]:
        """The ``count`` most probable classes, best first."""
        return sorted(self.probabilities.items(), key=lambda item: -item[1])[:count]

    @property
    def label(self) -> str:
        """Id of the most probable class."""
        return self.top(1)[0][0]


@dataclass(frozen=True)
class Failure:
    """An input that gave no picture: which, and why."""

    source: str
    error: str


Result = Prediction | Failure


def result_to_json(result: Result) -> dict[str, Any]:
    """One JSON object; probabilities are there for every decoded picture, whatever the outcome."""
    if isinstance(result, Failure):
        return {"source": result.source, "outcome": None, "probabilities": {}, "latency_ms": {}, "error": result.error}
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
