"""``pytest -m gpu`` must not build an engine twice: counted here with the fakes, where no GPU is needed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from fieldlens.runtime.backends.base import LoadOptions
from fieldlens.runtime.backends.select import choose_backend
from tests.fakes import models
from tests.fakes.gpu import World
from tests.fakes.install import ledgered_world
from tests.fakes.workshop import SharedEngines, build_engine
from tests.runtime.backends.tensorrt.test_real import BATCH, PRECISIONS


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    yield from ledgered_world(monkeypatch)


def test_each_engine_is_built_once_for_all_tests(world: World, tmp_path: Path) -> None:
    bundle = models.make_bundle(tmp_path)
    (tmp_path / "engines").mkdir()
    engines = SharedEngines(bundle, tmp_path / "engines", *BATCH)
    runs = {}
    for number, precision in enumerate((*PRECISIONS, "fp32", "fp32", "auto")):
        state = engines.state(precision, tmp_path / f"copy-{number}")
        build_engine(bundle, state, "--precision", precision, *BATCH, "--ensure")
        with choose_backend(bundle, "tensorrt", "auto", LoadOptions(), state).backend as backend:
            runs[precision] = backend.info.precision
    assert world.builds == ["fp32", "fp16", "int8"]
    assert runs == {"fp32": "fp32", "fp16": "fp16", "auto": "int8"}
