"""What an image looks like in nineteen numbers, and how far that is from the images that the model was trained on.

Texture: at the network's size, half and a quarter of it, the mean squared difference of neighbours along the direction
where it is least and where it is most (shake wipes out one direction, bad focus all), and the Laplacian's energy, where
grain dominates. Colour: of the image at about a dozen pixels a side, lightness and its spread, mean, spread and
extremes of the two ratios of channels. All are logarithms: a lamp's strength and colour then add to them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import cv2
import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

SCALES = 3
TEXTURES = 3 * SCALES
COLOURS = 10
_LEAST_ENERGY = 0.05
"""Squared levels, added before the logarithm: half of what rounding to whole levels leaves of nothing (1/12)."""
_GRID = 16
_LOGS = np.log(np.arange(256) + 4.0).reshape(1, 256)
"""Of a channel's levels, with something added so that black has no colour."""
_RATIOS = np.array([[0.0, 1.0, 0.0], [1.0, -1.0, 0.0], [0.0, -1.0, 1.0]])
"""Logarithms of red, green, blue → lightness, and the two ratios to green."""
_LEAST_SPREAD = 0.01


@dataclass(frozen=True)
class Appearance:
    """Fitted by the trainer. Sharpness is a product of powers of the texture's energies: ``powers`` float64
    ``[TEXTURES]`` tell the training images from blurred copies of them, ``offset`` makes their median 1.
    ``whitener`` W float64 ``[k,k]`` with ``W·Wᵀ`` = the training images' precision, ``mean`` ``[k]``.
    """

    powers: Floats
    offset: float
    mean: Floats
    whitener: Floats
    _matrix: Floats = field(init=False, repr=False, compare=False)
    _shift: Floats = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """One matrix for both answers: every call of a library costs more than its arithmetic on nineteen numbers."""
        powers = np.zeros(len(self.mean))
        powers[:TEXTURES] = self.powers
        matrix = np.column_stack((self.whitener, powers))
        shift = np.append(self.mean @ self.whitener, -self.offset)
        object.__setattr__(self, "_matrix", matrix)
        object.__setattr__(self, "_shift", shift)

    def judge(self, description: Floats) -> tuple[float, float]:
        """Sharpness and distance of an image that :func:`describe` has described.

        Sharpness is 1 for the median training image, less for a blurred one. The distance is the squared Mahalanobis
        distance to the training images per dimension: about 1 for one of them.
        """
        *white, exponent = (description @ self._matrix - self._shift).tolist()
        return math.exp(min(max(exponent, -50.0), 50.0)), sum(value * value for value in white) / len(white)


def describe(image: npt.NDArray[np.uint8], grey: npt.NDArray[np.uint8]) -> Floats:
    """An RGB image uint8 ``[S,S,3]`` and its grey values ``[S,S]`` → float64 ``[TEXTURES + COLOURS]``."""
    return np.array(_texture(grey) + _colour(image))


def _texture(grey: npt.NDArray[np.uint8]) -> list[float]:
    logs: list[float] = []
    for scale in range(SCALES):
        if scale:
            grey = _halved(grey)
        directions = (
            _difference(grey[:, 1:], grey[:, :-1]),
            _difference(grey[1:], grey[:-1]),
            _difference(grey[1:, 1:], grey[:-1, :-1]) / 2,  # over a distance of √2, squared
            _difference(grey[1:, :-1], grey[:-1, 1:]) / 2,
        )
        laplacian = cv2.norm(cv2.Laplacian(grey, cv2.CV_16S), cv2.NORM_L2SQR) / grey.size
        logs += [math.log(energy + _LEAST_ENERGY) for energy in (min(directions), max(directions), laplacian)]
    return logs


def _difference(one: npt.NDArray[np.uint8], other: npt.NDArray[np.uint8]) -> float:
    """Mean squared, without a temporary image."""
    return cv2.norm(one, other, cv2.NORM_L2SQR) / one.size


def _colour(image: npt.NDArray[np.uint8]) -> list[float]:
    while min(image.shape[:2]) >= _GRID:  # halving is far quicker than one step of INTER_AREA
        image = _halved(image)
    channels = cv2.transform(cv2.LUT(image, _LOGS), _RATIOS)
    mean, deviation = (values.ravel().tolist() for values in cv2.meanStdDev(channels))
    extremes = [cv2.minMaxLoc(cv2.extractChannel(channels, ratio)) for ratio in (1, 2)]  # cv2.reduce wakes threads
    spread = [math.log(value + _LEAST_SPREAD) for value in deviation]
    return [*mean, *spread, *(least for least, *_ in extremes), *(most for _, most, *_ in extremes)]


def _halved(image: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    size = (max(image.shape[1] // 2, 1), max(image.shape[0] // 2, 1))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
