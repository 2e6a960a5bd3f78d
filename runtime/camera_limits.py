"""The gate's limits for one device: moved after twenty good pictures of its own camera, within the signed bounds.

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

from runtime import atomic
from runtime.bundle import Bundle
from runtime.errors import BundleError, KitError
from runtime.fields import Fields
from runtime.preprocess import Preprocess
from runtime.quality import CHECKS, Limits, Range, limits_from_json, measure, read_ranges
from runtime.sources import Item

LEAST = 20
"""Pictures: fewer say too little about the spread."""
_REACH = 4.0
"""Standard deviations beyond the mean, on the scale on which a check spreads evenly."""


@dataclass(frozen=True)
class Moved:
    """One limit before and after, and what the pictures spanned."""

    check: str
    seen: tuple[float, float]
    before: Range
    after: Range


def measure_pictures(bundle: Bundle, items: Iterable[Item], count: int) -> list[dict[str, float]]:
    """The quality measures of the first ``count`` pictures. Raises the error of the first that cannot be read: good
    pictures were asked for."""
    preprocess = Preprocess(bundle.manifest.preprocess)
    tensor, measures = preprocess.empty()[0], []
    for item in items:
        if item.error is not None:
            raise item.error
        if item.data is not None:
            decoded = preprocess.decode(item.data, item.source)
            preprocess(decoded.pixels, tensor)
            side = min(decoded.header.width, decoded.header.height)
        elif item.frame_bgr is not None:
            preprocess.frame(item.frame_bgr, tensor)
            side = min(item.frame_bgr.shape[:2])
        else:
            continue
        measures.append(measure(tensor, side))
        if len(measures) >= count:
            break
    return measures


def propose(limits: Limits, measures: list[dict[str, float]]) -> list[Moved]:
    """New ranges from the measures of good pictures: mean ± 4 standard deviations (of the logarithm for what is
    positive and skewed), clamped into the bounds. Raises KitError for fewer than LEAST pictures.
    """
    if len(measures) < LEAST:
        raise KitError(f"{len(measures)} good pictures; {LEAST} are needed", "take more, of different people")
    moved = []
    for check in CHECKS:
        values = np.array([row[check] for row in measures], np.float64)
        before, bound = limits.ranges[check], limits.bounds[check]
        spread = _span(values)
        after = (_clamp(spread[0], before[0], bound), _clamp(spread[1], before[1], bound))
        moved.append(Moved(check, (float(values.min()), float(values.max())), before, after))
    return moved


def _span(values: npt.NDArray[np.float64]) -> tuple[float, float]:
    logs = np.log(values + 1e-6)
    middle, reach = float(logs.mean()), _REACH * max(float(logs.std()), 0.02)
    return float(np.exp(middle - reach)), float(np.exp(middle + reach))


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
    atomic.write_json(path, {"bundle": bundle.hash, "limits": {m.check: list(m.after) for m in moved}})
    return path


def device_limits(state: Path, bundle: Bundle) -> Limits | None:
    """The manifest's limits, with what this device moved. A file that goes beyond the bounds is an error: the manifest
    is signed, this file is not. Raises BundleError."""
    limits = limits_from_json(bundle.manifest.quality)
    path = _path(state, bundle)
    if limits is None or not path.exists():
        return limits
    try:
        kept = read_ranges(Fields(json.loads(path.read_text())["limits"], str(path), BundleError))
    except (OSError, ValueError, KeyError, TypeError, BundleError) as error:
        raise BundleError(f"{path} cannot be read ({error})", "delete it, and calibrate the camera again") from error
    for check, pair in kept.items():
        for value, before in zip(pair, limits.ranges[check], strict=True):
            allowed = value == before or (value is not None and _clamp(value, before, limits.bounds[check]) == value)
            if not allowed:
                raise BundleError(
                    f"{path}: the limit {value} of {check} is outside of what the bundle allows",
                    "delete it, and calibrate the camera again",
                )
    return Limits(kept, limits.bounds)


def _path(state: Path, bundle: Bundle) -> Path:
    return state / "camera" / f"{bundle.hash[:16]}.json"
