"""Building and loading on every recorded surface of TensorRT, without a GPU."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest

from fieldlens.runtime.backends.tensorrt.api import BuildOptions, NotInstalled, TensorRt, tensorrt
from fieldlens.runtime.backends.tensorrt.cuda import open_gpu
from fieldlens.runtime.errors import BackendError
from tests.fakes import models
from tests.fakes.gpu import World
from tests.fakes.install import install, use_tensorrt
from tests.fakes.tensorrt import VERSIONS

SHAPES = {"image": (32, 32, 3), "logits": (2,), "cam": (2, 3, 3), "features": (8,)}


class Watcher:
    """Notes what a build reports."""

    def __init__(self, stop: bool = False) -> None:
        self.seen: list[str] = []
        self.stop = stop

    def phase(self, name: str, parent: str | None, steps: int) -> None:
        self.seen.append(f"{name} of {steps}")

    def step(self, name: str, step: int) -> bool:
        if self.stop:
            signal.raise_signal(signal.SIGINT)
        self.seen.append(f"step {step}")
        return True

    def finish(self, name: str) -> None:
        self.seen.append("end")


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    world = World()
    install(monkeypatch, world, "10.3.0")
    gpu = open_gpu()
    yield world
    gpu.close()
    assert world.violations == []
    assert world.held() == []


@pytest.fixture(params=VERSIONS)
def library(request: pytest.FixtureRequest, world: World, monkeypatch: pytest.MonkeyPatch) -> TensorRt:
    use_tensorrt(monkeypatch, world, request.param)
    return tensorrt()


def build(library: TensorRt, precision: str = "fp32", way: int = 0, file: str = "", **options: Any) -> bytes:
    recipe = library.recipes(precision)[way]
    given = BuildOptions(**options)
    model = models.model(file or recipe.file)
    return library.build(model, recipe, given, models.SIZE, 1 << 20, b"", Watcher()).plan


def test_the_table_of_files() -> None:
    def ways(version: str, precision: str) -> list[tuple[str, bool, tuple[str, ...]]]:
        library = TensorRt.__new__(TensorRt)
        library.major = int(version.split(".")[0])
        return [(recipe.file, recipe.strongly_typed, recipe.flags) for recipe in library.recipes(precision)]

    assert ways("8.6.1", "fp32") == [("fp32", False, ())]
    assert ways("8.6.1", "fp16") == [("fp32", False, ("FP16",))]
    assert ways("8.6.1", "int8") == [("int8-trt8", False, ("INT8", "FP16"))]
    assert ways("10.3.0", "fp32") == [("fp32", False, ())]
    assert ways("10.3.0", "fp16") == [("fp16", True, ()), ("fp32", False, ("FP16",))]
    assert ways("10.3.0", "int8") == [("int8", True, ()), ("int8-trt8", False, ("INT8", "FP16"))]
    assert [ways("11.4.0", name)[0][0] for name in ("fp32", "fp16", "int8")] == ["fp32", "fp16", "int8"]
    assert all(len(ways("11.4.0", name)) == 1 and not ways("11.4.0", name)[0][2] for name in ("fp32", "fp16", "int8"))


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_every_surface_builds_and_loads_every_precision_every_way(library: TensorRt, precision: str) -> None:
    for way in range(len(library.recipes(precision))):
        plan = build(library, precision, way, batches=(1, 4))
        runtime, engine = library.load(plan)
        assert library.batches(engine) == (1, 4)
        library.check_interface(engine, SHAPES)
        assert precision in library.layer_information(engine).lower().replace("float", "fp32").replace("half", "fp16")
        del engine, runtime


def test_eleven_touches_no_removed_name(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The fake has none of them, so touching one would raise AttributeError."""
    use_tensorrt(monkeypatch, world, "11.4.0.106")
    library = tensorrt()
    for holder, name in (
        (library.trt.BuilderFlag, "FP16"), (library.trt.BuilderFlag, "INT8"),
        (library.trt.NetworkDefinitionCreationFlag, "EXPLICIT_BATCH"), (library.trt, "IInt8EntropyCalibrator2"),
    ):  # fmt: skip
        assert not hasattr(holder, name)
    build(library, "int8")


def test_other_dimensions_or_names_are_refused(library: TensorRt) -> None:
    _, engine = library.load(build(library))
    with pytest.raises(BackendError, match="the plan's tensors are"):
        library.check_interface(engine, {**SHAPES, "logits": (3,)})
    del engine


def test_a_real_progress_bar_from_ten_on(library: TensorRt) -> None:
    watcher = Watcher()
    library.build(models.model("fp32"), library.recipes("fp32")[0], BuildOptions(), models.SIZE, 1 << 20, b"", watcher)
    wanted = [] if library.major < 10 else ["Building Engine of 2", "step 0", "step 1", "end"]
    assert watcher.seen == wanted


def test_ctrl_c_ends_a_build(library: TensorRt, world: World) -> None:
    """At the next step where there is a progress monitor (an exception inside it would end the process), else after."""
    if library.major < 10:
        world.on_build = lambda: signal.raise_signal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        library.build(
            models.model("fp32"), library.recipes("fp32")[0], BuildOptions(), models.SIZE, 1 << 20, b"", Watcher(True)
        )


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("int32-bias", "only activation types allowed"),
        ("asymmetric", "only symmetric INT8"),
        ("strange-op", r"node 6 \(last, Selu\)|node 6"),
    ],
)
def test_parser_errors_are_printed_whole(library: TensorRt, file: str, message: str) -> None:
    with pytest.raises(BackendError, match=message) as raised:
        build(library, "int8", -1, file=file)
    assert "ModelImporter.cpp:726 in parseGraph" in raised.value.message


def test_a_file_for_ten_is_refused_by_eight(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    use_tensorrt(monkeypatch, world, "8.6.1")
    with pytest.raises(BackendError) as raised:
        build(tensorrt(), "int8", file="int8")
    assert "opset 19 is newer than 17" in raised.value.message
    assert raised.value.message.count("FP16 scales are not supported") == 8, "every error, not the first"


def test_what_is_not_onnx_is_refused(library: TensorRt) -> None:
    with pytest.raises(BackendError, match="failed to parse"):
        library.build(b"nonsense", library.recipes("fp32")[0], BuildOptions(), 32, 1 << 20, b"", Watcher())


def test_out_of_memory_is_named_with_the_librarys_own_words(library: TensorRt, world: World) -> None:
    world.build_fault = "[memory.cpp::allocate::88] Error Code 1: Cuda Runtime (out of memory)"
    with pytest.raises(BackendError, match="out of memory") as raised:
        build(library)
    assert "memory.cpp::allocate" in raised.value.message
    assert "--workspace" in raised.value.hint


def test_tactic_sources_go_by_name(library: TensorRt) -> None:
    from tests.fakes.engine import unpack

    names = ("EDGE_MASK_CONVOLUTIONS", "JIT_CONVOLUTIONS")
    header, _ = unpack(build(library, tactic_sources=names))
    assert header["sources"] == sum(1 << int(getattr(library.trt.TacticSource, name)) for name in names)
    for wrong in ("CUDDN", "__class__", "name"):
        with pytest.raises(BackendError, match=f"no tactic source '{wrong}'") as raised:
            build(library, tactic_sources=(wrong,))
        assert "JIT_CONVOLUTIONS" in raised.value.hint


def test_timings_are_reused_where_they_fit(library: TensorRt) -> None:
    def again(saved: bytes) -> tuple[bytes, tuple[str, ...]]:
        built = library.build(
            models.model("fp32"), library.recipes("fp32")[0], BuildOptions(), models.SIZE, 1 << 20, saved, Watcher()
        )
        return built.timing_cache, built.notes

    cache, notes = again(b"")
    assert cache
    assert notes == again(cache)[1] == ()
    assert "started again" in again(b"timings of another GPU")[1][0]


def test_plans_that_do_not_fit_give_the_librarys_reason(
    library: TensorRt, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = build(library)
    for bad, reason in ((plan[: len(plan) // 2], "corrupt"), (b"x" * 200, "magic tag"), (b"", "magic tag")):
        with pytest.raises(BackendError, match=reason):
            library.load(bad)
    world.compute_capability = (9, 0)
    with pytest.raises(BackendError, match="incompatible device"):
        library.load(plan)
    world.compute_capability = (8, 7)
    use_tensorrt(monkeypatch, world, next(version for version in VERSIONS if version != library.version))
    with pytest.raises(BackendError, match=f"got {library.version}"):
        tensorrt().load(plan)


def test_one_library_per_process(world: World) -> None:
    assert tensorrt() is tensorrt()


@pytest.mark.parametrize("module", [None, ModuleType("tensorrt")])
def test_no_tensorrt_and_mere_stubs(world: World, monkeypatch: pytest.MonkeyPatch, module: ModuleType | None) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt", module)
    with pytest.raises(NotInstalled, match="not installed") as raised:
        tensorrt()
    assert "JetPack" in raised.value.hint
