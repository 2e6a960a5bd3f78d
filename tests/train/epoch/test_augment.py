from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from fieldlens.train.config import AugmentConfig
from fieldlens.train.epoch.augment import Augment


def images(count: int = 4, side: int = 24) -> torch.Tensor:
    return torch.randint(0, 256, (count, side, side, 3), generator=torch.Generator().manual_seed(1)).to(torch.uint8)


def run(config: AugmentConfig, pixels: torch.Tensor, seed: int = 0) -> torch.Tensor:
    return Augment(config)(pixels, torch.Generator().manual_seed(seed))


def test_nothing_asked_nothing_changed() -> None:
    assert torch.equal(run(AugmentConfig(), images()), images())


def test_flips_are_exact_and_drawn_per_image() -> None:
    pixels = images(64)
    flipped = run(AugmentConfig(flip_horizontal=True), pixels)
    as_was = [torch.equal(a, b) for a, b in zip(flipped, pixels, strict=True)]
    mirrored = [torch.equal(a, b.flip(1)) for a, b in zip(flipped, pixels, strict=True)]
    assert all(a or b for a, b in zip(as_was, mirrored, strict=True))
    assert 16 < sum(mirrored) < 48


def test_rotation_keeps_the_middle_and_moves_the_rest() -> None:
    pixels = torch.zeros(8, 33, 33, 3, dtype=torch.uint8)
    pixels[:, 16, 16] = 255
    pixels[:, 16, 26] = 255
    turned = run(AugmentConfig(rotate_degrees=180), pixels)
    assert (turned[:, 16, 16, 0] == 255).all()
    distance = []
    for picture in turned[..., 0]:
        picture[14:19, 14:19] = 0
        y, x = divmod(int(picture.argmax()), 33)
        distance.append(math.hypot(y - 16, x - 16))
    assert distance == pytest.approx([10] * 8, abs=1)


def test_matrices_stay_within_their_ranges() -> None:
    config = AugmentConfig(rotate_degrees=15, zoom=0.1, shift=0.05)
    matrices = Augment(config).matrices(500, torch.Generator().manual_seed(0))
    scale = matrices[:, :, :2].det().abs().sqrt()
    assert scale.min() >= 1 / 1.1 - 1e-5
    assert scale.max() <= 1.1 + 1e-5
    angle = torch.atan2(matrices[:, 1, 0], matrices[:, 0, 0]).abs()
    assert angle.max() <= math.radians(15) + 1e-5
    assert matrices[:, :, 2].abs().max() <= 0.1 + 1e-6


def test_aspect_changes_width_over_height_and_no_area() -> None:
    matrices = Augment(AugmentConfig(aspect=0.5)).matrices(500, torch.Generator().manual_seed(0))
    ratio = matrices[:, 1, 1] / matrices[:, 0, 0]
    assert 1 / 1.5 - 1e-5 <= ratio.min() < 0.7
    assert 1.45 < ratio.max() <= 1.5 + 1e-5
    assert (matrices[:, :, :2].det() - 1).abs().max() < 1e-5
    assert (matrices[:, 0, 1].abs() + matrices[:, 1, 0].abs()).max() == 0


@pytest.mark.parametrize("name", ["brightness", "contrast", "colour", "noise"])
def test_colour_changes_pixels_but_no_places(name: str) -> None:
    pixels = torch.full((16, 8, 8, 3), 100, dtype=torch.uint8)
    pixels[:, :, :4] = 50
    changed = run(replace(AugmentConfig(), **{name: 0.2}), pixels)  # type: ignore[arg-type]
    assert not torch.equal(changed, pixels)
    assert (changed[:, :, 4:].float().mean((1, 2)) > changed[:, :, :4].float().mean((1, 2))).all()


def test_sharpness_changes_detail_and_nothing_else() -> None:
    pixels = torch.full((200, 8, 8, 3), 100, dtype=torch.uint8)
    assert torch.equal(run(AugmentConfig(sharpness=1.0), pixels), pixels), "without detail"
    pixels[:, 4, 4] = 109
    changed = run(AugmentConfig(sharpness=1.0), pixels).float()
    middle = changed[:, 4, 4, 0]
    assert middle.min() == 101, "the mean of nine pixels"
    assert 116 <= middle.max() <= 117, "twice as far from it"
    assert 105 < middle.mean() < 113
    assert (changed[:, :2] == 100).all()
    assert (changed[:, 6:] == 100).all()
    assert (run(AugmentConfig(sharpness=0.25), pixels)[:, 4, 4].float() - 109).abs().max() <= 2


def test_the_generator_decides_everything() -> None:
    config = AugmentConfig(rotate_degrees=20, zoom=0.2, shift=0.1, brightness=0.2, contrast=0.2, colour=0.1, noise=0.05)
    config = replace(config, window_level=0.1, window_width=0.1, stretch=0.5, sharpness=0.5)
    assert torch.equal(run(config, images(), 5), run(config, images(), 5))
    assert not torch.equal(run(config, images(), 5), run(config, images(), 6))
    assert run(config, images()).dtype == torch.uint8


def test_the_window_moves_and_widens_exactly_where_it_cuts_nothing_off() -> None:
    pixels = torch.full((200, 4, 4, 3), 120, dtype=torch.uint8)
    pixels[:, 2:] = 140
    moved = run(AugmentConfig(window_level=0.1), pixels).float()
    assert ((moved[:, 3, 0, 0] - moved[:, 0, 0, 0]) - 20).abs().max() <= 1
    assert 20 < (moved[:, 0, 0, 0] - 120).abs().max() <= 26
    widened = run(AugmentConfig(window_width=0.25), pixels).float()
    step = widened[:, 3, 0, 0] - widened[:, 0, 0, 0]
    assert step.min() >= 20 / 1.25 - 1
    assert step.max() <= 20 * 1.25 + 1
    assert step.std() > 1


def test_stretching_fills_the_range_of_as_many_images_as_asked() -> None:
    pixels = torch.full((400, 4, 4, 3), 100, dtype=torch.uint8)
    pixels[:, 2:] = 140
    stretched = run(AugmentConfig(stretch=0.25), pixels)
    full = (stretched[:, 0, 0, 0] == 0) & (stretched[:, 3, 0, 0] == 255)
    as_was = (stretched == pixels).flatten(1).all(1)
    assert (full | as_was).all()
    assert 60 < full.sum() < 140
    flat = torch.full((4, 4, 4, 3), 77, dtype=torch.uint8)
    assert torch.equal(run(AugmentConfig(stretch=1.0), flat), flat)
