"""Grey levels: a window put on them, and grey as RGB."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from fieldlens.runtime.pixels.steps import Window

_BAND = 65_536
"""Pixels that a grey-level window is put on at a time."""


def windowed(grey: npt.NDArray[Any], window: Window) -> npt.NDArray[np.uint8]:
    """Grey ``[H,W]`` of any depth → uint8, linear inside the window and clipped outside. In bands: a copy of the whole
    as float32 would be the largest thing in memory."""
    low = window.level - window.width / 2
    windowed = np.empty(grey.shape, np.uint8)
    rows = max(1, _BAND // max(grey.shape[1], 1))
    for top in range(0, len(grey), rows):
        scaled = (grey[top : top + rows].astype(np.float32) - low) * (255.0 / window.width)
        windowed[top : top + rows] = np.rint(np.clip(scaled, 0, 255))
    return windowed


def in_colour(pixels: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Grey ``[H,W]`` or RGB ``[H,W,3]`` → RGB."""
    return cv2.cvtColor(pixels, cv2.COLOR_GRAY2RGB) if pixels.ndim == 2 else pixels
