"""Limits of the quality gate: as the manifest has them, and as a device may move them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from fieldlens.runtime.errors import BundleError
from fieldlens.runtime.fields import Fields, shown
from fieldlens.runtime.files import bounds
from fieldlens.runtime.pixels.appearance import COLOURS, TEXTURES, Appearance, Floats

CHECKS = ("brightness", "clipped", "contrast", "sharpness", "noise", "appearance", "side")

_MODELLED = ("sharpness", "appearance")

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


def limits_from_json(value: Any) -> Limits | None:
    """Read the manifest's ``quality``: ``{"limits": {check: [low, high]}, "bounds": {check: [low, high]}}``, and
    ``"model"`` with the arrays of :class:`Appearance`.

    Checks that are missing have no limits, and none that a device may invent. Raises BundleError.
    """
    if value is None:
        return None
    fields = Fields(value, "manifest.json.quality", BundleError)
    ranges, widest = read_ranges(fields.child("limits")), read_ranges(fields.child("bounds"))
    model = fields.take("model", dict, None)
    fields.done()
    if model is None and (unmeasured := [check for check in _MODELLED if ranges[check] != (None, None)]):
        raise fields.fail(f"quality: limits for {', '.join(unmeasured)}, and no model to measure by")
    return Limits(ranges, widest, None if model is None else _appearance(model))


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
