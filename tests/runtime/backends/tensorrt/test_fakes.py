"""The fakes are only worth something if they refuse what the real ones refuse."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from fieldlens.runtime.backends.tensorrt.api import BuildOptions, tensorrt
from fieldlens.runtime.backends.tensorrt.cuda import Gpu, open_gpu
from fieldlens.runtime.errors import BackendError
from tests.fakes import models
from tests.fakes.gpu import Crash, World
from tests.fakes.install import install
from tests.fakes.surface import surface
from tests.fakes.tensorrt import VERSIONS, make_tensorrt
from tests.fakes.workshop import build_engine


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    world = World()
    install(monkeypatch, world, "8.6.1")
    return world


@pytest.fixture
def gpu(world: World) -> Iterator[Gpu]:
    gpu = open_gpu()
    yield gpu
    gpu.close()


@pytest.mark.parametrize("version", VERSIONS)
def test_the_surface_is_exactly_the_recorded_one(version: str) -> None:
    trt: Any = make_tensorrt(World(), version)
    recorded = surface("tensorrt-api", version)["classes"]
    public = {name for name in vars(trt) if not name.startswith("_")}
    assert public == set(recorded)
    for name, members in recorded.items():
        own = {member for member in vars(getattr(trt, name)) if not member.startswith("_")}
        assert own <= set(members), name
        for member, value in members.items():
            if isinstance(value, int):
                assert int(getattr(getattr(trt, name), member)) == value


def test_versions_differ_where_the_real_ones_do() -> None:
    made = {version: make_tensorrt(World(), version) for version in VERSIONS}
    assert not hasattr(made["8.6.1"], "IProgressMonitor")
    assert not hasattr(made["8.6.1"].NetworkDefinitionCreationFlag, "STRONGLY_TYPED")
    assert int(made["10.3.0"].TacticSource.JIT_CONVOLUTIONS) != int(made["11.4.0.106"].TacticSource.JIT_CONVOLUTIONS)


def test_wrong_names_and_types_are_refused(gpu: Gpu) -> None:
    library = tensorrt()
    builder = library.trt.Builder(library.logger)
    config = builder.create_builder_config()
    with pytest.raises(AttributeError):
        builder.build_engine_anew  # noqa: B018
    with pytest.raises(AttributeError):
        config.progress_monitor = object()
    with pytest.raises(TypeError, match="incompatible function arguments"):
        builder.create_network("explicit")
    with pytest.raises(TypeError, match="incompatible function arguments"):
        config.set_flag(0)
    with pytest.raises(TypeError, match="incompatible function arguments"):
        config.set_memory_pool_limit(library.trt.MemoryPoolType.WORKSPACE, 1.5)
    with pytest.raises(TypeError, match="No constructor"):
        library.trt.ICudaEngine()
    with pytest.raises(NotImplementedError):
        builder.reset()


def context_of(precision: str) -> Any:
    library = tensorrt()

    class Silent:
        def phase(self, *_: object) -> None: ...
        def finish(self, *_: object) -> None: ...
        def step(self, *_: object) -> bool:
            return True

    recipe = library.recipes(precision)[0]
    plan = library.build(models.model(recipe.file), recipe, BuildOptions((2,)), 32, 1 << 20, b"", Silent()).plan
    return library.load(plan)[1].create_execution_context()


def test_a_run_without_addresses_or_shape_is_refused(world: World, gpu: Gpu) -> None:
    context, stream = context_of("fp32"), gpu.stream()
    assert context.set_optimization_profile_async(0, stream.handle)
    with pytest.raises(Crash, match="without the addresses of image, logits"):
        context.execute_async_v3(stream.handle)
    assert not context.set_input_shape("image", (1, 32, 32, 3)), "outside the profile"
    assert context.set_input_shape("image", (2, 32, 32, 3))
    assert not context.set_tensor_address("image", 0)
    with pytest.raises(Crash):
        context.execute_async_v3(stream.handle)
    for name in ("image", "logits", "cam", "features"):
        assert context.set_tensor_address(name, 0x1234)
    assert context.execute_async_v3(stream.handle)
    with pytest.raises(MemoryError, match="illegal memory access"):
        stream.synchronize()


def test_what_kills_the_real_one_ends_a_test(world: World, gpu: Gpu) -> None:
    """Recorded from 8.6.1, which dies with a segmentation fault."""
    context, stream, library = context_of("fp32"), gpu.stream(), tensorrt()
    with pytest.raises(Crash, match="profile 7"):
        context.set_optimization_profile_async(7, stream.handle)
    builder = library.trt.Builder(library.logger)
    network = builder.create_network(library._network_flags(library.recipes("fp32")[0]))
    parser = library.trt.OnnxParser(network, library.logger)
    del builder
    with pytest.raises(Crash, match="builder was freed"):
        parser.parse(models.model("fp32"))
    assert not issubclass(Crash, Exception)
    assert len(world.violations) == 2


@pytest.mark.parametrize("name", ["image", "logits", "cam", "features"])
def test_a_refused_address_never_gets_as_far_as_a_run(
    world: World, tmp_path_factory: pytest.TempPathFactory, name: str
) -> None:
    bundle = models.make_bundle(tmp_path_factory.mktemp("bundles"))
    world.refused_address = name
    with pytest.raises(BackendError, match=f"refused an address for '{name}'"):
        build_engine(bundle, tmp_path_factory.mktemp("state"), "--precision", "fp32")
    assert world.violations == []
    assert world.held() == []


def test_on_eight_a_profile_serves_one_context(gpu: Gpu) -> None:
    context, stream = context_of("fp32"), gpu.stream()
    other = context._engine.create_execution_context()
    assert context.set_optimization_profile_async(0, stream.handle)
    assert not other.set_optimization_profile_async(0, stream.handle)
    del context
    assert other.set_optimization_profile_async(0, stream.handle)


def test_the_ledger_notices_what_is_not_given_back(world: World) -> None:
    gpu = open_gpu()
    kept = gpu.device_memory(100)
    gpu.close()
    assert "the context went while ['100 bytes of GPU memory']" in world.violations[0]
    kept.close()
    assert "without a current context" in world.violations[1]


def test_pycuda_counts_arguments_and_lacks_graphs(gpu: Gpu) -> None:
    with pytest.raises(TypeError):
        gpu.driver.mem_alloc(1, 2)
    with pytest.raises(TypeError):
        gpu.driver.Stream(1, 2)
    assert not hasattr(gpu.driver.Stream, "begin_capture")
    with pytest.raises(NotImplementedError):
        gpu.driver.memset_d8(1, 2, 3)
