"""The limits of the quality gate, fitted on the training images: what sharpness and appearance are, and all limits.

Sharpness is learnt from the images themselves and blurred copies of them (linear discriminant on the logarithms of
the texture's energies, Ledoit–Wolf shrinkage): a fixed measure of focus takes grain for detail, and misses shake, which
leaves one direction sharp. Appearance is the Mahalanobis distance of texture and colour, in which a network that was
trained to ignore colour does not help.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from fieldlens.runtime.bundle.quality_limits import Limits
from fieldlens.runtime.pixels.appearance import TEXTURES, Appearance, describe
from fieldlens.runtime.quality.measures import measure
from fieldlens.runtime.quality.optics import defocused, shaken

MOST_IMAGES = 2000
"""Of the training set, evenly taken: statistics of nineteen numbers need no more."""
DEFOCUS_PX, SHAKE_PX = (1.5, 5.0), (5.0, 18.0)
"""Of the blurred copies, in pixels at the network's size: from just visible to hardly any detail."""

_TAIL = 0.005
_BOUNDS: dict[str, list[float | None]] = {
    "brightness": [8.0, 250.0],
    "clipped": [None, 0.9],
    "contrast": [2.0, None],
    "sharpness": [float(np.exp(-4)), None],  # four deviations of the training images
    "noise": [None, 40.0],
    "side": [None, None],
}
"""How far a device may move a limit for its own camera. Wide: the camera differs, the light of a clinic differs; but a
black, white, flat or blank image stays refused."""
_APPEARANCE_ROOM = 4.0
"""Times its limit: another camera's colours, but not another subject's."""
_LEAST_DEVIATION = 0.02
"""Of a logarithm: two percent. Grey images have no colour at all, and would otherwise make rounding an outlier."""

Images = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float64]


def fit_quality(train: Images, val: Images, sides: npt.NDArray[np.int64]) -> dict[str, Any]:
    """The manifest's ``quality`` from network-sized images ``[n,S,S,3]``; ``sides``: of the files, px."""
    train = train[:: -(-len(train) // MOST_IMAGES)]
    model = fit_appearance(train)
    limits = quality_limits((*train, *val), sides, model)
    farthest = limits["appearance"][1]
    bounds = {**_BOUNDS, "appearance": [None, None if farthest is None else _APPEARANCE_ROOM * farthest]}
    plain = {
        "powers": model.powers.tolist(), "offset": model.offset, "mean": model.mean.tolist(),
        "whitener": model.whitener.tolist(),
    }  # fmt: skip
    return {"limits": limits, "bounds": bounds, "model": plain}


def fit_appearance(images: Images) -> Appearance:
    """Sharpness and appearance from the training images and blurred copies of them."""
    from sklearn.covariance import ledoit_wolf  # here: importing them takes a second, and only a fit needs them
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

    good, blurred = _described(images), _described(_blurred(images))[:, :TEXTURES]
    textures = good[:, :TEXTURES]
    truth = np.repeat([1, 0], [len(textures), len(blurred)])
    discriminant = LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto")
    powers = discriminant.fit(np.concatenate((textures, blurred)), truth).coef_[0]
    powers = powers / max(float((textures @ powers).std()), 1e-6)
    mean, deviation = good.mean(axis=0), np.maximum(good.std(axis=0), _LEAST_DEVIATION)
    covariance, _ = ledoit_wolf((good - mean) / deviation, assume_centered=True)
    whitener = np.linalg.cholesky(np.linalg.inv(covariance)) / deviation[:, None]
    return Appearance(powers, -float(np.median(textures @ powers)), mean, whitener)


def _described(images: Images) -> Floats:
    return np.stack(
        [describe(image, np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), np.uint8)) for image in images]
    )


def _blurred(images: Images) -> Images:
    """A defocused and a shaken copy of each."""
    random, side = np.random.default_rng(0), min(images.shape[1:3])
    pairs = (
        (defocused(image, random.uniform(*DEFOCUS_PX) / side, random),
         shaken(image, random.uniform(*SHAKE_PX) / side, random))
        for image in images
    )  # fmt: skip
    return np.stack([picture for pair in pairs for picture in pair])


def quality_limits(
    images: tuple[Images, ...], sides: npt.NDArray[np.int64], model: Appearance
) -> dict[str, list[float | None]]:
    """Limits from known images: their outermost half percent, most of them widened."""
    open_limits = Limits({}, {}, model)
    rows = [measure(image, 0).checks(open_limits) for image in images]
    values = {check: np.array([row[check] for row in rows]) for check in rows[0]}
    low = {check: float(np.quantile(column, _TAIL)) for check, column in values.items()}
    high = {check: float(np.quantile(column, 1 - _TAIL)) for check, column in values.items()}
    return {
        "brightness": [0.9 * low["brightness"], 255 - 0.9 * (255 - high["brightness"])],
        "clipped": [None, min(1.25 * high["clipped"] + 0.01, 0.99)],
        "contrast": [0.7 * low["contrast"], None],
        "sharpness": [0.9 * low["sharpness"], None],
        "noise": [None, 1.25 * high["noise"]],
        "appearance": [None, 1.1 * high["appearance"]],
        "side": [float(sides.min()) / 2, None],
    }
