"""The quality gate, before an answer: is this an image that the model can answer?

Measured on the network-sized picture, so that the limits mean the same for every camera resolution, and a blur or a
grain that is gone at the network's size, and so costs nothing, needs no retake.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from fieldlens.runtime.errors import BundleError
from fieldlens.runtime.fields import Fields, shown
from fieldlens.runtime.files import bounds
from fieldlens.runtime.prediction import Finding
from fieldlens.runtime.quality.appearance import COLOURS, TEXTURES, Appearance, Floats, describe

_LOW = {
    "brightness": "too dark: switch the lamp on or move to the light",
    "contrast": "almost nothing to see: clean the lens and point the camera at the area",
    "sharpness": "blurred: hold still and let the camera focus",
    "side": "too small: move closer or use the camera's full resolution",
}
_HIGH = {
    "brightness": "too bright: move the lamp away or shade the area",
    "clipped": "parts are burnt out or black: turn the picture away from glare",
    "noise": "grain instead of a picture: more light, and clean the lens",
    "contrast": "light and shadow are too hard: use even light",
    "appearance": "colours or textures of something else: check the subject, the lamp and the framing",
    "ood": "does not look like the pictures this model knows: check the subject and the framing",
}
CHECKS = ("brightness", "clipped", "contrast", "sharpness", "noise", "appearance", "side")

_MODELLED = ("sharpness", "appearance")
_BLACK, _WHITE = 3, 252
"""Grey values up to here are black, values of a channel from here on are burnt out: a lamp that is too strong takes the
red channel of skin first."""
_LAPLACIAN = 20.0
"""Energy of the Laplacian's answer to grain of unit variance: 4² + 4·1²."""


Range = tuple[float | None, float | None]
"""``(low, high)``; None: no limit on that side."""


@dataclass(frozen=True)
class Limits:
    """Allowed range per check, and how far a device may move it (``bounds``: the widest range per check).

    ``appearance``: what sharpness and appearance are measured by. None (a bundle whose trainer did not fit it): those
    two are not checked.
    """

    ranges: dict[str, Range]
    bounds: dict[str, Range]
    appearance: Appearance | None = None


@dataclass(frozen=True)
class Measures:
    """``plain``: brightness, contrast and noise in 8-bit levels, side in px, clipped as the share of black
    pixels plus that of burnt-out channel values; ``description``:
    :func:`fieldlens.runtime.quality.appearance.describe`."""

    plain: dict[str, float]
    description: Floats

    def checks(self, limits: Limits) -> dict[str, float]:
        """The value of every check that can be made, in the order of CHECKS."""
        values = dict(self.plain)
        if limits.appearance is not None:
            values["sharpness"], values["appearance"] = limits.appearance.judge(self.description)
        return {check: values[check] for check in CHECKS if check in values}


def limits_from_json(value: Any) -> Limits | None:
    """Read the manifest's ``quality``: ``{"limits": {check: [low, high]}, "bounds": {check: [low, high]}}``, and
    ``"model"`` with the arrays of :class:`Appearance`.

    Checks that are missing have no limits, and none that a device may invent. Raises BundleError.
    """
    if value is None:
        return None
    fields = Fields(value, "manifest.json.quality", BundleError)
    ranges, bounds = read_ranges(fields.child("limits")), read_ranges(fields.child("bounds"))
    model = fields.take("model", dict, None)
    fields.done()
    if model is None and (unmeasured := [check for check in _MODELLED if ranges[check] != (None, None)]):
        raise fields.fail(f"quality: limits for {', '.join(unmeasured)}, and no model to measure by")
    return Limits(ranges, bounds, None if model is None else _appearance(model))


def _appearance(value: dict[str, Any]) -> Appearance:
    fields = Fields(value, "manifest.json.quality.model", BundleError)
    every = TEXTURES + COLOURS
    powers, mean = (_array(fields, name, (count,)) for name, count in (("powers", TEXTURES), ("mean", every)))
    offset = fields.number("offset", -bounds.NUMBER, bounds.NUMBER)
    found = Appearance(powers, offset, mean, _array(fields, "whitener", (every, every)))
    fields.done()
    return found


def _array(fields: Fields, name: str, shape: tuple[int, ...]) -> Floats:
    """Numbers in lists, exactly of this shape: no texts, booleans or nulls, which NumPy would take for numbers."""
    value = fields.take(name, list)
    rows = value if len(shape) == 2 else [value]
    if len(value) != shape[0] or not all(isinstance(row, list) and len(row) == shape[-1] for row in rows):
        raise fields.fail(f"quality: {name} must be {shape} numbers")
    if not all(type(item) in (int, float) and abs(item) <= bounds.NUMBER for row in rows for item in row):
        raise fields.fail(f"quality: {name} must hold numbers of at most {bounds.NUMBER:g}")
    return np.array(value, np.float64)


def read_ranges(fields: Fields) -> dict[str, Range]:
    """``{check: [low, high]}``, either null; checks that are missing are open on both sides."""
    ranges: dict[str, Range] = {}
    for check in CHECKS:
        pair = fields.take(check, list, [None, None])
        numbers = [v for v in pair if v is not None]
        sound = len(pair) == 2 and all(isinstance(v, int | float) and not isinstance(v, bool) for v in numbers)
        if not sound or numbers != sorted(numbers):
            raise fields.fail(f"quality: {check!r} must be [low, high], not {shown(pair)}")
        ranges[check] = (pair[0], pair[1])
    fields.done()
    return ranges


def measure(image: npt.NDArray[np.uint8], source_side: int) -> Measures:
    """Measures of an RGB picture uint8 ``[S,S,3]`` whose shorter side was ``source_side`` pixels in its file."""
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
    """The finding for a picture out of distribution."""
    return Finding("ood", score, limit, _HIGH["ood"])
