"""Faults of a camera, made on an image."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from fieldlens.runtime.quality.optics import defocused, exposed, grain_of, grainy, lit, shaken


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def flat(level: float, side: int = 120) -> np.ndarray:
    return np.full((side, side, 3), level, np.uint8)


def dot() -> np.ndarray:
    pixels = flat(0, 101)
    pixels[50, 50] = 255
    return pixels


@pytest.mark.parametrize("deviation", [2.0, 8.0, 20.0])
def test_grain_is_measured_as_it_was_made(deviation: float) -> None:
    assert grain_of(grainy(flat(120), deviation, rng())) == pytest.approx(deviation, rel=0.05)


def test_stops_are_light_and_not_levels() -> None:
    """Half the light of sRGB 188 is sRGB 137 (linear 0.50 → 0.25)."""
    assert np.median(exposed(flat(188), -1, rng())) == pytest.approx(137, abs=1)
    assert np.median(exposed(flat(137), 1, rng())) == pytest.approx(188, abs=1)
    assert np.median(exposed(flat(188), 2, rng())) == 255
    red, green, blue = lit(flat(137), (2.0, 1.0, 0.5), rng()).reshape(-1, 3).mean(axis=0)
    assert red == pytest.approx(188, abs=1)
    assert green == pytest.approx(137, abs=1)
    assert blue < 110


def test_a_point_becomes_a_disc_or_a_line() -> None:
    disc = defocused(dot(), 0.1, rng())[..., 0] > 0
    assert disc.sum() == pytest.approx(np.pi * 10**2, rel=0.15)
    line = shaken(dot(), 0.3, rng())[..., 0] > 0
    (_, (wide, high), _) = cv2.minAreaRect(np.argwhere(line).astype(np.float32))
    assert max(wide, high) == pytest.approx(30, abs=3)
    assert min(wide, high) <= 3


def test_a_blurred_image_keeps_its_grain() -> None:
    picture = grainy(flat(120), 8.0, rng())
    assert grain_of(defocused(picture, 0.04, rng())) == pytest.approx(8, rel=0.05)
