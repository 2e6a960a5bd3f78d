from __future__ import annotations

import cv2
import numpy as np
from matplotlib.figure import Figure

from fieldlens.train.epoch.history import EpochRow
from fieldlens.train.fitting import plots


def decoded(png: bytes) -> np.ndarray:
    pixels = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR)
    assert pixels is not None
    return pixels


def test_curves_are_an_image_even_after_one_epoch() -> None:
    rows = [EpochRow(n, 0.1, 1 / n, 0.5, 1 / n, 0.5, 0.5, 0.5, 10.0, 1.0) for n in (1, 2, 3)]
    assert decoded(plots.curves(rows, 3, "a run")).shape[1] > 800
    assert decoded(plots.curves(rows[:1], 1, "a run")).std() > 0


def test_a_confusion_matrix_with_an_empty_class() -> None:
    counts = np.array([[5, 1, 0], [0, 7, 2], [0, 0, 0]])
    assert decoded(plots.confusion_matrix(counts, ["a", "b", "a long class name"], "a run")).std() > 0


def test_epochs_are_whole_numbers() -> None:
    axis = Figure().subplots()
    for last in (1, 2, 3, 30):
        axis.clear()
        axis.plot(range(1, last + 1), range(last))
        plots.whole_epochs(axis)
        ticks = axis.get_xticks()
        assert len(ticks)
        assert [tick for tick in ticks if tick != round(tick)] == []


def test_errors_have_another_colour_than_hits() -> None:
    """Of a matrix with as many hits as errors: blue on the diagonal, orange beside it."""
    image = decoded(plots.confusion_matrix(np.array([[50, 50], [50, 50]]), ("a", "b"), "even")).astype(int)
    blue, red = image[..., 0] - image[..., 2] > 60, image[..., 2] - image[..., 0] > 60
    assert 0.7 < blue.sum() / red.sum() < 1.4
    middle = np.argwhere(blue).mean(axis=0)
    assert np.all(np.abs(middle - np.argwhere(red).mean(axis=0)) < 20)  # both diagonals have the same middle
