"""The heat map that a person sees."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from fieldlens.runtime.errors import KitError
from fieldlens.runtime.pixels.drawing import blend
from fieldlens.runtime.pixels.heat import LEAST_CELLS, TooCoarse, heat_of, in_field, too_coarse


def one_hot(cells: int, row: int, column: int) -> npt.NDArray[np.float32]:
    grid = np.full((cells, cells), -1.0, np.float32)
    grid[row, column] = 3.0
    return grid


@pytest.mark.parametrize("cells", [4, 6, 7])
def test_it_is_brightest_at_the_cells_centre(cells: int) -> None:
    """Also in a corner, where interpolation that repeats the border's cells would glow up to the image's corner."""
    for row, column in ((0, 0), (cells - 1, 1), (2, 2)):
        heat = heat_of(one_hot(cells, row, column), 420)
        assert heat.max() == pytest.approx(1.0)
        found = np.array(np.unravel_index(heat.argmax(), heat.shape))
        assert np.abs(found - (np.array([row, column]) + 0.5) * 420 / cells).max() <= 1
    assert heat_of(one_hot(cells, 0, 0), 420)[0, 0] < 0.5


def test_the_cold_half_and_what_speaks_against_the_class_have_no_colour() -> None:
    grid = one_hot(6, 1, 1)
    grid[4, 4] = 1.2  # 40% of the hottest
    heat = heat_of(grid, 60)
    assert heat[40:].max() == 0.0
    assert (heat > 0).mean() < 4 / 36
    assert not heat_of(np.full((6, 6), -2.0, np.float32)).any()


def test_between_two_cells_it_is_between_them() -> None:
    grid = one_hot(4, 1, 1)
    grid[1, 2] = 3.0
    heat = heat_of(grid, 80)
    row, column = np.unravel_index(heat.argmax(), heat.shape)
    assert row == pytest.approx(29.5, abs=1)
    assert column == pytest.approx(39.5, abs=1)


@pytest.mark.parametrize("cells", [1, 2, 3])
def test_too_coarse_a_map_is_refused_and_says_why(cells: int) -> None:
    grid = np.ones((cells, cells), np.float32)
    with pytest.raises(TooCoarse, match=f"{cells}x{cells} cells are too coarse") as refused:
        heat_of(grid)
    assert isinstance(refused.value, KitError)
    assert "output_stride" in refused.value.hint
    assert heat_of(grid, 8, coarse=True).shape == (8, 8)
    assert too_coarse(np.ones((2, LEAST_CELLS, LEAST_CELLS), np.float32)) == ""


def test_nothing_glows_outside_of_the_field() -> None:
    """Black bars and the dark around a round field of view stay dark; a dark spot inside the field does not."""
    image = np.zeros((120, 120, 3), np.uint8)
    cv2.circle(image, (60, 60), 50, (180, 140, 120), -1)
    cv2.circle(image, (60, 60), 15, (0, 0, 0), -1)
    heat = np.ones((120, 120), np.float32)
    masked = in_field(heat, image)
    assert (masked[0, 0], masked[60, 60], masked[60, 100]) == (0, 1, 1)
    drawn = blend(image, heat)
    assert (drawn[:8] == image[:8]).all(), "the field is found to within an eightieth of the side"
    assert (drawn[60, 100] != image[60, 100]).any()
    assert not in_field(heat, np.zeros((8, 8, 3), np.uint8)).any()
