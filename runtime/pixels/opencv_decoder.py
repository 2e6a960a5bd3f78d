"""PNG, BMP, WebP and TIFF through OpenCV. Imports nothing heavier: decoder_process.py runs it too."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from fieldlens.runtime.errors import ImageError

# What OpenCV finds wrong becomes an error of ours; its log would repeat that, in its own words. Silent is 0.
(getattr(cv2, "setLogLevel", None) or cv2.utils.logging.setLogLevel)(0)


def decode_bgr(data: bytes | memoryview, name: str, *, unchanged: bool) -> npt.NDArray[Any]:
    """BGR ``[H,W,3]`` uint8; with ``unchanged`` as the file has it: also grey ``[H,W]``, BGRA, uint16.

    Raises ImageError.
    """
    flags = cv2.IMREAD_UNCHANGED if unchanged else cv2.IMREAD_COLOR
    try:
        pixels: npt.NDArray[Any] | None = cv2.imdecode(
            np.frombuffer(data, np.uint8), flags | cv2.IMREAD_IGNORE_ORIENTATION
        )
    except cv2.error as error:
        raise ImageError(f"{name}: corrupt image ({error.err})", "take or export it again") from error
    if pixels is None:
        raise ImageError(f"{name}: truncated or corrupt image", "take or export it again")
    return pixels
