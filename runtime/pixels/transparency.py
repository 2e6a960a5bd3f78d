"""Transparency: every format's is composed on one background, black, as the ``pad`` step and libtiff have it.

What lies below a transparent pixel is anything: an editor's leftovers, or another image. It must not reach the network.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

_BAND = 65_536
"""Pixels at a time: the products need four times the memory of what they are made from."""


def on_black(pixels: npt.NDArray[Any], *, premultiplied: bool = False) -> npt.NDArray[Any]:
    """``[H,W,2]`` or ``[H,W,4]``, alpha last, uint8 or uint16 → ``[H,W]`` or ``[H,W,3]`` of the same depth.

    ``premultiplied``: the colours were multiplied by alpha already (TIFF's associated alpha).
    """
    colours, alpha = pixels[..., :-1], pixels[..., -1:]
    top = np.iinfo(pixels.dtype).max
    composed = np.ascontiguousarray(colours)
    if not premultiplied and (alpha != top).any():
        composed = composed.copy() if np.shares_memory(composed, pixels) else composed
        rows = max(1, _BAND // max(pixels.shape[1], 1))
        for start in range(0, len(pixels), rows):
            product = composed[start : start + rows].astype(np.uint32) * alpha[start : start + rows]
            composed[start : start + rows] = (product + top // 2) // top
    return composed[..., 0] if composed.shape[2] == 1 else composed


def opaque(
    pixels: npt.NDArray[Any], clear: int | None = None, *, from_tiff: bool = False, inverted: bool = False
) -> npt.NDArray[Any]:
    """What OpenCV gives unchanged (``[H,W]``, BGR or BGRA), without transparency, and with black as zero.

    ``clear``: the one grey level that is transparent (PNG's tRNS). ``from_tiff``: libtiff has multiplied 8-bit colours
    by alpha. ``inverted``: white is zero in the file, which OpenCV does not see at 16 bits.
    """
    if pixels.ndim == 3 and pixels.shape[2] == 4:
        return on_black(pixels, premultiplied=from_tiff)
    if pixels.ndim == 2 and clear is not None:
        return np.where(pixels == clear, pixels.dtype.type(0), pixels)
    if inverted and pixels.dtype == np.uint16:
        return np.iinfo(np.uint16).max - pixels
    return pixels
