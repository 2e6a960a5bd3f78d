"""Limits of the quality gate: as the manifest has them, and as a device may move them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np

from fieldlens.runtime.bundle.manifest import RENEW
from fieldlens.runtime.errors import BundleError
from fieldlens.runtime.fields import Between, Count, OneOf, Unfit
from fieldlens.runtime.files import bounds, records
from fieldlens.runtime.pixels.appearance import COLOURS, TEXTURES, Appearance

CHECKS = ("brightness", "clipped", "contrast", "sharpness", "noise", "appearance", "side")

_MODELLED = ("sharpness", "appearance")
_OPEN = (None, None)

Range = tuple[float | None, float | None]
"""``(low, high)``; None: no limit on that side."""


def _upwards(pair: Range) -> None:
    if pair[0] is not None and pair[1] is not None and pair[0] > pair[1]:
        raise Unfit(f"must be [low, high], not {list(pair)}")


_Ranges = Annotated[dict[str, Annotated[Range, _upwards]], OneOf(CHECKS)]
_Number = Annotated[float, Between(-bounds.NUMBER, bounds.NUMBER)]
_SIZE = TEXTURES + COLOURS


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
class _Model:
    """The arrays of :class:`Appearance`, as lists."""

    powers: Annotated[tuple[_Number, ...], Count(TEXTURES, TEXTURES)]
    offset: _Number
    mean: Annotated[tuple[_Number, ...], Count(_SIZE, _SIZE)]
    whitener: Annotated[tuple[Annotated[tuple[_Number, ...], Count(_SIZE, _SIZE)], ...], Count(_SIZE, _SIZE)]

    def arrays(self) -> Appearance:
        powers, mean, whitener = (np.array(each, np.float64) for each in (self.powers, self.mean, self.whitener))
        return Appearance(powers, self.offset, mean, whitener)


@dataclass(frozen=True)
class _Quality:
    """``limits`` and ``bounds``: ``{check: [low, high]}``."""

    limits: _Ranges
    bounds: _Ranges
    model: _Model | None = None

    def __post_init__(self) -> None:
        unmeasured = [check for check in _MODELLED if self.limits.get(check, _OPEN) != _OPEN]
        if self.model is None and unmeasured:
            raise Unfit(f"limits for {', '.join(unmeasured)}, and no model to measure by")


def limits_from_json(value: Any) -> Limits | None:
    """Read the manifest's ``quality``. Checks that are missing have no limits, and none that a device may invent.

    Raises BundleError.
    """
    if value is None:
        return None
    found = records.read(_Quality, value, "manifest.json.quality", BundleError, renew=RENEW)
    model = None if found.model is None else found.model.arrays()
    return Limits(_all_checks(found.limits), _all_checks(found.bounds), model)


def read_ranges(value: Any, where: str) -> dict[str, Range]:
    """``{check: [low, high]}``, either null; checks that are missing are open on both sides. Raises BundleError."""
    return _all_checks(records.read_as(_Ranges, value, where, BundleError))


def _all_checks(ranges: dict[str, Range]) -> dict[str, Range]:
    return {check: ranges.get(check, _OPEN) for check in CHECKS}
