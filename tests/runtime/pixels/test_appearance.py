"""Nineteen numbers of an image."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from fieldlens.runtime.pixels.appearance import COLOURS, TEXTURES, Appearance, describe
from tests.runtime.conftest import scene

GOOD = scene(1, 64, 64)
COLOUR = {name: TEXTURES + index for index, name in enumerate(
    ("light", "red", "blue", "light-spread", "red-spread", "blue-spread", "red-least", "blue-least", "red-most",
     "blue-most")
)}  # fmt: skip


def described(image: np.ndarray) -> np.ndarray:
    return describe(image, np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), np.uint8))


@pytest.mark.parametrize("side", [28, 32, 96, 224, 299])
def test_every_size_has_nineteen_finite_numbers(side: int) -> None:
    for image in (scene(2, side, side), np.zeros((side, side, 3), np.uint8), np.full((side, side, 3), 255, np.uint8)):
        found = described(image)
        assert found.shape == (TEXTURES + COLOURS,)
        assert np.isfinite(found).all()


def test_defocus_lowers_both_directions_and_shake_only_one() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 1), np.uint8).repeat(3, axis=2)
    sharp, soft = described(noise), described(cv2.GaussianBlur(noise, (0, 0), 2))
    assert soft[0] < sharp[0] - 2
    assert soft[1] < sharp[1] - 2
    for kernel in (np.ones((1, 9)), np.ones((9, 1)), np.eye(9), np.fliplr(np.eye(9))):
        shaken = described(cv2.filter2D(noise, -1, kernel / kernel.sum()))
        assert shaken[0] < shaken[1] - 1.2


def test_a_channel_moves_its_ratio_and_no_other() -> None:
    warm = GOOD.copy()
    warm[..., 0] = np.clip(warm[..., 0] * 1.3, 0, 255)
    change = described(warm) - described(GOOD)
    assert change[COLOUR["red"]] > 0.1
    assert change[COLOUR["blue"]] == pytest.approx(0, abs=1e-9)
    assert change[COLOUR["light"]] == pytest.approx(0, abs=1e-9)


def test_grey_has_no_colour() -> None:
    grey = np.repeat(GOOD[..., :1], 3, axis=2)
    found = described(grey)
    assert [found[COLOUR[name]] for name in ("red", "blue", "red-least", "blue-most")] == [0, 0, 0, 0]


def test_sharpness_and_distance_are_what_they_are_said_to_be() -> None:
    description, size = described(GOOD), TEXTURES + COLOURS
    powers = np.zeros(TEXTURES)
    powers[0] = 2.0
    whitener = np.linalg.cholesky(np.diag(np.linspace(1, 2, size)))
    model = Appearance(powers, -1.0, description - 1, whitener)
    sharpness, distance = model.judge(description)
    assert sharpness == pytest.approx(np.exp(2 * description[0] - 1))
    assert distance == pytest.approx(np.linspace(1, 2, size).mean())
    assert Appearance(powers * 1e6, 0.0, description, whitener).judge(description)[0] < np.inf
