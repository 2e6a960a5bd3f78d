"""The few figures of merit that a device's benchmarks print, in NumPy alone.

``train/metrics`` has these and many more, and needs SciPy, which no device has; a test holds both against each other.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating[Any]]
Ints = npt.NDArray[np.integer[Any]]
_Z95 = 1.959963984540054
"""The normal distribution's 97.5th percentile."""


def accuracy(probabilities: Floats, labels: Ints) -> float:
    """Share of images whose most probable class is the right one. ``[n,C]``, ``[n]``."""
    return float(np.mean(np.argmax(probabilities, axis=1) == labels))


def binary_auc(scores: Floats, positive: npt.NDArray[np.bool_]) -> float:
    """Area under the ROC curve by ranks (Mann–Whitney, ties half); NaN where one side is empty. ``[n]``, ``[n]``."""
    count = int(positive.sum())
    others = len(positive) - count
    if not count or not others:
        return math.nan
    _, place, times = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(times) - (times - 1) / 2)[place]
    return float((ranks[positive].sum() - count * (count + 1) / 2) / (count * others))


def auc(probabilities: Floats, labels: Ints) -> float:
    """Two classes: of the second. More: macro average over the classes that have both sides; NaN where none has."""
    if probabilities.shape[1] == 2:
        return binary_auc(probabilities[:, 1], labels == 1)
    areas = [binary_auc(scores, labels == index) for index, scores in enumerate(probabilities.T)]
    known = [area for area in areas if not math.isnan(area)]
    return float(np.mean(known)) if known else math.nan


def wilson(successes: int, n: int) -> tuple[float, float]:
    """Wilson's 95% score interval of a proportion (Wilson, JASA 1927); (0, 1) where nothing was counted."""
    if n == 0:
        return 0.0, 1.0
    share, z = successes / n, _Z95
    centre = share + z * z / (2 * n)
    reach = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    scale = 1 + z * z / n
    # At the ends the formula gives 0 and 1 but for rounding.
    low = 0.0 if successes == 0 else (centre - reach) / scale
    return low, 1.0 if successes == n else (centre + reach) / scale
