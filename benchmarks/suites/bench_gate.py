"""The gate before an answer: quality measures, out-of-distribution score, calibrated probabilities."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from fieldlens.runtime.bundle.decision import calibrated
from fieldlens.runtime.bundle.opened import Bundle
from fieldlens.runtime.bundle.quality_limits import limits_from_json
from fieldlens.runtime.quality import measures as quality
from fieldlens.runtime.quality.ood import load_ood


def test_quality_measures(benchmark: BenchmarkFixture, bundle: Bundle, picture: npt.NDArray[np.uint8]) -> None:
    size = bundle.manifest.size
    image = np.asarray(cv2.resize(picture, (size, size), interpolation=cv2.INTER_AREA), np.uint8)
    limits = limits_from_json(bundle.manifest.quality)
    assert limits is not None
    benchmark(lambda: quality.judge(quality.measure(image, 480), limits))


def test_out_of_distribution(benchmark: BenchmarkFixture, bundle: Bundle) -> None:
    model = load_ood(bundle)
    if model is None:
        pytest.skip("the bundle has no statistics of its features")
    benchmark(model.score, np.random.default_rng(0).normal(size=bundle.manifest.features).astype(np.float32))


def test_probabilities(benchmark: BenchmarkFixture) -> None:
    benchmark(calibrated, np.array([0.3, -1.2], np.float32), 1.5, "multiclass")
