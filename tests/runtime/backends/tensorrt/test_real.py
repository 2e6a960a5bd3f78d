"""The same road on a real GPU with a real TensorRT: run with ``-m gpu``. Nothing is faked here."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import pytest

from fieldlens.runtime.backends.base import LoadOptions
from fieldlens.runtime.backends.select import choose_backend
from fieldlens.runtime.backends.selftest import load_golden, run_selftest
from fieldlens.runtime.backends.tensorrt.backend import TensorRtBackend
from fieldlens.runtime.bundle.opened import Bundle
from tests.fakes import models
from tests.fakes.onnx_rules import session
from tests.fakes.workshop import build_engine

pytestmark = pytest.mark.gpu


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    trt = pytest.importorskip("tensorrt", reason="no TensorRT here", exc_type=ImportError)
    pytest.importorskip("pycuda.driver", reason="no pycuda here", exc_type=ImportError)
    if not hasattr(trt, "__version__"):
        pytest.skip("only type stubs of TensorRT here")
    return models.make_bundle(tmp_path_factory.mktemp("bundles"))


@pytest.mark.parametrize("precision", ["fp32", "fp16", "auto"])
def test_build_gate_save_reload_run(bundle: Bundle, tmp_path: Path, precision: str) -> None:
    """``auto`` takes INT8 or FP16, whichever earns it on this GPU: both are right."""
    build_engine(bundle, tmp_path, "--precision", precision, "--batch", "1,4")
    build_engine(bundle, tmp_path, "--precision", precision, "--batch", "1,4", "--ensure")
    image = np.random.default_rng(0).integers(0, 256, (9, models.SIZE, models.SIZE, 3), dtype=np.uint8)
    for _ in range(3):
        with choose_backend(bundle, "tensorrt", "auto", LoadOptions(), tmp_path).backend as backend:
            assert isinstance(backend, TensorRtBackend)
            assert run_selftest(bundle, backend, load_golden(bundle)).passed
            tolerance = {"fp32": 1e-3, "fp16": 0.05, "int8": 1.0}[backend.info.precision]
            for count in (1, 4, 3, 9):
                wanted = session(models.model("fp32")).run(["logits", "cam", "features"], {"image": image[:count]})
                for got, right in zip(backend.infer(image[:count]), wanted, strict=True):
                    assert np.abs(got - right).max() <= tolerance
            assert backend.gpu_ms > 0


@pytest.mark.parametrize("memory", ["copies", "zero-copy"])
@pytest.mark.parametrize("cuda_graph", [False, True])
def test_every_way_of_running_gives_the_same(
    bundle: Bundle, tmp_path: Path, memory: Literal["copies", "zero-copy"], cuda_graph: bool
) -> None:
    build_engine(bundle, tmp_path, "--precision", "fp32")
    options = LoadOptions(memory=memory, cuda_graph=cuda_graph)
    with choose_backend(bundle, "tensorrt", "fp32", options, tmp_path).backend as backend:
        assert run_selftest(bundle, backend, load_golden(bundle)).passed
        graphs_refused = [note for note in backend.info.notes if "not used" in note]
        assert not graphs_refused
