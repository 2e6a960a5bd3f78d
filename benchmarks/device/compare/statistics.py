"""Percentiles, and the ratio of two contenders with its interval. Pure functions of the times."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

RESAMPLES = 10_000
_SEED = 0

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Ratio:
    """A ratio of times and its 95% interval. Above 1: slower than the reference."""

    value: float
    low: float
    high: float


def ratio(rounds: Sequence[Sequence[float]], reference: Sequence[Sequence[float]]) -> Ratio:
    """Times ``[round][image]`` of a contender against the reference's, in the same rounds.

    Per round the ratio of the two medians (the round's state of the machine cancels), then the median over rounds;
    the interval is the percentile bootstrap over rounds (Efron & Tibshirani 1993, ch. 13), because the images
    within a round are not independent of each other.
    """
    ratios = per_round(rounds, reference)
    draws = np.random.default_rng(_SEED).integers(0, len(ratios), (RESAMPLES, len(ratios)))
    low, high = np.percentile(np.median(ratios[draws], axis=1), [2.5, 97.5])
    return Ratio(float(np.median(ratios)), float(low), float(high))


def per_round(rounds: Sequence[Sequence[float]], reference: Sequence[Sequence[float]]) -> Floats:
    """The ratio of medians of each round."""
    if len(rounds) != len(reference) or not len(rounds):
        raise ValueError(f"{len(rounds)} rounds cannot be paired with {len(reference)}")
    return np.array([np.median(ours) / np.median(base) for ours, base in zip(rounds, reference, strict=True)])


def percentiles(rounds: Sequence[Sequence[float]]) -> dict[str, float]:
    """p50, p90, p99, mean and count over all rounds, in ms."""
    pooled = np.concatenate([np.asarray(times, np.float64) for times in rounds])
    p50, p90, p99 = (float(value) for value in np.percentile(pooled, [50, 90, 99]))
    return {"p50_ms": p50, "p90_ms": p90, "p99_ms": p99, "mean_ms": float(pooled.mean()), "n": len(pooled)}


def agreement(answers: Sequence[Any], reference: Sequence[Any]) -> tuple[float, float]:
    """Share of images with the same most probable class, and the largest difference of a probability."""
    ours, theirs = np.asarray(answers, np.float64), np.asarray(reference, np.float64)
    same = ours.argmax(axis=1) == theirs.argmax(axis=1)
    return float(same.mean()), float(np.abs(ours - theirs).max())
