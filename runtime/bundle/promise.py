"""What a threshold promises for new patients, and how that is proved: for trainer and device alike, NumPy only.

A threshold that just reaches a target on some images keeps it on others about half the time. Here it is placed so that
the target holds with a confidence: the sick below the threshold are a binomial count, so the share of the sick at or
above the order statistic of rank k + 1 is at least the quantile of Beta(n - k, k + 1) (Clopper and Pearson, Biometrika
1934; for order statistics: Wilks, Annals of Mathematical Statistics 1941). Thresholds are tested from the lowest up,
and the first that fails ends it, as in learn-then-test with a fixed sequence (Angelopoulos et al., 2021).

The unit is a group (a patient, a lesion), each with weight 1, spread evenly over its images. With several images a
group, misses are fractions, and the same formula takes them: exact for one image a group, otherwise an approximation
that is not proved. Losses within [0, 1] of a given mean vary most where they are 0 or 1, so it should err on the safe
side, and a simulation in the tests agrees.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt

from fieldlens.runtime.errors import ConfigError
from fieldlens.runtime.fields import Between, OneOf
from fieldlens.runtime.files import records
from fieldlens.runtime.files.records import ErrorKind

Floats = npt.NDArray[np.floating[Any]]
Bools = npt.NDArray[np.bool_]

MEASURES = ("sensitivity", "specificity")
_NOUNS = {"sensitivity": "positives", "specificity": "negatives"}
_Share = Annotated[float, Between(0, 1)]
_Count = Annotated[int, Between(0, 2**53)]
_STEPS = 60
"""Halvings of [0, 1]: beyond the last digit of a float."""


@dataclass(frozen=True)
class Promise:
    """``measure`` is at least ``proved`` on new patients, with the one-sided ``confidence``.

    ``wanted``: the target. ``groups`` and ``images`` of the measure's own side (the sick for sensitivity) were there
    to prove it. ``needed``: the fewest groups that could prove what is wanted, all of them right. ``labels``: of how
    many labels it holds together (each was tested at ``1 - (1 - confidence) / labels``: Bonferroni). ``networks``: how
    many others of the same recipe gave the scores (out-of-fold ones), so that the proof is about those; 0: itself.
    """

    measure: Annotated[str, OneOf(MEASURES)]
    wanted: _Share
    proved: _Share
    confidence: _Share
    groups: _Count
    images: _Count
    needed: _Count
    labels: Annotated[int, Between(1, 2**53)] = 1
    networks: _Count = 0

    @property
    def kept(self) -> bool:
        """Is what was wanted proved?"""
        return self.proved >= self.wanted - 1e-12

    @property
    def target(self) -> str:
        """``sensitivity >= 0.95``: what is proved, rounded down, and never more than was wanted."""
        return f"{self.measure} >= {self.wanted if self.kept else rounded_down(self.proved):g}"

    @property
    def aim(self) -> str:
        """:attr:`target`, and in so many words that it is less than was wanted, where it is."""
        return self.target if self.kept else f"{self.target}, the best that is proved, where {self.wanted:g} was wanted"

    @property
    def noun(self) -> str:
        """``positives``, or ``positive groups`` where some have several images; ``positive`` of one."""
        one = _NOUNS[self.measure][:-1]
        word = f"{one} group" if self.groups < self.images else one
        return word if self.groups == 1 else f"{word}s"

    def words(self) -> str:
        """One sentence for people, without its full stop."""
        sure = f"one-sided at {100 * self.confidence:g}%"
        together = f", for all {self.labels} labels together" if self.labels > 1 else ""
        others = "another network" if self.networks == 1 else f"{self.networks} other networks"
        by = f", as scored by {others} of the same recipe" if self.networks else ""
        if self.kept:
            return (
                f"{self.measure} on new patients is at least {self.wanted:g} ({sure}{together}), "
                f"proved by {self.groups} {self.noun}{by}"
            )
        more = f"{self.wanted:g} needs {self.needed} without a miss" if self.wanted < 1 else "no number proves 1"
        return (
            f"{self.groups} {self.noun} can prove a {self.measure} of at most {rounded_down(self.proved):g}; "
            f"{more} ({sure}{together}){by}"
        )

    def to_json(self) -> dict[str, Any]:
        """As in ``reached`` of a decision."""
        return asdict(self)


def promise_of(
    reached: dict[str, Any], key: str = "promise", error: ErrorKind = ConfigError, where: str = "reached"
) -> Promise | None:
    """The promise among what a decision reached; None in records of before there were any."""
    value = reached.get(key)
    return None if value is None else records.read(Promise, value, f"{where}.{key}", error)


def rounded_down(share: float) -> float:
    """Three digits: a proof is never rounded up."""
    return math.floor(1000 * share + 1e-9) / 1000


def proved_share(misses: float, groups: int, confidence: float) -> float:
    """The share of right answers that ``groups`` with so many misses prove: the one-sided lower limit (Clopper and
    Pearson). 0 without groups, or where all were missed."""
    if groups <= misses:
        return 0.0
    low, high = 0.0, 1.0
    for _ in range(_STEPS):
        middle = (low + high) / 2
        below = beta_below(middle, groups - misses, misses + 1) < 1 - confidence
        low, high = (middle, high) if below else (low, middle)
    return low


def proves(misses: float, groups: int, share: float, confidence: float) -> bool:
    """Do so few misses prove ``share``? As :func:`proved_share` ``>= share``, without the search."""
    return groups > misses and beta_below(share - 1e-12, groups - misses, misses + 1) <= 1 - confidence


def groups_needed(share: float, confidence: float, misses: int = 0) -> int:
    """The fewest groups that prove ``share`` with so many misses: 45 for 0.95 at 90% without one."""
    if not 0 < share < 1:
        return 2**53 if share >= 1 else 1
    count = misses + max(1, math.ceil(math.log1p(-confidence) / math.log(share) - 1e-9))
    while not proves(misses, count, share, confidence):
        count += max(1, count // 200)
    while count > misses + 1 and proves(misses, count - 1, share, confidence):
        count -= 1
    return count


def beta_below(x: float, a: float, b: float) -> float:
    """P(Beta(a, b) <= x): the regularised incomplete beta function (DLMF 8.17.22, continued fraction by Lentz)."""
    if x <= 0 or x >= 1:
        return float(x >= 1)
    if x > (a + 1) / (a + b + 2):
        return 1 - beta_below(1 - x, b, a)
    front = math.exp(
        math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)
    )  # fmt: skip
    tiny, c, d = 1e-300, 1.0, 1 - (a + b) * x / (a + 1)
    d = 1 / (d if abs(d) > tiny else tiny)
    fraction = d
    for m in range(1, 10_000):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        for part in (even, odd):
            d = 1 + part * d
            c = 1 + part / c
            d, c = 1 / (d if abs(d) > tiny else tiny), c if abs(c) > tiny else tiny
            fraction *= c * d
        if abs(c * d - 1) < 1e-14:
            break
    return front * fraction / a


@dataclass(frozen=True)
class Side:
    """The images that a promise is about, sorted from where misses begin: scores ``[n]``, and the weight ``[n]`` of
    each (a group has 1 in all)."""

    scores: Floats
    weights: Floats
    groups: int


def side_of(scores: Floats, chosen: Bools, groups: Sequence[str], *, rising: bool) -> Side:
    """The ``chosen`` of all images; ``rising``: low scores are missed first (the sick), else high ones (the well)."""
    own = np.asarray(scores, np.float64)[chosen]
    _, member_of, sizes = np.unique(
        np.asarray(groups, dtype=str)[chosen], return_inverse=True, return_counts=True
    )  # fmt: skip
    order = np.argsort(own if rising else -own, kind="stable")
    return Side(own[order], (1 / sizes)[member_of][order] if len(own) else own, len(sizes))


def promised_border(side: Side, share: float, confidence: float) -> tuple[float, float]:
    """The score that may be the outermost right one, and the share that this proves.

    The border farthest into this side at which ``share`` is still proved; where even no miss at all proves too
    little, the border without a miss. Raises ValueError for an empty side.
    """
    if not side.groups:
        raise ValueError("a side without images has no border")
    before = np.concatenate(([0.0], np.cumsum(side.weights)))[:-1]
    first = np.concatenate(([True], side.scores[1:] != side.scores[:-1]))  # ties stand or fall together
    low, high = 0, int(first.sum()) - 1
    places = np.flatnonzero(first)
    while low < high:
        middle = (low + high + 1) // 2
        enough = proves(float(before[places[middle]]), side.groups, share, confidence)
        low, high = (middle, high) if enough else (low, middle - 1)
    chosen = places[low]
    return float(side.scores[chosen]), proved_share(float(before[chosen]), side.groups, confidence)
