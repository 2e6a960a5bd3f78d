"""Bytes or a frame to a whole Prediction: around a real network, and around none (the runtime's own share)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from fieldlens.runtime.backends.base import LoadOptions
from fieldlens.runtime.backends.select import load_backend
from fieldlens.runtime.bundle.opened import Bundle
from fieldlens.runtime.classifier import Classifier

BACKENDS = [("openvino", "int8"), ("openvino", "fp32"), ("fake", "fp32")]


@pytest.mark.parametrize(("name", "precision"), BACKENDS)
def test_classify_bytes(benchmark: BenchmarkFixture, bundle: Bundle, photo: bytes, name: str, precision: str) -> None:
    with Classifier(bundle, load_backend(bundle, name, precision, LoadOptions())) as classifier:
        benchmark(classifier.classify_bytes, photo, "photo")


def test_classify_frame(benchmark: BenchmarkFixture, bundle: Bundle, picture: npt.NDArray[np.uint8]) -> None:
    with Classifier(bundle, load_backend(bundle, "fake", "fp32", LoadOptions())) as classifier:
        benchmark(classifier.classify_frame, picture, "frame")
