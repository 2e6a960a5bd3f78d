"""The quality gate's limits for one device: moved after twenty good images of its camera, within the signed bounds.

A quality model of one camera fails on another (design: limits are per device). The manifest says how far a device may
go; what it measured is kept in the state folder for this bundle only.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from fieldlens.runtime.bundle.opened import Bundle
from fieldlens.runtime.bundle.quality_limits import Limits, Range, limits_from_json, read_ranges
from fieldlens.runtime.errors import BundleError, KitError
from fieldlens.runtime.files import kept, strictjson
from fieldlens.runtime.files.bounds import RECORD_BYTES
from fieldlens.runtime.pixels.preprocess import Preprocess
from fieldlens.runtime.quality.measures import Measures, measure
from fieldlens.runtime.sources.item import Broken, Encoded, Frame, ReadItem

LEAST = 20
"""Images: fewer say too little about the spread."""
_REACH = 2.396
"""Standard deviations beyond the mean: for twenty values, the one-sided tolerance limit that 95% of all good images
keep, with 95% confidence (ISO 16269-6, mean and deviation unknown)."""
_FLOOR = {"clipped": 0.01}
"""Added before the logarithm: less than one percent is nothing."""


@dataclass(frozen=True)
class Moved:
    """One limit before and after, and what the images spanned."""

    check: str
    seen: tuple[float, float]
    before: Range
    after: Range


def measure_images(bundle: Bundle, items: Iterable[ReadItem], count: int) -> list[Measures]:
    """The quality measures of the first ``count`` images. Raises the error of the first that cannot be read: good
    images were asked for."""
    preprocess = Preprocess(bundle.manifest.preprocess)
    tensor, measures = preprocess.empty()[0], []
    for item in items:
        if isinstance(item, Broken):
            raise item.error
        if isinstance(item, Encoded):
            decoded = preprocess.decode(item.data, item.source)
            preprocess(decoded.pixels, tensor)
            side = min(decoded.header.width, decoded.header.height)
        elif isinstance(item, Frame):
            preprocess.frame(item.frame_bgr, tensor)
            side = min(item.frame_bgr.shape[:2])
        else:
            continue
        measures.append(measure(tensor, side))
        if len(measures) >= count:
            break
    return measures


def propose(limits: Limits, measures: list[Measures]) -> list[Moved]:
    """New ranges from good images: a limit that this camera would break moves as far as needed, inside the bounds.
    None becomes narrower: what the network bears does not depend on the camera. Raises KitError for fewer than LEAST.
    """
    if len(measures) < LEAST:
        raise KitError(f"{len(measures)} good images; {LEAST} are needed", "take more, of different people")
    rows = [each.checks(limits) for each in measures]
    moved = []
    for check in rows[0]:
        values = np.array([row[check] for row in rows], np.float64)
        before, low, high = limits.ranges[check], *_span(check, values)
        after = _widened(before, low, high, limits.bounds[check])
        moved.append(Moved(check, (float(values.min()), float(values.max())), before, after))
    return moved


def _span(check: str, values: npt.NDArray[np.float64]) -> tuple[float, float]:
    """Tolerance limits; on a logarithmic scale but for brightness, which has two ends."""
    if check == "brightness":
        reach = _REACH * float(values.std(ddof=1))
        return float(values.mean()) - reach, float(values.mean()) + reach
    floor = _FLOOR.get(check, 1e-6)
    logs = np.log(values + floor)
    middle, reach = float(logs.mean()), _REACH * float(logs.std(ddof=1))
    return float(np.exp(middle - reach)) - floor, float(np.exp(middle + reach)) - floor


def _widened(before: Range, low: float, high: float, bound: Range) -> Range:
    lowest, highest = _clamp(low, before[0], bound), _clamp(high, before[1], bound)
    return (
        None if before[0] is None or lowest is None else min(before[0], lowest),
        None if before[1] is None or highest is None else max(before[1], highest),
    )


def _clamp(value: float, before: float | None, bound: Range) -> float | None:
    """A side without a limit stays without; otherwise the value, inside the bounds."""
    if before is None:
        return None
    low = -np.inf if bound[0] is None else bound[0]
    high = np.inf if bound[1] is None else bound[1]
    return float(min(max(value, low), high)) if np.isfinite(low) or np.isfinite(high) else before


def save(state: Path, bundle: Bundle, moved: Iterable[Moved]) -> Path:
    """Keep the new ranges for this bundle on this device; the path."""
    path = _path(state, bundle)
    limits = {m.check: list(m.after) for m in moved}
    kept.save(path, _identity(bundle), json.dumps(limits, allow_nan=False).encode())
    return path


def device_limits(state: Path, bundle: Bundle) -> Limits | None:
    """The manifest's limits, with what this device moved. A file that goes beyond the bounds is an error: the manifest
    is signed, this file is not. Raises BundleError."""
    limits = limits_from_json(bundle.manifest.quality)
    path = _path(state, bundle)
    if limits is None or kept.hidden(path):  # of a state that cannot be read it is said that nothing is kept there
        return limits
    try:
        if (payload := kept.load(path, _identity(bundle), RECORD_BYTES)) is None:
            return limits
        own = read_ranges(strictjson.loads(payload, RECORD_BYTES), path.name)
    except (KitError, strictjson.JsonError) as error:
        raise BundleError(f"{path} cannot be used: {error}", "delete it, and calibrate the camera again") from error
    for check, pair in own.items():
        for value, before in zip(pair, limits.ranges[check], strict=True):
            allowed = value == before or (value is not None and _clamp(value, before, limits.bounds[check]) == value)
            if not allowed:
                raise BundleError(
                    f"{path}: the limit {value} of {check} is outside of what the bundle allows",
                    "delete it, and calibrate the camera again",
                )
    return Limits(own, limits.bounds, limits.appearance)


def _path(state: Path, bundle: Bundle) -> Path:
    return state / "camera" / f"{bundle.hash[:16]}.json"


def _identity(bundle: Bundle) -> kept.Identity:
    return {"kind": "camera limits", "bundle": bundle.hash}
