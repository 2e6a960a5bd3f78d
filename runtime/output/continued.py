"""Whether a file of JSON lines can be gone on with: its lines have the keys that lines have today."""

from __future__ import annotations

import json
from typing import BinaryIO

import numpy as np

from fieldlens.runtime.bundle.decision import Outcome
from fieldlens.runtime.prediction import ALWAYS, Failure, Notice, Prediction, Result

_LINE_BYTES = 1 << 20
"""Far more than a line for a thousand classes has."""


def _samples() -> tuple[Result, ...]:
    answer = Prediction(
        source="", outcome=Outcome.CLASSIFIED, probabilities={"": 1.0}, score=None, logits=np.zeros(1, np.float32),
        cam=np.zeros((1, 1, 1), np.float32), findings=(), ood_score=None, latency_ms=dict.fromkeys(ALWAYS, 0.0),
        backend="", precision="", bundle="",
    )  # fmt: skip
    return answer, Failure("", ""), Notice("", "", "")


def continues(file: BinaryIO) -> bool:
    """Looks at the lines up to the first answer, since a failure has few keys, which hardly ever change."""
    kinds = [set(sample.to_dict()) for sample in _samples()]
    answer = kinds[0]
    while line := file.readline(_LINE_BYTES):
        try:
            value = json.loads(line)
        except (ValueError, RecursionError):
            return False
        keys = set(value) if isinstance(value, dict) else set()
        if keys not in kinds:
            return False
        if keys == answer:
            return True
    return True
