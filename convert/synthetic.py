"""Images of nobody: for golden images where patients' images may not travel and no others are given.

A network calibrated on fundus photographs meets drawings of discs with activations far outside of its calibrated
ranges: INT8 then differs from FP32 on every machine (by half of the logits' range, measured), which tests no machine.
So these are noise with the look of the training set: its mean image, plus random fields with its mean power spectrum
and its correlation of colours (random phases; Galerne et al., Random Phase Textures, IEEE TIP 2011). A mean over 32
images or more shows none of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

_ENLARGED = 2
"""Twice the network's side, so that a device's resize has something to do."""


def pictures(tensors: Sequence[npt.NDArray[np.uint8]], count: int, seed: int = 0) -> Iterator[npt.NDArray[np.uint8]]:
    """``count`` images uint8 RGB ``[2S,2S,3]`` like the ``tensors`` uint8 ``[S,S,3]``, which are 32 or more."""
    stack = np.stack(tensors).astype(np.float32)
    mean = stack.mean(axis=0)
    rest = stack - mean
    colours = _colour_mixing(rest)
    amplitude = np.sqrt((np.abs(np.fft.rfft2(rest.mean(axis=3), axes=(1, 2))) ** 2).mean(axis=0))
    amplitude[0, 0] = 0.0
    brightness = float(rest.mean(axis=(1, 2)).std())
    draw = np.random.default_rng(seed)
    for _ in range(count):
        fields = np.stack([_field(amplitude, mean.shape[:2], draw) for _ in range(3)], axis=2)
        light = draw.normal(0.0, brightness)
        picture = mean + (fields * draw.uniform(0.3, 1.2)) @ colours + light
        large = cv2.resize(picture, None, fx=_ENLARGED, fy=_ENLARGED, interpolation=cv2.INTER_CUBIC)
        yield np.clip(np.rint(large), 0, 255).astype(np.uint8)


def _field(amplitude: npt.NDArray[Any], shape: Sequence[int], draw: np.random.Generator) -> npt.NDArray[np.float32]:
    """A random field ``[S,S]`` with that spectrum, mean 0 and standard deviation 1 (0 where there is none)."""
    noise = np.fft.rfft2(draw.normal(size=tuple(shape)))
    field = np.fft.irfft2(amplitude * noise / np.maximum(np.abs(noise), 1e-12), s=tuple(shape))
    return np.asarray(field / max(float(field.std()), 1e-9), np.float32)


def _colour_mixing(rest: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Matrix ``[3,3]`` M with Mᵀ·M the covariance of the colours: unit fields times M vary as the images do."""
    values, vectors = np.linalg.eigh(np.cov(rest.reshape(-1, 3), rowvar=False))
    return np.asarray(np.sqrt(np.maximum(values, 0.0))[:, None] * vectors.T, np.float32)


def natural(count: int, side: int, seed: int = 0) -> Iterator[npt.NDArray[np.uint8]]:
    """``count`` images uint8 RGB ``[side,side,3]`` for a network of which no images are known.

    Random phases with amplitudes that fall as 1/f, as in photographs (Field, JOSA A 1987), and ImageNet's mean,
    standard deviation and high correlation of colours.
    """
    frequency = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)[None])
    amplitude = np.divide(1.0, frequency, out=np.zeros_like(frequency), where=frequency > 0)
    mean, deviation = np.array([0.485, 0.456, 0.406]) * 255, np.array([0.229, 0.224, 0.225]) * 255
    draw = np.random.default_rng(seed)
    for _ in range(count):
        grey = _field(amplitude, (side, side), draw)[..., None]
        own = np.stack([_field(amplitude, (side, side), draw) for _ in range(3)], axis=2)
        picture = mean + deviation * (0.9 * grey + 0.4 * own)
        yield np.clip(np.rint(picture), 0, 255).astype(np.uint8)
