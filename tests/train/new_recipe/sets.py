"""Small folders of images of a kind."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[Any]


def photograph(seed: int) -> Pixels:
    """80×60, in colour."""
    return np.random.default_rng(seed).integers(0, 255, (60, 80, 3)).astype(np.uint8)


def xray(seed: int) -> Pixels:
    """80×60, three channels that are the same."""
    return np.repeat(photograph(seed)[..., :1], 3, axis=2)


def grey16(seed: int) -> Pixels:
    """80×60, 16 bits, values from 1000 to 3000."""
    return np.random.default_rng(seed).integers(1000, 3000, (60, 80)).astype(np.uint16)


def folders(root: Path, classes: Mapping[str, int], image: Callable[[int], Pixels] = photograph) -> Path:
    """A folder for each class with so many PNG files."""
    for place, (name, count) in enumerate(classes.items()):
        (root / name).mkdir(parents=True)
        for index in range(count):
            cv2.imwrite(str(root / name / f"{index}.png"), image(100 * place + index))
    return root
