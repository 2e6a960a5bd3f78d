"""Thresholds and band with their promises, from scores of images that nothing was trained on.

The statistics are ``runtime.bundle.promise``'s, which a device needs as well. Bates et al., Distribution-free,
risk-controlling prediction sets (JACM 2021), and Angelopoulos et al., Learn then test (2021), give the frame: both ends
of the band control a risk (the sick below it, the well above it) with a confidence, here by exact tests.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from fieldlens.runtime.bundle.band import BandPromise, few_uncertain, upper_shares
from fieldlens.runtime.bundle.decision import logit
from fieldlens.runtime.bundle.promise import Bools, Floats, Promise, groups_needed, promised_border, side_of
from fieldlens.runtime.errors import ConfigError
from fieldlens.runtime.fields import nearest
from fieldlens.train.config import DecisionConfig

FREE = 0.005
"""Of the other measure, on average: what a threshold may cost beyond the proof's own."""
OTHER = {"sensitivity": "specificity", "specificity": "sensitivity"}


@dataclass(frozen=True)
class Target:
    """``sensitivity >= 0.95`` or ``specificity >= 0.95``."""

    measure: str
    least: float


@dataclass(frozen=True)
class Scored:
    """Scores ``[n]``, the truth ``[n]``, and the group of each image. ``networks``: how many others than the one that
    decides gave the scores (out-of-fold ones); 0: itself."""

    scores: Floats
    positive: Bools
    groups: Sequence[str]
    networks: int = 0


@dataclass(frozen=True)
class Border:
    """Refer means ``score >= threshold``; what that promises."""

    threshold: float
    promise: Promise


def parse_target(text: str) -> Target:
    """Raises ConfigError for anything but ``sensitivity >= x`` and ``specificity >= x``, 0 < x <= 1."""
    match = re.fullmatch(r"\s*(\w+)\s*>=\s*([0-9.]+)\s*", text)
    if not match:
        raise ConfigError(f"decision.target {text!r} is not understood", 'for example "sensitivity >= 0.95"')
    measure = match[1]
    if measure not in OTHER:
        raise ConfigError(f"decision.target {text!r}: {measure!r}", nearest(measure, tuple(OTHER)))
    try:
        least = float(match[2])
    except ValueError:
        least = 0.0
    if not 0 < least <= 1:
        raise ConfigError(f"decision.target {text!r}: the value must be above 0 and at most 1", "for example 0.95")
    return Target(measure, least)


def border_for(data: Scored, target: Target, confidence: float, labels: int = 1) -> Border:
    """The threshold at which the target is proved, at the least cost; where it cannot be, the best that can.

    Sensitivity: the highest threshold with the proof, then lowered as long as that refers not one more negative:
    sensitivity beyond the target is taken where it is free. Specificity: the other way round. Between n negatives lie
    n + 1 gaps that new ones fall into equally often, so only so much of a gap is taken as costs FREE. The threshold
    lies between two scores, so that the last digit of a converted model does not decide. ``labels``: of how many this
    is one; the confidence is then that of all together (Bonferroni).
    """
    each = 1 - (1 - confidence) / labels
    sensitive = target.measure == "sensitivity"
    chosen = data.positive if sensitive else ~data.positive
    side = side_of(data.scores, chosen, data.groups, rising=sensitive)
    outermost, proved = promised_border(side, target.least, each)
    promise = Promise(
        target.measure, target.least, proved, confidence, side.groups, len(side.scores),
        groups_needed(target.least, each), labels, data.networks,
    )  # fmt: skip
    own, others = side.scores, data.scores[~chosen]
    if sensitive:
        next_other = float(max(others[others < outermost], default=0.0))
        furthest = (next_other + float(own[own > next_other].min(initial=outermost))) / 2
        return Border(min(max(furthest, _part_way(outermost, next_other, len(others))), outermost), promise)
    next_other = float(min(others[others > outermost], default=1.0))
    furthest = (next_other + float(own[own < next_other].max(initial=outermost))) / 2
    return Border(max(min(furthest, _part_way(outermost, next_other, len(others))), _above(outermost)), promise)


def _part_way(start: float, end: float, count: int) -> float:
    """As far from ``start`` to ``end`` (of ``count`` scores) on the logit's scale as costs FREE on average."""
    part = min(1.0, FREE * (count + 1))
    place = (1 - part) * logit(start) + part * logit(end)
    return float(0.5 * (1 + np.tanh(0.5 * place)))


def _above(score: float) -> float:
    return float(min(np.nextafter(score, 2), 1.0))


def empty_border(data: Scored, target: Target, confidence: float, labels: int = 1) -> Border:
    """Where one side has no image there is nothing to choose by, and nothing is proved."""
    chosen = data.positive if target.measure == "sensitivity" else ~data.positive
    count = int(chosen.sum())
    needed = groups_needed(target.least, 1 - (1 - confidence) / labels)
    promise = Promise(target.measure, target.least, 0.0, confidence, count, count, needed, labels, data.networks)
    return Border(0.5, promise)


def _rest(share: float) -> float:
    """What is left of 1, as a person would write it: 0.05 and not 0.050000000000000044."""
    return round(1 - share, 12)


def band_around(
    data: Scored, threshold: float, target: Target, config: DecisionConfig
) -> tuple[tuple[float, float], BandPromise | None]:
    """``(low, high)`` around ``threshold``, and what its ends promise; None where no band is wanted.

    Below ``low`` at most a share ``missed_below`` of the sick, above ``high`` at most ``referred_above`` of the well,
    each with the confidence of the target by itself. Where that would leave more than ``uncertain_most`` of the images
    uncertain, more of the well may lie above (:mod:`runtime.bundle.band`); a target of specificity has its threshold
    there already, so nothing gives way. Where the scores part so well that one threshold keeps both promises, there is
    no band. Raises ValueError where a side is empty.
    """
    if config.band == 0:
        return (threshold, threshold), None
    sensitive, free = target.measure == "sensitivity", min(2 * _rest(target.least), 0.5)
    missed = config.missed_below or (_rest(target.least) if sensitive else free)
    asked = config.referred_above or (free if sensitive else _rest(target.least))
    most = config.uncertain_most if sensitive else 1.0
    lower = border_for(data, Target("sensitivity", _rest(missed)), config.confidence)
    low, shares = min(threshold, lower.threshold), upper_shares(asked, most)
    for share in shares:
        upper = border_for(data, Target("specificity", _rest(share)), config.confidence, len(shares))
        high = max(threshold, upper.threshold)
        if few_uncertain(data.scores, data.groups, (low, high), most, config.confidence):
            break
    return (low, high), BandPromise(lower.promise, replace(upper.promise, labels=1), asked, most)
