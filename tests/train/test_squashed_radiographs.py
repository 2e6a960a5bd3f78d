from __future__ import annotations

import cv2
import numpy as np
import pytest

from tests.train.squashed_radiographs import SAME, SIDE, ratios_of


def radiograph(seed: int, width: int, height: int) -> np.ndarray:
    rough = np.random.default_rng(seed).integers(0, 256, (9, 9)).astype(np.uint8)
    return np.asarray(cv2.resize(rough, (width, height), interpolation=cv2.INTER_CUBIC), np.uint8)


@pytest.mark.parametrize(("width", "height"), [(300, 300), (450, 300), (600, 300), (300, 375)])
def test_the_width_is_found_and_a_stranger_is_no_match(width: int, height: int) -> None:
    whole = radiograph(1, width, height)
    side = min(width, height)
    left, top = (width - side) // 2, (height - side) // 2
    cut = cv2.resize(whole[top : top + side, left : left + side], (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    others = [cv2.resize(radiograph(seed, 300, 300), (SIDE, SIDE)) for seed in range(2, 6)]
    files = (whole, radiograph(9, 400, 300))
    squashed = [np.asarray(cv2.resize(each, (224, 224), interpolation=cv2.INTER_AREA), np.uint8) for each in files]
    found, alike = ratios_of(squashed, np.stack([cut, *others]))
    assert found[0] == pytest.approx(width / height, rel=0.05)
    assert alike[0] > SAME
    assert alike[1] < SAME
