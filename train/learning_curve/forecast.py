"""What more images would bring: a power law through the errors of each draw, and the spread over the draws.

An error (1 − AUC, 1 − accuracy) falls about as ``a · n^(−b)`` (Cortes et al., Learning Curves, NIPS 1993; Figueroa et
al., Predicting sample size required for classification performance, BMC Medical Informatics and Decision Making 2012;
Viering and Loog, The Shape of Learning Curves: a Review, TPAMI 2023). Here it is a line through log error over log
size, for each draw by itself: draws are nested, so each has a curve of its own, and these are independent of each other
but for the images that they share. No floor is fitted: three to five sizes cannot tell it from a small ``b``, and
leaving it out promises too much far away, which is why nothing is said beyond twice the largest size and a little.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from fieldlens.train.metrics import Interval

Floats = npt.NDArray[np.float64]

FEWEST_SIZES, FEWEST_DRAWS = 3, 3
FARTHEST = 2.5
"""How far the law is followed, in times of the largest size."""


@dataclass(frozen=True)
class Forecast:
    """``gain``: of the figure by ``more`` images beyond ``size``, None where nothing can be said, and ``reason`` says
    why; ``scale``, ``exponent``: mean ``a`` (geometric) and ``b`` of the draws' laws."""

    size: int
    more: int
    gain: Interval | None
    reason: str
    scale: float | None = None
    exponent: float | None = None

    def at(self, size: float) -> float:
        """The figure that the mean law has at ``size`` images; NaN without one."""
        if self.scale is None or self.exponent is None:
            return math.nan
        return float(1 - self.scale * size**-self.exponent)


def over_draws(values: Sequence[float] | Floats) -> Interval | None:
    """Mean with its 95% interval by Student's t; None for fewer than two."""
    if len(values) < 2:
        return None
    mean, spread = float(np.mean(values)), float(np.std(values, ddof=1))
    reach = float(stats.t.ppf(0.975, len(values) - 1)) * spread / math.sqrt(len(values))
    return Interval(mean, mean - reach, mean + reach)


def forecast(sizes: Sequence[int], figures: Floats, more: int) -> Forecast:
    """From figures (1 is best) ``[draws, sizes]`` of draws that have every size, in rising order of ``sizes``."""
    largest = sizes[-1]
    errors = 1 - figures
    if reason := _silent(sizes, figures, more):
        return Forecast(largest, more, None, reason)
    slopes, starts = np.polyfit(np.log(sizes), np.log(errors).T, 1)
    gain = over_draws(_errors(starts, slopes, largest) - _errors(starts, slopes, largest + more))
    law = Forecast(largest, more, gain, "", float(np.exp(starts.mean())), float(-slopes.mean()))
    if len(sizes) > FEWEST_SIZES and (missed := _missed(sizes, figures)):
        return Forecast(largest, more, None, missed, law.scale, law.exponent)
    return law


def _errors(starts: Floats, slopes: Floats, size: int) -> Floats:
    return np.asarray(np.exp(starts + slopes * math.log(size)))


def _silent(sizes: Sequence[int], figures: Floats, more: int) -> str:
    """Why nothing can be said; empty where something can."""
    if len(sizes) < FEWEST_SIZES:
        return f"a law needs {FEWEST_SIZES} sizes or more, and there are {len(sizes)}"
    if len(figures) < FEWEST_DRAWS:
        return f"an interval needs {FEWEST_DRAWS} draws or more, and there are {len(figures)}"
    if np.isnan(figures).any():
        return "the figure is not defined for every network"
    if sizes[-1] + more > FARTHEST * sizes[-1]:
        return (
            f"{sizes[-1] + more} images are more than {FARTHEST:g} times the largest size measured, {sizes[-1]}: add a "
            "larger size, or ask for fewer with --more"
        )
    if (figures >= 1).any():
        return "a network made no error on the images that judge: they are too few, or too easy, to show a gain"
    return ""


def _missed(sizes: Sequence[int], figures: Floats) -> str:
    """Whether the law of the smaller sizes misses what was measured at the largest, beyond both intervals."""
    slopes, starts = np.polyfit(np.log(sizes[:-1]), np.log(1 - figures[:, :-1]).T, 1)
    off = over_draws((1 - figures[:, -1]) - _errors(starts, slopes, sizes[-1]))
    if off is None or off.low <= 0 <= off.high:
        return ""
    than = "less" if off.value > 0 else "more"
    return (
        f"the smaller sizes' law misses what {sizes[-1]} images reached ({than} by {abs(off.value):.3f}, beyond "
        "chance): this curve is no power law here"
    )
