"""The gate before an answer: is this a picture that the model can answer?

Measured on the network-sized picture, so that the limits mean the same for every camera resolution. Sharpness is the
variance of the Laplacian divided by the variance of the picture: contrast alone does not make it look sharp
(Pertuz et al., Analysis of focus measure operators, Pattern Recognition 2013, LAP4, normalised).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from runtime.errors import BundleError
from runtime.fields import Fields
from runtime.prediction import Finding

_LOW = {
    "brightness": "too dark: switch the lamp on or move to the light",
    "contrast": "almost nothing to see: clean the lens and point the camera at the area",
    "sharpness": "blurred: hold still and let the camera focus",
    "side": "too small: move closer or use the camera's full resolution",
}
_HIGH = {
    "brightness": "too bright: move the lamp away or shade the area",
    "clipped": "parts are burnt out or black: turn the picture away from glare",
    "sharpness": "noise instead of a picture: more light, and clean the lens",
    "contrast": "light and shadow are too hard: use even light",
    "ood": "does not look like the pictures this model knows: check the subject and the framing",
}
CHECKS = ("brightness", "clipped", "contrast", "sharpness", "side")


Range = tuple[float | None, float | None]
"""``(low, high)``; None: no limit on that side."""


@dataclass(frozen=True)
class Limits:
    """Allowed range per check, and how far a device may move it (``bounds``: the widest range per check)."""

    ranges: dict[str, Range]
    bounds: dict[str, Range]


def limits_from_json(value: Any) -> Limits | None:
    """Read the manifest's ``quality``: ``{"limits": {check: [low, high]}, "bounds": {check: [low, high]}}``.

    Checks that are missing have no limits, and none that a device may invent. Raises BundleError.
    """
    if value is None:
        return None
    fields = Fields(value, "manifest.json.quality", BundleError)
    limits = Limits(read_ranges(fields.child("limits")), read_ranges(fields.child("bounds")))
    fields.done()
    return limits


def read_ranges(fields: Fields) -> dict[str, Range]:
    """``{check: [low, high]}``, either null; checks that are missing are open on both sides."""
    ranges: dict[str, Range] = {}
    for check in CHECKS:
        pair = fields.take(check, list, [None, None])
        numbers = [v for v in pair if v is not None]
        sound = len(pair) == 2 and all(isinstance(v, int | float) and not isinstance(v, bool) for v in numbers)
        if not sound or numbers != sorted(numbers):
            raise fields.fail(f"quality: {check!r} must be [low, high], not {pair}")
        ranges[check] = (pair[0], pair[1])
    fields.done()
    return ranges


def measure(image: npt.NDArray[np.uint8], source_side: int) -> dict[str, float]:
    """Measures of an RGB picture uint8 ``[S,S,3]`` whose shorter side was ``source_side`` pixels in its file."""
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    mean, variance = _mean_and_variance(grey)
    _, edges = _mean_and_variance(cv2.Laplacian(grey, cv2.CV_16S))
    return {
        "brightness": mean,
        "clipped": 1.0 - cv2.countNonZero(cv2.inRange(grey, 4, 251)) / grey.size,
        "contrast": math.sqrt(variance),
        "sharpness": edges / max(variance, 1.0),
        "side": float(source_side),
    }


def _mean_and_variance(values: npt.NDArray[Any]) -> tuple[float, float]:
    """Of integers ``[H,W]``. ``cv2.meanStdDev`` takes ten times as long on 16 bits; these sums are exact."""
    mean = cv2.sumElems(values)[0] / values.size
    return mean, max(cv2.norm(values, cv2.NORM_L2SQR) / values.size - mean * mean, 0.0)


def judge(measures: dict[str, float], limits: Limits) -> tuple[Finding, ...]:
    """What is wrong with the picture, in the order of CHECKS."""
    findings = []
    for check, value in measures.items():
        low, high = limits.ranges[check]
        if low is not None and value < low:
            findings.append(Finding(check, value, low, _LOW.get(check, "outside of what the model knows")))
        elif high is not None and value > high:
            findings.append(Finding(check, value, high, _HIGH.get(check, "outside of what the model knows")))
    return tuple(findings)


def strange(score: float, limit: float) -> Finding:
    """The finding for a picture out of distribution."""
    return Finding("ood", score, limit, _HIGH["ood"])
