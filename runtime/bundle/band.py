"""The band around a threshold: what lies below and above it is promised, and what lies within stays a small share.

The lower end guards the sick and never gives way. The upper end promises that at most a share of the well lies above
it. With few images that takes a score so high that the band holds a third of all images, and an outcome that says
nothing of every third person is of no use. Then it promises twice that share, or four times: the first that leaves few
enough uncertain, by the same images. Because one of three is chosen, each is tested at a third of the error
(Bonferroni), so that the one that is chosen holds with the confidence of the target.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Annotated, Any

import numpy as np

from fieldlens.runtime.bundle.promise import Floats, Promise, proves, rounded_down, side_of
from fieldlens.runtime.errors import ConfigError
from fieldlens.runtime.fields import Between
from fieldlens.runtime.files import records
from fieldlens.runtime.files.records import ErrorKind

_STEPS = (1, 2, 4)
"""Times the share that is asked for; never more than half of the well."""
_Share = Annotated[float, Between(0, 1)]


@dataclass(frozen=True)
class BandPromise:
    """``low``: of the sick, at least so many at or above the band's lower end. ``high``: of the well, at least so many
    at or below its upper end. ``asked``: the share of the well above it that was asked for (0: as in ``high``), and
    ``uncertain_most``: the share of images that the band may hold, for which more was allowed (1: as many as it takes).
    """

    low: Promise
    high: Promise
    asked: _Share = 0.0
    uncertain_most: _Share = 1.0

    @property
    def referred_above(self) -> float:
        """The share of the well above it that was asked for."""
        return self.asked or round(1 - self.high.wanted, 12)

    def words(self) -> str:
        """One sentence for people, without its full stop."""
        text = f"below it lie at most {_most(self.low)} of the sick, above it at most {_most(self.high)} of the well"
        text += f" (each one-sided at {100 * self.high.confidence:g}%)"
        if self.referred_above < 1 - self.high.wanted - 1e-9:
            text += (
                f"; a band with {100 * self.referred_above:.3g}% of the well above it would hold more than "
                f"{100 * self.uncertain_most:.3g}% of all images"
            )
        return text

    def to_json(self) -> dict[str, Any]:
        """As ``reached.band`` of a decision."""
        return asdict(self)


def _most(promise: Promise) -> str:
    """The share on the wrong side that is proved, rounded up."""
    return f"{100 - 100 * (promise.wanted if promise.kept else rounded_down(promise.proved)):.3g}%"


def band_promise_of(
    reached: dict[str, Any], error: ErrorKind = ConfigError, where: str = "reached"
) -> BandPromise | None:
    """Of what a decision reached; None without a band, and in records of before there were promises."""
    value = reached.get("band")
    return records.read(BandPromise, value, f"{where}.band", error) if value else None


def upper_shares(asked: float, uncertain_most: float) -> tuple[float, ...]:
    """The shares of the well above the band that are tried, in this order; each is tested at ``1 - (1 - confidence) /
    len`` of them."""
    if uncertain_most >= 1:
        return (asked,)
    return tuple(dict.fromkeys(round(min(asked * step, max(asked, 0.5)), 12) for step in _STEPS))


def few_uncertain(
    scores: Floats, groups: Sequence[str], band: tuple[float, float], most: float, confidence: float
) -> bool:
    """Do these images (scores ``[n]``, the group of each) prove that the band holds at most the share ``most``? Groups
    count, not images."""
    low, high = band
    if low >= high or most >= 1:
        return True
    every = side_of(scores, np.ones(len(scores), bool), groups, rising=True)
    inside = (every.scores >= low) & (every.scores <= high)
    return proves(float(every.weights[inside].sum()), every.groups, 1 - most, confidence)
