"""The network alone, batch 1, on every backend and precision that is installed."""

from __future__ import annotations

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from fieldlens.runtime.backends.base import LoadOptions
from fieldlens.runtime.backends.select import load_backend
from fieldlens.runtime.bundle.opened import Bundle

PAIRS = [
    ("openvino", "fp32"),
    ("openvino", "bf16"),
    ("openvino", "int8"),
    ("onnxruntime", "fp32"),
    ("onnxruntime", "int8"),
]


@pytest.mark.parametrize(("name", "precision"), PAIRS)
def test_backend(benchmark: BenchmarkFixture, bundle: Bundle, name: str, precision: str) -> None:
    pytest.importorskip(name)
    size = bundle.manifest.size
    image = np.random.default_rng(0).integers(0, 256, (1, size, size, 3), np.uint8)
    with load_backend(bundle, name, precision, LoadOptions()) as backend:
        backend.infer(image)
        benchmark(backend.infer, image)
