"""JPEG bytes to the network's image with OpenCV alone, as most kits write it: decode, colours, resize, crop."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from fieldlens.benchmarks.device.contenders.base import Job

Pixels = npt.NDArray[np.uint8]


def front(job: Job) -> Callable[[bytes], Pixels]:
    """Bytes → uint8 ``[1,S,S,3]`` RGB by the bundle's steps. Raises ValueError for a step that has no plain form."""
    cv2.setNumThreads(job.threads)
    steps = {step["step"]: step for step in job.steps}
    if other := set(steps) - {"orient", "crop", "resize", "grey"}:
        raise ValueError(f"this pipeline has no step {', '.join(sorted(other))}")
    flags = cv2.IMREAD_COLOR if "orient" in steps else cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION

    def prepare(data: bytes) -> Pixels:
        bgr = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
        if bgr is None:
            raise ValueError("OpenCV cannot decode the image")
        rgb = cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)
        if "crop" in steps:
            rgb = _cropped(rgb, steps["crop"])
        rgb = _resized(rgb, steps["resize"])
        if "grey" in steps:
            rgb = cv2.cvtColor(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
        return np.ascontiguousarray(rgb)[None].astype(np.uint8, copy=False)

    return prepare


def _cropped(image: npt.NDArray[Any], step: dict[str, Any]) -> npt.NDArray[Any]:
    height, width = image.shape[:2]
    top, bottom = round(step["top"] * height), round(step["bottom"] * height)
    return image[top:bottom, round(step["left"] * width) : round(step["right"] * width)]


def _resized(image: npt.NDArray[Any], step: dict[str, Any]) -> npt.NDArray[Any]:
    size, mode = step["size"], step["mode"]
    height, width = image.shape[:2]
    if mode == "squash":
        return _scaled(image, size, size)
    side = round(size * step["zoom"]) if mode == "crop" else size
    scale = side / (min(height, width) if mode == "crop" else max(height, width))
    image = _scaled(image, max(1, round(width * scale)), max(1, round(height * scale)))
    height, width = image.shape[:2]
    if mode == "crop":
        top, left = (height - size) // 2, (width - size) // 2
        return image[top : top + size, left : left + size]
    top, left = (size - height) // 2, (size - width) // 2
    return cv2.copyMakeBorder(
        image, top, size - height - top, left, size - width - left, cv2.BORDER_CONSTANT, value=(0, 0, 0)
    )


def _scaled(image: npt.NDArray[Any], width: int, height: int) -> npt.NDArray[Any]:
    shrinks = width * height < image.shape[0] * image.shape[1]
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
