"""Acceptance of a new engine: golden images, the precision of its layers, and for INT8 a gain in speed.

Design, decision 2. A peer prints a green tick beside a halved accuracy, and INT8 nodes in the wrong places are slower
than FP16 (TensorRT 8.6, RTX 3060: 0.566 ms against 0.527; yester31/quantization_ex).
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from fieldlens.convert.engine.layers import Layers, read_layers
from fieldlens.runtime.backends.selftest import Golden, SelfTest, run_selftest
from fieldlens.runtime.backends.tensorrt.backend import TensorRtBackend
from fieldlens.runtime.bundle.opened import Bundle

MIN_GAIN = 0.05
"""INT8 costs accuracy: below this it is not worth it."""
_ROUNDS = 15
_RUNS = 10
_WARM_UPS = 10


@dataclass(frozen=True)
class Acceptance:
    """What was found of one engine. ``refusals`` is empty if it was accepted."""

    precision: str
    file: str
    typing: str
    test: SelfTest
    layers: Layers
    gpu_p50_ms: float
    refusals: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """Whether it may run here."""
        return not self.refusals

    def to_json(self) -> dict[str, Any]:
        """For the plan's record."""
        return {**asdict(self), "refusals": list(self.refusals), "passed": self.passed}


@dataclass(frozen=True)
class Race:
    """Medians of interleaved rounds, GPU time with transfers, in ms."""

    fast_ms: float
    slow_ms: float

    @property
    def gain(self) -> float:
        """Share of time saved; negative if it is slower, 0 for what is not a time."""
        times = 0.0 <= self.fast_ms < math.inf and 0.0 < self.slow_ms < math.inf
        return 1.0 - self.fast_ms / self.slow_ms if times else 0.0


def judge(bundle: Bundle, golden: Golden, backend: TensorRtBackend, typing: str) -> Acceptance:
    """Golden images within tolerance, no decision turned over, and the promised precision in the layers."""
    test = run_selftest(bundle, backend, golden)
    layers = read_layers(backend.layers_json, backend.info.precision)
    refusals = []
    if test.max_logit_difference > test.allowed_logit_difference:
        refusals.append(
            f"logits differ by {test.max_logit_difference:.3g}, {test.allowed_logit_difference:.3g} allowed"
        )
    if test.flips:
        refusals.append(f"{test.flips} of {test.images} golden decisions turned over, none allowed")
    if layers.verdict == "contradicted":
        refusals.append(f"its layers do not run in {backend.info.precision}: {layers}")
    return Acceptance(
        backend.info.precision, backend.info.file, typing, test, layers, _median_ms(backend, golden), tuple(refusals)
    )


def race(fast: TensorRtBackend, slow: TensorRtBackend, golden: Golden) -> Race:
    """Both engines in turns, so that a clock that wanders wanders for both."""
    image = golden.tensors[:1]
    rounds: tuple[list[float], list[float]] = ([], [])
    for backend in (fast, slow):
        _times(backend, image, _WARM_UPS)
    for _ in range(_ROUNDS):
        for backend, medians in zip((fast, slow), rounds, strict=True):
            medians.append(float(np.median(_times(backend, image, _RUNS))))
    return Race(float(np.median(rounds[0])), float(np.median(rounds[1])))


def too_slow(contest: Race, precision: str, other: str) -> str:
    """Why ``precision`` is refused, by name and figure; empty if it gains enough."""
    if contest.gain >= MIN_GAIN:
        return ""
    return (
        f"{precision} takes {contest.fast_ms:.3f} ms here, {other} {contest.slow_ms:.3f} "
        f"({contest.gain:+.1%}; at least {MIN_GAIN:+.0%} is asked of it)"
    )


def table(verdicts: list[Acceptance]) -> str:
    """The gate's table."""
    rows = [("precision", "file", "built", "images", "logits (allowed)", "turned over", "GPU p50", "layers", "gate")]
    rows += [
        (
            v.precision,
            f"model.{v.file}",
            v.typing,
            str(v.test.images),
            f"{v.test.max_logit_difference:.3g} ({v.test.allowed_logit_difference:.3g})",
            str(v.test.flips),
            f"{v.gpu_p50_ms:.3f} ms",
            str(v.layers),
            "passed" if v.passed else "REFUSED",
        )
        for v in verdicts
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join(lines)


def _median_ms(backend: TensorRtBackend, golden: Golden) -> float:
    image = golden.tensors[:1]
    _times(backend, image, _WARM_UPS)
    return float(np.median(_times(backend, image, 5 * _RUNS)))


def _times(backend: TensorRtBackend, image: Any, runs: int) -> list[float]:
    times = []
    for _ in range(runs):
        backend.infer(image)
        times.append(backend.gpu_ms)
    return times
