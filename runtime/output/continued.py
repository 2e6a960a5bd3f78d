"""Whether a file of JSON lines can be gone on with: its lines have the keys that lines have today."""

from __future__ import annotations

import json
from typing import BinaryIO

import numpy as np

from fieldlens.runtime.bundle.decision import Outcome
from fieldlens.runtime.prediction import ALWAYS, AnswerOrigin, Failure, Notice, Prediction

_LINE_BYTES = 1 << 20
"""Far more than a line for a thousand classes has."""


def _kinds() -> list[set[str]]:
    """The keys of an answer's line first, then those of the other kinds."""
    origin = AnswerOrigin(
        bundle="", bundle_name="", bundle_version=0, bundle_hash="", bundle_signed_by=None, backend="", precision="",
        device="", host="",
    )  # fmt: skip
    answer = Prediction(
        source="", outcome=Outcome.CLASSIFIED, probabilities={"": 1.0}, score=None, logits=np.zeros(1, np.float32),
        cam=np.zeros((1, 1, 1), np.float32), findings=(), ood_score=None, latency_ms=dict.fromkeys(ALWAYS, 0.0),
        origin=origin,
    )  # fmt: skip
    return [set(line.to_dict()) | set(origin.to_dict()) for line in (answer, Failure("", ""), Notice("", "", ""))]


def continues(file: BinaryIO) -> bool:
    """Looks at the lines up to the first answer, since a failure has few keys, which hardly ever change."""
    kinds = _kinds()
    answer = kinds[0]
    while line := file.readline(_LINE_BYTES):
        try:
            value = json.loads(line)
        except (ValueError, RecursionError):
            return False
        keys = set(value) - {"possibly_repeated"} if isinstance(value, dict) else set()
        if keys not in kinds:
            return False
        if keys == answer:
            return True
    return True
