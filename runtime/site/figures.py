"""What each threshold would do in this clinic, which one is proposed, and how its scores differ from the bundle's.

Proportions have Wilson's 95% intervals, those of predictive values, yield and cost follow from the ends of both. The
proposal is the order statistic that proves the bundle's target here (``bundle.promise``). Drift is the difference of
medians on the logit's scale, with a 95% bootstrap interval over groups.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from fieldlens.runtime.bundle.band import BandPromise, band_promise_of, few_uncertain, upper_shares
from fieldlens.runtime.bundle.decision import Decision, logit
from fieldlens.runtime.bundle.promise import (
    Bools,
    Floats,
    Promise,
    Side,
    groups_needed,
    promise_of,
    promised_border,
    proves,
    side_of,
)

ROUNDS, _Z = 1000, 1.959963984540054
_FEWEST = 6
"""People whose smallest and greatest score enclose the median with 95%: of five they do with 94%."""
_ROWS = 12
Range = tuple[float, float]


@dataclass(frozen=True)
class Local:
    """The clinic's scores ``[n]``, the truth ``[n]`` and the group of each image. ``refused``: images that the quality
    gate would have taken again, left out."""

    scores: Floats
    positive: Bools
    groups: tuple[str, ...]
    refused: int = 0


@dataclass(frozen=True)
class Costs:
    """Of one missed patient and of one referral, in the same unit; and the share of people who have it."""

    prevalence: float
    miss: float | None = None
    referral: float | None = None


@dataclass(frozen=True)
class Row:
    """One threshold. Ranges are 95% intervals; ``found``, ``referred``, ``missed`` and ``cost`` are per 1000 people."""

    threshold: float
    sensitivity: float
    sensitivity_range: Range
    specificity: float
    specificity_range: Range
    ppv_range: Range
    npv_range: Range
    found: float
    found_range: Range
    referred: float
    missed: float
    cost: float | None
    cost_range: Range | None
    ppv: float
    npv: float


@dataclass(frozen=True)
class Proposal:
    """The threshold that keeps the bundle's target here, the range in which the exact one lies (90%), its band, what is
    promised, how many groups with so many misses would prove the target, and what the band promises (None: no band).
    """

    threshold: float
    threshold_range: Range
    band: Range
    promise: Promise
    needed: tuple[tuple[int, int], ...]
    band_promise: BandPromise | None = None


@dataclass(frozen=True)
class Drift:
    """How far this clinic's median score lies from the bundle's, on the logit's scale, for the sick or the well."""

    side: str
    shift: float
    low: float
    high: float

    @property
    def found(self) -> bool:
        """The interval leaves out zero."""
        return not self.low <= 0 <= self.high

    def words(self) -> str:
        """For people."""
        what = "differ from the bundle's" if self.found else "do not differ from the bundle's, as far as they tell"
        found = f"{self.shift:+.2f} on the logit's scale ({self.low:+.2f} to {self.high:+.2f})"
        return f"scores of the {self.side} {what}: {found}"


def wilson(part: float, whole: float) -> Range:
    """95% interval of a share; (0, 1) of nothing."""
    if whole <= 0:
        return 0.0, 1.0
    share, z2 = part / whole, _Z * _Z
    centre, scale = share + z2 / (2 * whole), 1 + z2 / whole
    reach = _Z * math.sqrt(share * (1 - share) / whole + z2 / (4 * whole * whole))
    return max((centre - reach) / scale, 0.0), min((centre + reach) / scale, 1.0)


def row_at(local: Local, threshold: float, costs: Costs) -> Row:
    """What a threshold does here: refer means ``score >= threshold``."""
    referred, sick, p = local.scores >= threshold, local.positive, costs.prevalence
    hits, passes = int((referred & sick).sum()), int((~referred & ~sick).sum())
    se, sp = hits / int(sick.sum()), passes / int((~sick).sum())
    se_range, sp_range = wilson(hits, int(sick.sum())), wilson(passes, int((~sick).sum()))
    ends = list(zip(se_range, sp_range, strict=True))
    ppvs, npvs = [_ppv(*end, p) for end in ends], [_npv(*end, p) for end in ends]
    cost, cost_range = None, None
    if costs.miss is not None and costs.referral is not None:
        prices = [_cost(*end, costs) for end in ((se, sp), (se_range[1], sp_range[1]), (se_range[0], sp_range[0]))]
        cost, cost_range = prices[0], (min(prices), max(prices))
    return Row(
        threshold, se, se_range, sp, sp_range, (ppvs[0], ppvs[1]), (npvs[0], npvs[1]), 1000 * p * se,
        (1000 * p * se_range[0], 1000 * p * se_range[1]), 1000 * (p * se + (1 - p) * (1 - sp)), 1000 * p * (1 - se),
        cost, cost_range, _ppv(se, sp, p), _npv(se, sp, p),
    )  # fmt: skip


def _ppv(se: float, sp: float, p: float) -> float:
    referred = p * se + (1 - p) * (1 - sp)
    return p * se / referred if referred else 1.0


def _npv(se: float, sp: float, p: float) -> float:
    passed = p * (1 - se) + (1 - p) * sp
    return (1 - p) * sp / passed if passed else 1.0


def _cost(se: float, sp: float, costs: Costs) -> float:
    assert costs.miss is not None
    assert costs.referral is not None
    p = costs.prevalence
    return 1000 * (p * (1 - se) * costs.miss + (p * se + (1 - p) * (1 - sp)) * costs.referral)


def candidates(local: Local, *named: float) -> list[float]:
    """Thresholds for the table: evenly over the scores that occur, and the ``named`` ones."""
    spread = np.quantile(local.scores, (np.arange(_ROWS) + 0.5) / _ROWS)
    return sorted({round(float(value), 4) for value in spread} | set(named))


def propose(local: Local, decision: Decision) -> Proposal:
    """The proof of the bundle's target, on these cases."""
    measure, wanted, confidence = _target(decision)
    sick = side_of(local.scores, local.positive, local.groups, rising=True)
    well = side_of(local.scores, ~local.positive, local.groups, rising=False)
    side = sick if measure == "sensitivity" else well
    border, proved = promised_border(side, wanted, confidence)
    promise = Promise(
        measure, wanted, proved, confidence, side.groups, len(side.scores), groups_needed(wanted, confidence)
    )
    before = np.concatenate(([0.0], np.cumsum(side.weights)))[:-1]
    open_ = [
        score
        for score, misses in zip(side.scores, before, strict=True)
        if not proves(side.groups - misses, side.groups, 1 - wanted, 0.95)
    ]
    strict, surely = promised_border(side, wanted, 0.95)
    if surely < wanted - 1e-12:  # so few that even the outermost score proves too little: that end is open
        strict = 0.0 if side is sick else 1.0
    ends = sorted((float(strict), float(open_[-1])))
    threshold = float(border) if side is sick else float(min(np.nextafter(border, 2), 1.0))
    needed = tuple((misses, groups_needed(wanted, confidence, misses)) for misses in range(4))
    band, band_promise = _band(local, sick, well, threshold, decision)
    return Proposal(threshold, (ends[0], ends[1]), band, promise, needed, band_promise)


def _band(
    local: Local, sick: Side, well: Side, threshold: float, decision: Decision
) -> tuple[Range, BandPromise | None]:
    """Around ``threshold``, with the shares that the bundle's own band asked for; none where it has none. A bundle of
    before there were promises has those of a recipe that names none."""
    measure, wanted, confidence = _target(decision)
    if decision.reached.get("band") == {}:
        return (threshold, threshold), None
    own, free = band_promise_of(decision.reached), max(1 - 2 * (1 - wanted), 0.5)
    found_share = own.low.wanted if own else wanted if measure == "sensitivity" else free
    asked = own.referred_above if own else 1 - (wanted if measure == "specificity" else free)
    most = own.uncertain_most if own else 1.0
    lower, kept = promised_border(sick, found_share, confidence)
    low, shares = min(threshold, lower), upper_shares(asked, most)
    each = 1 - (1 - confidence) / len(shares)
    for share in shares:
        upper, passed = promised_border(well, round(1 - share, 12), each)
        high = max(threshold, upper)
        if few_uncertain(local.scores, local.groups, (low, high), most, confidence):
            break

    def promised(side: Side, measure: str, goal: float, proved: float, level: float) -> Promise:
        needed = groups_needed(goal, level)
        return Promise(measure, goal, proved, confidence, side.groups, len(side.scores), needed)

    ends = promised(well, "specificity", round(1 - share, 12), passed, each)
    return (low, high), BandPromise(promised(sick, "sensitivity", found_share, kept, confidence), ends, asked, most)


def _target(decision: Decision) -> tuple[str, float, float]:
    """The wish: of the bundle's promise where it has one."""
    promise = promise_of(decision.reached)
    if promise:
        return promise.measure, promise.wanted, promise.confidence
    measure, _, least = (word.strip() for word in decision.target.partition(">="))
    return measure, float(least), 0.9


def drift(local: Local, reached: dict[str, Any]) -> list[Drift]:
    """Of the sick and of the well, where there are enough to compare; empty for a bundle that does not say how its
    scores were spread."""
    found = []
    for side, chosen, count in (("sick", local.positive, "positives"), ("well", ~local.positive, "negatives")):
        quantiles, there = (reached.get("scores") or {}).get(side), int(reached.get(count) or 0)
        if not quantiles or not there or not chosen.any():
            continue
        groups = np.asarray(local.groups, str)[chosen]
        if len(np.unique(groups)) < _FEWEST:
            continue
        own, base = logit(local.scores[chosen]), logit(np.asarray(quantiles, np.float64))
        shifts = _medians(own, groups) - _medians_of_quantiles(base, there)
        low, high = np.quantile(shifts, [0.025, 0.975])
        found.append(Drift(side, float(np.median(own) - np.median(base)), float(low), float(high)))
    return found


def _medians(values: Floats, groups: npt.NDArray[np.str_]) -> Floats:
    """Medians of ROUNDS resamples of whole groups."""
    random, (_, member) = np.random.default_rng(0), np.unique(groups, return_inverse=True)
    count, order = int(member.max()) + 1, np.argsort(values)
    weights = np.stack([np.bincount(random.integers(0, count, count), minlength=count) for _ in range(ROUNDS)])
    summed = np.cumsum(weights[:, member[order]], axis=1)
    lower, upper = ((summed * 2 >= summed[:, -1:]).argmax(axis=1), (summed * 2 > summed[:, -1:]).argmax(axis=1))
    return np.asarray((values[order][lower] + values[order][upper]) / 2)


def _medians_of_quantiles(quantiles: Floats, count: int) -> Floats:
    """Medians of ROUNDS samples of ``count`` from a distribution that is known by its quantiles."""
    random, places = np.random.default_rng(1), np.linspace(0, 1, len(quantiles))
    middle = random.beta((count + 1) / 2, (count + 1) / 2, ROUNDS)
    return np.asarray(np.interp(middle, places, quantiles))


def cheapest(rows: Sequence[Row]) -> Row | None:
    """Where costs were given."""
    priced = [row for row in rows if row.cost is not None]
    return min(priced, key=lambda row: row.cost or 0.0) if priced else None
