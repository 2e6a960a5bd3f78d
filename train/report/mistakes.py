"""The worst mistakes as images: what the network saw, and beside it where it looked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import simplejpeg

from fieldlens.runtime.pixels.drawing import blend
from fieldlens.runtime.pixels.heat import heat_of, too_coarse
from fieldlens.runtime.pixels.preprocess import Preprocess
from fieldlens.runtime.pixels.steps import Step
from fieldlens.train.data.samples import DataSet, Sample

_SIDE = 224


def beside_maps(
    data: DataSet, samples: Sequence[Sample], steps: tuple[Step, ...], maps: npt.NDArray[np.float32] | None,
    mistakes: Sequence[Mapping[str, Any]],
) -> dict[int, bytes]:  # fmt: skip
    """JPEGs of the mistakes by their index, drawn as on the device: beside the heat map, or alone where that is too
    coarse; empty without ``maps`` float32 ``[n,h,w]``."""
    if maps is None:
        return {}
    preprocess = Preprocess(steps)
    found = {}
    for index in {int(row["index"]) for row in mistakes}:
        picture = cv2.resize(data.tensor(samples[index], preprocess), (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)
        coarse = bool(too_coarse(maps[index]))  # then the image alone
        pair = picture if coarse else np.hstack([picture, blend(picture, heat_of(maps[index], _SIDE))])
        found[index] = simplejpeg.encode_jpeg(np.ascontiguousarray(pair), quality=85)
    return found
