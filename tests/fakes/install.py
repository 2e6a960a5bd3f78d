"""Put the fakes where the code under test will find them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

import fieldlens.runtime.backends.tensorrt.cuda
from fieldlens.runtime.backends.tensorrt import api as trt_api
from tests.fakes.gpu import World
from tests.fakes.libcuda import FakeLibcuda
from tests.fakes.pycuda import make_driver
from tests.fakes.tensorrt import make_tensorrt


def install(monkeypatch: pytest.MonkeyPatch, world: World, version: str) -> None:
    """A machine with this GPU and this TensorRT, until the test ends."""
    package, driver = ModuleType("pycuda"), make_driver(world)
    package.driver = driver  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "pycuda", package)
    monkeypatch.setitem(sys.modules, "pycuda.driver", driver)
    monkeypatch.setattr(fieldlens.runtime.backends.tensorrt.cuda, "load_libcuda", lambda: FakeLibcuda(world))
    monkeypatch.setattr(fieldlens.runtime.backends.tensorrt.cuda, "_DRIVER_FILE", Path("/nonexistent"))
    use_tensorrt(monkeypatch, world, version)


def use_tensorrt(monkeypatch: pytest.MonkeyPatch, world: World, version: str) -> None:
    """Another TensorRT on the same machine, as after an update."""
    monkeypatch.setitem(sys.modules, "tensorrt", make_tensorrt(world, version))
    monkeypatch.setattr(trt_api, "_loaded", None)


def ledgered_world(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """A machine with TensorRT 10.3 for one test; afterwards nothing may be left allocated and no rule broken."""
    world = World()
    install(monkeypatch, world, "10.3.0")
    yield world
    assert world.violations == []
    assert world.held() == []
