"""The pointing game against maps whose answer is known."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from fieldlens.train.scoring.answers import grad_cam_plus_plus
from fieldlens.train.scoring.pointing import SIDE, brightest, line, pointing

CELLS = 6


def area(row: int, column: int) -> npt.NDArray[np.bool_]:
    """One cell of the map is marked."""
    found, step = np.zeros((SIDE, SIDE), np.bool_), SIDE // CELLS
    found[row * step : (row + 1) * step, column * step : (column + 1) * step] = True
    return found


def cam(row: int, column: int) -> npt.NDArray[np.float32]:
    grid = np.zeros((CELLS, CELLS), np.float32)
    grid[row, column] = 1.0
    return grid


def test_hits_misses_chance_and_the_middle() -> None:
    cams = np.stack([cam(1, 1), cam(1, 1), cam(4, 4), cam(0, 5)])
    areas = [area(1, 1), area(4, 4), area(4, 4), None]
    found = pointing(cams, areas, ["a", "b", "c", "d"])
    assert found is not None
    assert (found.n, found.cells) == (3, CELLS)
    assert found.hit == pytest.approx(2 / 3)
    low, high = found.hit_interval
    assert low < 2 / 3 < high
    assert found.chance == pytest.approx(1 / 36)
    assert found.middle == 0.0
    assert found.inside > 2 / 3 * 0.5, "two of three maps have most of their colour in the mark"
    assert found.inside_interval[0] < found.inside < found.inside_interval[1]
    assert found.not_drawn == ""
    assert "66.7%" in line("fp32", found)
    assert pointing(cams, [None] * 4, ["a"] * 4) is None


def test_an_empty_map_points_nowhere() -> None:
    found = pointing(np.zeros((1, CELLS, CELLS), np.float32), [np.ones((SIDE, SIDE), np.bool_)], ["a"])
    assert found is not None
    assert found.hit == found.inside == 0.0


def test_a_map_that_nobody_sees_is_judged_and_says_so() -> None:
    found = pointing(np.ones((1, 3, 3), np.float32), [area(2, 2)], ["a"])
    assert found is not None
    assert "3x3" in found.not_drawn


def test_colour_outside_of_the_field_is_not_counted() -> None:
    image = np.full((1, 60, 60, 3), 120, np.uint8)
    image[:, :, 30:] = 0
    grid = cam(1, 1) + cam(1, 4)
    whole = pointing(grid[None], [area(1, 1)], ["a"])
    seen = pointing(grid[None], [area(1, 1)], ["a"], image)
    assert whole is not None
    assert seen is not None
    assert seen.inside > 1.9 * whole.inside


def test_a_plateau_is_read_at_its_middle() -> None:
    heat = np.zeros((9, 9), np.float32)
    heat[2:7, 3:6] = 1.0
    assert brightest(heat) == (4, 4)


def test_grad_cam_plus_plus_is_the_papers() -> None:
    """Equations 10 and 19 with the gradients written out, for exp(score): its derivatives are powers of the first."""
    draw = np.random.default_rng(0)
    grid, weight = draw.uniform(0, 2, (1, 5, 3, 3)).astype(np.float32), draw.normal(0, 1, (1, 5)).astype(np.float32)
    wanted = np.zeros((3, 3))
    for channel in range(5):
        first = weight[0, channel] / 9
        alpha = first**2 / (2 * first**2 + grid[0, channel].sum() * first**3)
        wanted += 9 * alpha * max(first, 0) * grid[0, channel]
    ours = grad_cam_plus_plus(grid, weight)[0]
    np.testing.assert_allclose(ours / ours.max(), wanted / wanted.max(), atol=1e-5)
