"""How many tries a bundle takes, for the line that says how far it is."""

from __future__ import annotations

import numpy as np
import pytest

from fieldlens.convert.precisions import _tries
from fieldlens.convert.quantization.quantize import CPU
from fieldlens.convert.quantization.ranges import METHODS

IMAGES = [np.zeros((8, 8, 3), np.uint8)]


@pytest.mark.parametrize(
    ("targets", "tries"),
    [
        (("cpu",), len(METHODS) * len(CPU)),
        (("tensorrt10",), 1 + len(METHODS)),
        (("tensorrt8",), 1 + len(METHODS)),
        (("cpu", "tensorrt10", "tensorrt8"), len(METHODS) * len(CPU) + 1 + 2 * len(METHODS)),
    ],
)
def test_every_try_is_counted_once(targets: tuple[str, ...], tries: int) -> None:
    assert _tries(IMAGES, targets) == tries


def test_without_calibration_only_fp16_is_tried() -> None:
    assert _tries([], ("cpu", "tensorrt10")) == 1
    assert _tries([], ("cpu",)) == 0
