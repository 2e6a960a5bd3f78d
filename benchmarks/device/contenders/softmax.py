"""Logits to probabilities, for contenders that do not use this runtime."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from fieldlens.benchmarks.device.contenders.base import Job


def probabilities(logits: npt.NDArray[Any], job: Job) -> list[float]:
    """Logits ``[C]`` → temperature, then softmax or (multi-label) sigmoid."""
    scaled = logits.astype(np.float64) / job.temperature
    if job.task == "multilabel":
        values: list[float] = (1.0 / (1.0 + np.exp(-scaled))).tolist()
        return values
    exponent = np.exp(scaled - scaled.max())
    return list((exponent / exponent.sum()).tolist())
