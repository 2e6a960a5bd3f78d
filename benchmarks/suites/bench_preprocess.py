"""Pixels to the network's tensor: every step on its own, on 640×480."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from fieldlens.runtime.pixels.preprocess import Preprocess
from fieldlens.runtime.pixels.steps import Clahe, Crop, Denoise, Grey, Resize, Step

RESIZE = Resize(224)
CHAINS: dict[str, tuple[Step, ...]] = {
    "resize-crop": (RESIZE,),
    "resize-pad": (Resize(224, mode="pad"),),
    "resize-squash": (Resize(224, mode="squash"),),
    "resize-up": (Crop(0.4, 0.4, 0.6, 0.6), RESIZE),
    "crop": (Crop(0.1, 0.1, 0.9, 0.9), RESIZE),
    "clahe": (RESIZE, Clahe()),
    "denoise-median": (RESIZE, Denoise("median", 3)),
    "denoise-gaussian": (RESIZE, Denoise("gaussian", 3)),
    "grey": (RESIZE, Grey()),
}


@pytest.mark.parametrize("name", CHAINS)
def test_preprocess(benchmark: BenchmarkFixture, name: str, picture: npt.NDArray[np.uint8]) -> None:
    preprocess = Preprocess(CHAINS[name])
    benchmark(preprocess, picture, preprocess.empty()[0])


def test_camera_frame(benchmark: BenchmarkFixture, picture: npt.NDArray[np.uint8]) -> None:
    preprocess = Preprocess((RESIZE,))
    benchmark(preprocess.frame, picture, preprocess.empty()[0])
