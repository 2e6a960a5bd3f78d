"""What a camera does wrong, in the order in which it does it: light is spread or too little or too much, then grain.

Focus, shake and exposure act on linear light (sRGB's curve, IEC 61966-2-1). Grain comes after them, so a blurred or
dark image keeps the grain that the good one had: shot noise under sRGB's curve is about as strong, in 8-bit levels,
at any exposure. A blur without grain would be far easier to see than a real one.
Images are uint8 RGB ``[H,W,3]``; lengths are shares of the shorter side.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]
Random = np.random.Generator

_SLOPE, _POWER, _TOE = 12.92, 2.4, 0.055
_LEVEL, _LIGHT = np.linspace(0, 1, 256), np.linspace(0, 1, 2**16)
_TO_LINEAR = np.where(_LEVEL <= 0.04045, _LEVEL / _SLOPE, ((_LEVEL + _TOE) / (1 + _TOE)) ** _POWER).astype(np.float32)
_TO_SRGB = (255 * np.where(_LIGHT <= 0.0031308, _LIGHT * _SLOPE, _LIGHT ** (1 / _POWER) * (1 + _TOE) - _TOE)).astype(
    np.float32
)
_GREY_SHARE = math.sqrt(0.299**2 + 0.587**2 + 0.114**2)
"""Of the deviation of independent grain in three channels is left in their grey value."""
_SECOND_DIFFERENCES = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32)


def defocused(pixels: Pixels, radius: float, random: Random) -> Pixels:
    """Every point spread over a disc."""
    reach = radius * min(pixels.shape[:2])
    half = math.ceil(reach)
    y, x = np.mgrid[-half : half + 1, -half : half + 1]
    return _spread(pixels, np.clip(reach + 0.5 - np.hypot(x, y), 0, 1).astype(np.float32), random)


def shaken(pixels: Pixels, length: float, random: Random) -> Pixels:
    """Every point spread along a line in a random direction."""
    reach, angle = length * min(pixels.shape[:2]) / 2, random.uniform(0, math.pi)
    half = math.ceil(reach) + 1
    ends = np.array([[-1, -1], [1, 1]]) * np.array([math.cos(angle), math.sin(angle)]) * reach + half
    path = np.zeros((2 * half + 1, 2 * half + 1), np.float32)
    start, end = np.rint(ends * 16).astype(int).tolist()
    cv2.line(path, start, end, 1.0, 1, cv2.LINE_AA, shift=4)
    return _spread(pixels, path, random)


def exposed(pixels: Pixels, stops: float, random: Random) -> Pixels:
    """``2**stops`` times the light, burnt out where that is too much."""
    return lit(pixels, (2**stops,) * 3, random)


def lit(pixels: Pixels, gains: tuple[float, float, float], random: Random) -> Pixels:
    """Another lamp: so many times the red, green and blue light."""
    return grainy(_encoded(_linear(pixels) * np.array(gains, np.float32)), grain_of(pixels), random)


def grainy(levels: npt.NDArray[np.uint8] | Floats, deviation: float, random: Random) -> Pixels:
    """0…255 with a camera's grain, ``deviation`` in 8-bit levels."""
    noise = random.standard_normal(levels.shape, np.float32) * np.float32(deviation)
    return np.asarray(np.clip(np.rint(levels + noise), 0, 255), np.uint8)


def grain_of(pixels: Pixels) -> float:
    """Deviation of each channel's grain in 8-bit levels (Immerkær, Fast Noise Variance Estimation, CVIU 1996).

    Measured on the grey image, where grain hides detail; the channels' grain is taken to be independent.
    """
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    response = np.abs(cv2.filter2D(grey, cv2.CV_32F, _SECOND_DIFFERENCES)[1:-1, 1:-1])
    return float(math.sqrt(math.pi / 2) / 6 * response.mean()) / _GREY_SHARE


def _spread(pixels: Pixels, kernel: Floats, random: Random) -> Pixels:
    light = cv2.filter2D(_linear(pixels), -1, kernel / float(kernel.sum()), borderType=cv2.BORDER_REFLECT)
    return grainy(_encoded(np.asarray(light, np.float32)), grain_of(pixels), random)


def _linear(pixels: Pixels) -> Floats:
    """sRGB 0…255 → linear light 0…1."""
    return _TO_LINEAR[pixels]


def _encoded(light: Floats) -> Floats:
    """Linear light, cut to 0…1 → sRGB 0…255, not rounded (to within 0.05)."""
    return _TO_SRGB[(np.clip(light, 0, 1) * (len(_TO_SRGB) - 1)).astype(np.uint16)]
