"""The quality half of the gate, fitted on images."""

from __future__ import annotations

from functools import cache
from typing import Any

import cv2
import numpy as np
import pytest

from fieldlens.runtime.bundle.quality_limits import Limits, limits_from_json
from fieldlens.runtime.quality.measures import judge, measure
from fieldlens.runtime.quality.optics import defocused, exposed, grainy, shaken
from fieldlens.train.decide.quality_limits import fit_quality

SIDE = 64


@cache
def pictures(count: int, seed: int) -> np.ndarray:
    """Blobs with sharp edges on a warm ground, each in its own light, with grain: uint8 ``[n,64,64,3]``."""
    random = np.random.default_rng(seed)
    made = []
    for _ in range(count):
        scene = np.full((SIDE, SIDE, 3), (150, 110, 90), np.float32) * np.float32(random.uniform(0.7, 1.2))
        for x, y in random.integers(8, SIDE - 8, (6, 2)).tolist():
            shade = (scene[0, 0] * random.uniform(0.5, 0.9)).tolist()
            cv2.circle(scene, (x, y), int(random.integers(3, 9)), shade, -1, cv2.LINE_AA)
        made.append(grainy(scene, 3.0, random))
    return np.stack(made)


@cache
def fitted() -> Limits:
    found = limits_from_json(fit_quality(pictures(200, 1), pictures(60, 2), np.array([480, 600])))
    assert found is not None
    return found


def retaken(images: np.ndarray, side: int = 480) -> float:
    return float(np.mean([bool(judge(measure(image, side), fitted())) for image in images]))


def test_good_images_pass() -> None:
    assert retaken(pictures(300, 3)) <= 0.03
    assert [finding.check for finding in judge(measure(pictures(300, 3)[0], 200), fitted())] == ["side"]


@pytest.mark.parametrize(
    ("check", "spoil"),
    [
        ("sharpness", lambda x, random: defocused(x, 4 / SIDE, random)),
        ("sharpness", lambda x, random: shaken(x, 12 / SIDE, random)),
        ("brightness", lambda x, random: exposed(x, -4, random)),
        ("clipped", lambda x, random: exposed(x, 3, random)),
        ("noise", lambda x, random: grainy(x, 15, random)),
        ("appearance", lambda x, _: 255 - x),
    ],
)
def test_each_fault_is_found_by_its_name(check: str, spoil: Any) -> None:
    random = np.random.default_rng(4)
    spoilt = [spoil(image, random) for image in pictures(60, 5)]
    named = [check in [finding.check for finding in judge(measure(image, 480), fitted())] for image in spoilt]
    assert np.mean(named) >= 0.9


def test_the_median_training_image_has_sharpness_one_and_a_distance_below() -> None:
    """Shrinkage makes the images look wider spread than they are, so their mean distance is below one."""
    values = [measure(image, 480).checks(fitted()) for image in pictures(200, 1)]
    assert np.median([row["sharpness"] for row in values]) == pytest.approx(1, rel=0.05)
    assert 0.4 < np.mean([row["appearance"] for row in values]) <= 1


def test_grey_images_have_a_gate_too_and_colour_is_strange_to_it() -> None:
    grey = pictures(100, 6).mean(axis=3, keepdims=True).astype(np.uint8).repeat(3, axis=3)
    limits = limits_from_json(fit_quality(grey[:80], grey[80:], np.array([480])))
    assert limits is not None
    assert np.mean([bool(judge(measure(image, 480), limits)) for image in grey]) <= 0.05
    coloured = [[finding.check for finding in judge(measure(image, 480), limits)] for image in pictures(100, 6)]
    assert all("appearance" in checks for checks in coloured)


def test_a_device_may_not_open_the_gate_for_everything() -> None:
    for check, (low, high) in fitted().ranges.items():
        bound = fitted().bounds[check]
        assert low is None or check == "side" or (bound[0] is not None and bound[0] < low)
        assert high is None or (bound[1] is not None and bound[1] > high)
