"""From a class activation map to the heat map that a person sees, and the maps that nobody should see."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
import numpy.typing as npt

from fieldlens.runtime.errors import KitError

SIDE = 480
"""Of an image as it is drawn, in px."""
LEAST_CELLS = 4
"""Fewer cells a side than this are not drawn: with three, each covers a third of the side, and the map can say little
more than that something is in the middle (docs/heatmaps.md has the figures)."""
FLOOR = 0.5
"""Of the maximum: what is colder stays without colour. A map is read by where it glows, and cubic splines spread each
cell over four."""
_LOOKED_AT = 80
"""Side in px at which the field of view is looked for: the hull of a drawn image's pixels would cost milliseconds."""
_DARK = 16
"""Of 255: what no channel exceeds lies outside of the field of view, where it is at the image's border."""

Map = npt.NDArray[np.float32]


class TooCoarse(KitError):
    """A heat map of too few cells to mean anything."""


def too_coarse(cam: Map) -> str:
    """Why the map ``[…,h,w]`` is not drawn, in words; empty where it is."""
    cells = min(cam.shape[-2:])
    if cells >= LEAST_CELLS:
        return ""
    return f"no heat map: its {cells}x{cells} cells are too coarse to point at anything"


def heat_of(cam: Map, side: int = SIDE, *, coarse: bool = False) -> Map:
    """One class's activation map ``[h,w]`` as it is drawn: float32 ``[side,side]``, 0 to 1, its maximum 1 (or all 0
    where nothing speaks for the class).

    Negative parts are cut, as Grad-CAM's ReLU does. Each cell's value stands at the cell's centre, and cubic B-splines
    lead from one to the next; outside of the image there is nothing, so a cell at the border does not glow beyond its
    centre. Below FLOOR of the maximum there is no colour. Raises TooCoarse, but with ``coarse``, for measurements.
    """
    why = too_coarse(cam)
    if why and not coarse:
        raise TooCoarse(why, "train with a larger input, or with model.output_stride = 16")
    grid = np.maximum(cam, 0.0).astype(np.float32)
    spread = _spline(side, grid.shape[0]) @ grid @ _spline(side, grid.shape[1]).T
    top = float(spread.max())
    if top <= 0:
        return np.zeros((side, side), np.float32)
    return np.asarray(np.maximum((spread / top - FLOOR) / (1 - FLOOR), 0.0), np.float32)


@lru_cache(maxsize=16)
def _spline(side: int, cells: int) -> Map:
    """How much each of ``cells`` counts at each pixel ``[side,cells]``: the cubic B-spline around the cell's centre."""
    at = (np.arange(side) + 0.5) / side * cells - 0.5
    away = np.abs(at[:, None] - np.arange(cells))
    near, far = 2 / 3 - away**2 + away**3 / 2, np.maximum(2 - away, 0) ** 3 / 6
    return np.where(away < 1, near, far).astype(np.float32)


def in_field(heat_map: Map, image_rgb: npt.NDArray[np.uint8]) -> Map:
    """The heat map without what it lays over black bars and the dark around a round field of view: what is outside of
    the smallest convex shape that holds all pixels of the image, uint8 RGB ``[H,W,3]``, that are not dark."""
    small = cv2.resize(image_rgb, (_LOOKED_AT, _LOOKED_AT), interpolation=cv2.INTER_AREA)
    lit = (small.max(axis=2) > _DARK).astype(np.uint8)
    if lit[0, 0] and lit[0, -1] and lit[-1, 0] and lit[-1, -1]:  # a convex shape with all corners is the whole image
        return heat_map
    field, seen = np.zeros_like(lit), cv2.findNonZero(lit)
    if seen is not None:
        cv2.fillConvexPoly(field, cv2.convexHull(seen), 1)
    whole = cv2.resize(field, heat_map.shape[1::-1], interpolation=cv2.INTER_NEAREST)
    return np.asarray(heat_map * whole, np.float32)
