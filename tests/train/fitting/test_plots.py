from __future__ import annotations

import cv2
import numpy as np

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
