"""The faster average gives OpenCV's own bytes, to the last bit: every golden image's tensor depends on it."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from fieldlens.runtime.pixels.area import MOST_VALUES, AreaAverage

Image = npt.NDArray[np.uint8]


def made(kind: str, height: int, width: int, draw: np.random.Generator) -> Image:
    """Noise, a ramp, two levels only, or something smooth: what brings sums near a half, and what does not."""
    if kind == "noise":
        return draw.integers(0, 256, (height, width, 3), dtype=np.uint8)
    if kind == "ramp":
        ramp = np.add.outer(np.arange(height), np.arange(width)) % 256
        return np.repeat(ramp.astype(np.uint8)[..., None], 3, axis=2)
    if kind == "two levels":
        return (draw.integers(0, 2, (height, width, 3)) * draw.integers(1, 256)).astype(np.uint8)
    return np.asarray(cv2.resize(draw.integers(0, 256, (8, 8, 3), dtype=np.uint8), (width, height)), np.uint8)


@pytest.mark.parametrize("kind", ["noise", "ramp", "two levels", "smooth"])
def test_every_bit_is_opencvs_own(kind: str) -> None:
    draw, average, compared = np.random.default_rng(5), AreaAverage(), 0
    for _ in range(150):
        side = int(draw.integers(16, 225))
        height, width = (int(side * draw.uniform(1.11, 4)) for _ in range(2))
        image = made(kind, height, width, draw)
        into = np.zeros((side, side, 3), np.uint8)
        wanted = cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA)
        assert np.array_equal(average(image, (side, side), into), wanted), (height, width, side)
        compared += wanted.size
    assert compared > 3e6


def test_the_result_is_written_where_it_belongs() -> None:
    image = made("noise", 240, 240, np.random.default_rng(1))
    into = np.zeros((96, 96, 3), np.uint8)
    assert AreaAverage()(image, (96, 96), into) is into or np.array_equal(into, AreaAverage()(image, (96, 96), None))
    assert into.any()


@pytest.mark.parametrize("shape", [(240, 320, 3), (240, 240), (1, 500, 3), (700, 699, 3), (480, 480, 3)])
def test_views_grey_slivers_large_ones_and_whole_blocks(shape: tuple[int, ...]) -> None:
    image = np.random.default_rng(2).integers(0, 256, shape, dtype=np.uint8)
    part = image[:, image.shape[1] // 8 : -image.shape[1] // 8]
    target = (96, min(96, part.shape[0]))
    assert np.array_equal(AreaAverage()(part, target, None), cv2.resize(part, target, interpolation=cv2.INTER_AREA))


def test_sixteen_bits_are_left_to_opencv() -> None:
    image = np.random.default_rng(3).integers(0, 65_536, (240, 240), dtype=np.uint16)
    wanted = cv2.resize(image, (96, 96), interpolation=cv2.INTER_AREA)
    assert np.array_equal(AreaAverage()(image, (96, 96), None), wanted)


def test_the_buffer_stays_small() -> None:
    average = AreaAverage()
    for side in (600, 479, 300):
        average(np.zeros((side, side, 3), np.uint8), (224, 224), None)
    assert average._floats.size <= MOST_VALUES
