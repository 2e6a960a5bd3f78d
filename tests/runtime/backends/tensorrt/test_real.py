"""The same road on a real GPU with a real TensorRT: run with ``-m gpu``. Nothing is faked here.

Three engines are built in a session, one for each precision, and shared (:class:`SharedEngines`): TensorRT 8.6.1 took
more than 170 s on an H200 when each test built its own eight. Together this has to end within 100 s there.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import pytest

from fieldlens.runtime.backends.base import LoadOptions
from fieldlens.runtime.backends.select import choose_backend
from fieldlens.runtime.backends.selftest import load_golden, run_selftest
from fieldlens.runtime.backends.tensorrt.backend import TensorRtBackend
from tests.fakes import models
from tests.fakes.onnx_rules import session
from tests.fakes.workshop import SharedEngines, build_engine

pytestmark = pytest.mark.gpu
BATCH = ("--batch", "1,4")
PRECISIONS = ("fp32", "fp16", "auto")


@pytest.fixture(scope="session")
def engines(tmp_path_factory: pytest.TempPathFactory) -> SharedEngines:
    trt = pytest.importorskip("tensorrt", reason="no TensorRT here", exc_type=ImportError)
    pytest.importorskip("pycuda.driver", reason="no pycuda here", exc_type=ImportError)
    if not hasattr(trt, "__version__"):
        pytest.skip("only type stubs of TensorRT here")
    bundle = models.make_bundle(tmp_path_factory.mktemp("bundles"))
    return SharedEngines(bundle, tmp_path_factory.mktemp("engines"), *BATCH)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_build_gate_save_reload_run(engines: SharedEngines, tmp_path: Path, precision: str) -> None:
    """``auto`` takes INT8 or FP16, whichever earns it on this GPU: both are right."""
    bundle, state = engines.bundle, engines.state(precision, tmp_path / "state")
    plans = sorted(state.rglob("*.plan"))
    build_engine(bundle, state, "--precision", precision, *BATCH, "--ensure")
    assert sorted(state.rglob("*.plan")) == plans, "what is there is taken"
    image = np.random.default_rng(0).integers(0, 256, (9, models.SIZE, models.SIZE, 3), dtype=np.uint8)
    wanted = {
        count: session(models.model("fp32")).run(["logits", "cam", "features"], {"image": image[:count]})
        for count in (1, 4, 3, 9)
    }
    for _ in range(3):
        with choose_backend(bundle, "tensorrt", "auto", LoadOptions(), state).backend as backend:
            assert isinstance(backend, TensorRtBackend)
            assert run_selftest(bundle, backend, load_golden(bundle)).passed
            tolerance = {"fp32": 1e-3, "fp16": 0.05, "int8": 1.0}[backend.info.precision]
            for count, answers in wanted.items():
                for got, right in zip(backend.infer(image[:count]), answers, strict=True):
                    assert np.abs(got - right).max() <= tolerance
            assert backend.gpu_ms > 0


@pytest.mark.parametrize("memory", ["copies", "zero-copy"])
@pytest.mark.parametrize("cuda_graph", [False, True])
def test_every_way_of_running_gives_the_same(
    engines: SharedEngines, tmp_path: Path, memory: Literal["copies", "zero-copy"], cuda_graph: bool
) -> None:
    bundle, state = engines.bundle, engines.state("fp32", tmp_path / "state")
    options = LoadOptions(memory=memory, cuda_graph=cuda_graph)
    with choose_backend(bundle, "tensorrt", "fp32", options, state).backend as backend:
        assert run_selftest(bundle, backend, load_golden(bundle)).passed
        graphs_refused = [note for note in backend.info.notes if "not used" in note]
        assert not graphs_refused
