"""The TensorRT backend: answers, memory, graphs and their failures, on every recorded surface."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from fieldlens.runtime.backends import select
from fieldlens.runtime.backends.base import LoadOptions
from fieldlens.runtime.backends.select import choose_backend
from fieldlens.runtime.backends.tensorrt.api import BuildOptions, tensorrt
from fieldlens.runtime.backends.tensorrt.backend import Engine, TensorRtBackend
from fieldlens.runtime.backends.tensorrt.cuda import open_gpu
from fieldlens.runtime.backends.tensorrt.engine_record import Device
from fieldlens.runtime.bundle.opened import Bundle
from fieldlens.runtime.errors import BackendError
from tests.fakes import models
from tests.fakes.gpu import World
from tests.fakes.install import ledgered_world, use_tensorrt
from tests.fakes.onnx_rules import session
from tests.fakes.tensorrt import VERSIONS
from tests.fakes.workshop import build_engine

Pixels = npt.NDArray[np.uint8]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return models.make_bundle(tmp_path_factory.mktemp("bundles"))


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    yield from ledgered_world(monkeypatch)


class Quiet:
    def phase(self, *_: object) -> None: ...
    def finish(self, *_: object) -> None: ...
    def step(self, *_: object) -> bool:
        return True


def plan(precision: str = "fp32", batches: tuple[int, ...] = (1,)) -> Engine:
    library, gpu = tensorrt(), open_gpu()
    recipe = library.recipes(precision)[0]
    built = library.build(models.model(recipe.file), recipe, BuildOptions(batches), models.SIZE, 1 << 20, b"", Quiet())
    gpu.close()
    return Engine(built.plan, precision, recipe.file)


def load(engine: Engine, **options: Any) -> TensorRtBackend:
    gpu = open_gpu()
    try:
        return TensorRtBackend(tensorrt(), gpu, engine, models.manifest(), LoadOptions(**options))
    finally:
        gpu.close()


def pictures(count: int) -> Pixels:
    return np.random.default_rng(count).integers(0, 256, (count, models.SIZE, models.SIZE, 3), dtype=np.uint8)


def reference(image: Pixels, file: str = "fp32") -> Any:
    return session(models.model(file)).run(["logits", "cam", "features"], {"image": image})


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_it_answers_as_the_graph_does(
    world: World, monkeypatch: pytest.MonkeyPatch, version: str, precision: str
) -> None:
    use_tensorrt(monkeypatch, world, version)
    engine = plan(precision, (1, 4))
    with load(engine) as backend:
        for count in (1, 4, 1, 3, 9):
            image = pictures(count)
            for got, wanted in zip(backend.infer(image), reference(image, engine.file), strict=True):
                np.testing.assert_allclose(got, wanted, atol=1e-5)
        assert backend.info.name == "tensorrt"
        assert (backend.info.version, backend.info.precision, backend.info.file) == (version, precision, engine.file)


def test_after_its_first_runs_everything_is_a_graph(world: World) -> None:
    with load(plan()) as backend:
        enqueued = world.enqueues
        for _ in range(5):
            backend.infer(pictures(1))
        assert world.enqueues == enqueued
        assert backend.info.notes == ("CUDA graph: on",)
        assert backend.measured_ms["host_to_device"] == pytest.approx(world.copy_ms)
        assert backend.measured_ms["device_to_host"] == pytest.approx(3 * world.copy_ms)
        assert 0 < backend.measured_ms["enqueue"] < 1000
        assert backend.gpu_ms == pytest.approx(4.0 + 4 * world.copy_ms)


@pytest.mark.parametrize(
    "call", ["cuStreamBeginCapture_v2", "cuStreamEndCapture", "cuGraphInstantiateWithFlags", "cuGraphLaunch"]
)
def test_a_refused_graph_falls_back_and_says_so(world: World, call: str) -> None:
    world.graph_fault = call
    image = pictures(1)
    with load(plan()) as backend:
        np.testing.assert_allclose(backend.infer(image).logits, reference(image)[0], atol=1e-5)
        (note,) = backend.info.notes
        assert note.startswith("CUDA graph: not used, plain enqueue instead (")
        assert "CUDA_ERROR" in note
    assert world.launches == 0


def test_the_graph_can_be_switched_off(world: World) -> None:
    with load(plan(), cuda_graph=False) as backend:
        backend.infer(pictures(1))
        assert backend.info.notes == ("CUDA graph: switched off",)
    assert world.launches == 0


@pytest.mark.parametrize(("zero_copy_ms", "winner"), [(0.02, "zero-copy"), (0.9, "copies")])
def test_an_integrated_gpu_measures_both_memories(world: World, zero_copy_ms: float, winner: str) -> None:
    world.integrated, world.zero_copy_ms = True, zero_copy_ms
    image = pictures(1)
    with load(plan(batches=(1, 4))) as backend:
        assert backend.info.notes == (
            f"memory: {winner} (measured here: zero-copy {4 + zero_copy_ms:.3f} ms, copies 4.200 ms)",
            "CUDA graph: on",
        )
        np.testing.assert_allclose(backend.infer(image).logits, reference(image)[0], atol=1e-5)
        np.testing.assert_allclose(backend.infer(pictures(4)).cam, reference(pictures(4))[1], atol=1e-5)


@pytest.mark.parametrize("memory", ["copies", "zero-copy"])
def test_the_memory_can_be_named(world: World, memory: str) -> None:
    with load(plan(), memory=memory) as backend:
        backend.infer(pictures(1))
        assert backend.gpu_ms == pytest.approx(4.2 if memory == "copies" else 4.02)


def test_a_thousand_cycles_leave_nothing(world: World) -> None:
    engine, image = plan(batches=(1, 4)), pictures(2)
    for _ in range(1000):
        with load(engine) as backend:
            backend.infer(image)
    assert world.held() == []
    assert world.memory == {}
    assert world.streams == {}


def test_answers_outlive_the_backend(world: World) -> None:
    image = pictures(1)
    backend = load(plan())
    outputs = backend.infer(image)
    backend.close()
    backend.close()
    np.testing.assert_allclose(outputs.logits, reference(image)[0], atol=1e-5)
    with pytest.raises(BackendError, match="closed"):
        backend.infer(image)


def in_a_thread(work: Callable[[], object]) -> BaseException | None:
    raised: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BackendError as error:
            raised.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return raised[0] if raised else None


def test_one_thread_owns_the_gpu(world: World) -> None:
    backend = load(plan())
    for work in (lambda: backend.infer(pictures(1)), backend.close):
        assert "belongs to the thread" in str(in_a_thread(work))
    backend.close()


@pytest.mark.parametrize(
    "image", [np.zeros((1, 8, 8, 3), np.uint8), np.zeros((1, 32, 32, 3), np.float32), np.zeros((32, 32, 3), np.uint8)]
)
def test_other_images_are_refused(world: World, image: Any) -> None:
    with load(plan()) as backend, pytest.raises(BackendError, match="the engine takes uint8"):
        backend.infer(image)


@pytest.mark.parametrize(
    "spoil", [lambda plan: plan[:100], lambda plan: plan[:-1] + bytes([plan[-1] ^ 1]), lambda plan: b""]
)
def test_a_failed_load_gives_everything_back(world: World, spoil: Callable[[bytes], bytes]) -> None:
    engine = plan()
    with pytest.raises(BackendError, match="refused the plan"):
        load(dataclasses.replace(engine, plan=spoil(engine.plan)))
    assert world.held() == []


def test_a_full_gpu_gives_everything_back(world: World) -> None:
    engine = plan()
    world.free_bytes = 1000
    with pytest.raises(BackendError, match="out of GPU memory"):
        load(engine)
    assert world.held() == []


# -------------------------------------------------------------- which one runs


def choose(bundle: Bundle, state: Path, backend: str = "auto", precision: str = "auto") -> select.BackendChoice:
    return choose_backend(bundle, backend, precision, LoadOptions(threads=1), state)


def test_auto_takes_tensorrt_with_a_valid_plan(world: World, bundle: Bundle, tmp_path: Path) -> None:
    build_engine(bundle, tmp_path)
    for backend in ("auto", "tensorrt"):
        choice = choose(bundle, tmp_path, backend)
        assert (choice.backend.info.name, choice.backend.info.precision) == ("tensorrt", "int8")
        choice.backend.close()


def test_auto_without_a_plan_says_what_to_run(world: World, bundle: Bundle, tmp_path: Path) -> None:
    choice = choose(bundle, tmp_path)
    assert choice.backend.info.name == "openvino"
    assert choice.reasons[0] == (
        f"TensorRT 10.3.0 found, no plan for this GPU (Orin): run `fieldlens convert engine --ensure {bundle.path}`"
    )
    with pytest.raises(BackendError, match="no plan for this GPU"):
        choose(bundle, tmp_path, "tensorrt")


def test_a_machine_without_tensorrt_is_not_told_about_it(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "tensorrt", None)
    assert not any("TensorRT" in reason for reason in choose(bundle, tmp_path).reasons)


@pytest.mark.parametrize("change", [{"gpu_name": "Thor"}, {"compute_capability": (9, 0)}, {"tensorrt": "10.7.0"}])
def test_a_plan_for_another_gpu_or_version_is_none(
    world: World, bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: dict[str, Any]
) -> None:
    build_engine(bundle, tmp_path)
    for name, value in change.items():
        if name == "tensorrt":
            use_tensorrt(monkeypatch, world, value)
        else:
            setattr(world, name, value)
    assert "no plan for this GPU" in choose(bundle, tmp_path).reasons[0]


def test_a_damaged_plan_leaves_the_next_accepted_one(world: World, bundle: Bundle, tmp_path: Path) -> None:
    store = build_engine(bundle, tmp_path)
    chosen = store.choice(Device("10.3.0", "Orin", "8.7"))
    assert chosen is not None
    path = store.folder / f"{chosen.plans['int8']}.plan"
    path.write_bytes(path.read_bytes()[:-5])
    choice = choose(bundle, tmp_path)
    assert (choice.backend.info.name, choice.backend.info.precision) == ("tensorrt", "fp16")
    assert "truncated" in choice.backend.info.notes[-1]
    choice.backend.close()
    with pytest.raises(BackendError, match="truncated"):
        choose(bundle, tmp_path, "tensorrt", "int8")


def test_a_precision_that_was_refused_says_why(world: World, bundle: Bundle, tmp_path: Path) -> None:
    world.latency_ms["int8"] = 1.49
    build_engine(bundle, tmp_path)
    with pytest.raises(BackendError, match=r"no int8 plan was accepted here \(int8 takes 1\.690 ms"):
        choose(bundle, tmp_path, "tensorrt", "int8")
    with pytest.raises(BackendError, match="does not run bf16"):
        choose(bundle, tmp_path, "tensorrt", "bf16")


def test_a_new_driver_is_tested_before_it_is_trusted(world: World, bundle: Bundle, tmp_path: Path) -> None:
    build_engine(bundle, tmp_path)
    world.driver = 12080
    choice = choose(bundle, tmp_path)
    assert "the driver changed since the plan was accepted (CUDA 12.6 → CUDA 12.8)" in choice.backend.info.notes[-1]
    choice.backend.close()
    world.logit_error["int8"] = 3.0
    refused = choose(bundle, tmp_path)
    assert refused.backend.info.name == "openvino"
    assert "fails its self-test since the driver changed" in refused.reasons[0]


def test_an_open_folder_is_not_trusted(world: World, bundle: Bundle, tmp_path: Path) -> None:
    build_engine(bundle, tmp_path).folder.chmod(0o777)
    assert "can be written by others" in choose(bundle, tmp_path).reasons[0]
