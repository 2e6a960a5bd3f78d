"""The quality gate, before an answer: is this an image that the model can answer?

Measured on the network-sized image, so that the limits mean the same for every camera resolution, and a blur or a
grain that is gone at the network's size, and so costs nothing, needs no retake.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from fieldlens.runtime.bundle.quality_limits import CHECKS, Limits
from fieldlens.runtime.pixels.appearance import Floats, describe
from fieldlens.runtime.prediction import Finding

_LOW = {
    "brightness": "too dark: switch the lamp on or move to the light",
    "contrast": "almost nothing to see: clean the lens and point the camera at the area",
    "sharpness": "blurred: hold still and let the camera focus",
    "side": "too small: move closer or use the camera's full resolution",
}
_HIGH = {
    "brightness": "too bright: move the lamp away or shade the area",
    "clipped": "parts are burnt out or black: turn the image away from glare",
    "noise": "grain instead of an image: more light, and clean the lens",
    "contrast": "light and shadow are too hard: use even light",
    "appearance": "colours or textures of something else: check the subject, the lamp and the framing",
    "ood": "does not look like the images this model knows: check the subject and the framing",
}
_BLACK, _WHITE = 3, 252
"""Grey values up to here are black, values of a channel from here on are burnt out: a lamp that is too strong takes the
red channel of skin first."""
_LAPLACIAN = 20.0
"""Energy of the Laplacian's answer to grain of unit variance: 4² + 4·1²."""


@dataclass(frozen=True)
class Measures:
    """``plain``: brightness, contrast and noise in 8-bit levels, side in px, clipped as the share of black
    pixels plus that of burnt-out channel values; ``description``:
    :func:`fieldlens.runtime.pixels.appearance.describe`."""

    plain: dict[str, float]
    description: Floats

    def checks(self, limits: Limits) -> dict[str, float]:
        """The value of every check that can be made, in the order of CHECKS."""
        values = dict(self.plain)
        if limits.appearance is not None:
            values["sharpness"], values["appearance"] = limits.appearance.judge(self.description)
        return {check: values[check] for check in CHECKS if check in values}


def measure(image: npt.NDArray[np.uint8], source_side: int) -> Measures:
    """Measures of an RGB image uint8 ``[S,S,3]`` whose shorter side was ``source_side`` pixels in its file."""
    grey = np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), np.uint8)
    mean, deviation = (values.item() for values in cv2.meanStdDev(grey))
    _, black = cv2.threshold(grey, _BLACK, 1, cv2.THRESH_BINARY_INV)
    _, burnt = cv2.threshold(image.reshape(image.shape[0], -1), _WHITE - 1, 1, cv2.THRESH_BINARY)
    clipped = cv2.countNonZero(black) / grey.size + cv2.countNonZero(burnt) / image.size
    description = describe(image, grey)
    plain = {
        "brightness": mean,
        "clipped": clipped,
        "contrast": deviation,
        "noise": math.sqrt(math.exp(description[2]) / _LAPLACIAN),
        "side": float(source_side),
    }
    return Measures(plain, description)


def judge(measures: Measures, limits: Limits) -> tuple[Finding, ...]:
    """What is wrong with the image, in the order of CHECKS. A value that is not a number is always a finding."""
    findings = []
    for check, value in measures.checks(limits).items():
        low, high = limits.ranges[check]
        if math.isnan(value) or (low is not None and not value >= low):
            limit = math.nan if low is None else low
            findings.append(Finding(check, value, limit, _LOW.get(check, "outside of what the model knows")))
        elif high is not None and not value <= high:
            findings.append(Finding(check, value, high, _HIGH.get(check, "outside of what the model knows")))
    return tuple(findings)


def strange(score: float, limit: float) -> Finding:
    """The finding for an image out of distribution."""
    return Finding("ood", score, limit, _HIGH["ood"])
