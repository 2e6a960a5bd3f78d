"""What a picture looks like in nineteen numbers, and how far that is from the pictures that the model was trained on.

Texture: at the network's size, half and a quarter of it, the mean squared difference of neighbours along the direction
where it is least and where it is most (shake wipes out one direction, bad focus all), and the Laplacian's energy, where
grain dominates. Colour: of the picture at about a dozen pixels a side, lightness and its spread, mean, spread and
extremes of the two ratios of channels. All are logarithms: a lamp's strength and colour then add to them.
"""

from __future__ import annotations

from dataclasses import dataclass

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
_LOGS = np.log(np.arange(256) + 4.0)
"""Of a channel's levels, with something added so that black has no colour."""
_LEAST_SPREAD = 0.01


@dataclass(frozen=True)
class Appearance:
    """Fitted by the trainer. Sharpness is a product of powers of the texture's energies: ``powers`` float64
    ``[TEXTURES]`` tell the training pictures from blurred copies of them, ``offset`` makes their median 1.
    ``whitener`` W float64 ``[k,k]`` with ``W·Wᵀ`` = the training pictures' precision, ``mean`` ``[k]``.
    """

    powers: Floats
    offset: float
    mean: Floats
    whitener: Floats

    def sharpness(self, description: Floats) -> float:
        """1 for the median training picture, less for a blurred one."""
        exponent = float(self.powers @ description[:TEXTURES]) + self.offset
        return float(np.exp(min(max(exponent, -50.0), 50.0)))

    def distance(self, description: Floats) -> float:
        """Squared Mahalanobis distance to the training pictures per dimension: about 1 for one of them."""
        white = (description - self.mean) @ self.whitener
        return float(white @ white) / len(white)


def describe(image: npt.NDArray[np.uint8], grey: npt.NDArray[np.uint8]) -> Floats:
    """An RGB picture uint8 ``[S,S,3]`` and its grey values ``[S,S]`` → float64 ``[TEXTURES + COLOURS]``."""
    return np.concatenate((_texture(grey), _colour(image)))


def _texture(grey: npt.NDArray[np.uint8]) -> Floats:
    energies = np.empty(TEXTURES)
    for scale in range(SCALES):
        if scale:
            grey = _halved(grey)
        across = _difference(grey[:, 1:], grey[:, :-1])
        down = _difference(grey[1:], grey[:-1])
        falling = _difference(grey[1:, 1:], grey[:-1, :-1]) / 2  # over a distance of √2, squared
        rising = _difference(grey[1:, :-1], grey[:-1, 1:]) / 2
        laplacian = cv2.norm(cv2.Laplacian(grey, cv2.CV_16S), cv2.NORM_L2SQR) / grey.size
        ends = min(across, down, falling, rising), max(across, down, falling, rising)
        energies[3 * scale : 3 * scale + 3] = (*ends, laplacian)
    return np.asarray(np.log(energies + _LEAST_ENERGY))


def _difference(one: npt.NDArray[np.uint8], other: npt.NDArray[np.uint8]) -> float:
    """Mean squared, without a temporary picture."""
    return float(cv2.norm(one, other, cv2.NORM_L2SQR)) / one.size


def _colour(image: npt.NDArray[np.uint8]) -> Floats:
    while min(image.shape[:2]) >= _GRID:  # halving is far quicker than one step of INTER_AREA
        image = _halved(image)
    logs = _LOGS[image.reshape(-1, 3)].T
    channels = np.stack((logs[1], logs[0] - logs[1], logs[2] - logs[1]))  # lightness, and the two ratios
    count = channels.shape[1]
    mean = np.add.reduce(channels, axis=1) / count
    variance = np.einsum("ij,ij->i", channels, channels) / count - mean**2
    spread = np.log(np.sqrt(np.maximum(variance, 0)) + _LEAST_SPREAD)
    ratios = channels[1:]
    ends = np.minimum.reduce(ratios, axis=1), np.maximum.reduce(ratios, axis=1)
    return np.concatenate((mean, spread, *ends))


def _halved(image: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    size = (max(image.shape[1] // 2, 1), max(image.shape[0] // 2, 1))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
