from __future__ import annotations

import numpy as np
import pytest

from fieldlens.train.demo_data.photographs import CLASSES
from fieldlens.train.demo_data.scene import SCENE_SIDE, SITES, draw_scene, draw_subject


@pytest.mark.parametrize("kind", CLASSES)
def test_a_scene_has_the_cameras_shape_and_sane_light(kind: str) -> None:
    random = np.random.default_rng(0)
    subject = draw_subject(random)
    scene = draw_scene(kind, subject, SITES[0], (960, 1280), random).scene
    assert scene.shape == (round(1280 * SCENE_SIDE / 960), SCENE_SIDE, 3)
    assert scene.dtype == np.float32
    assert 0.05 < scene.mean() < 0.95


def test_kinds_do_not_differ_in_colour_on_average() -> None:
    """The mean colour of an image must not tell its class; skin tones vary far more."""
    means = {}
    for kind in CLASSES:
        random = np.random.default_rng(5)
        scenes = [draw_scene(kind, draw_subject(random), SITES[1], (320, 320), random).scene for _ in range(60)]
        drawn = [scene.mean((0, 1)) for scene in scenes]
        means[kind] = np.array(drawn)
    spread = np.mean([values.std(0) for values in means.values()])
    centres = np.array([values.mean(0) for values in means.values()])
    assert np.ptp(centres, axis=0).max() < 0.5 * spread
