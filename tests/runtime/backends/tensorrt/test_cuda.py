"""The few CUDA calls, on a pretended GPU that keeps a ledger."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterator

import numpy as np
import pytest

import fieldlens.runtime.backends.tensorrt.cuda
from fieldlens.runtime.backends.tensorrt.cuda import Gpu, GraphRefused, open_gpu
from fieldlens.runtime.errors import BackendError
from tests.fakes.gpu import World
from tests.fakes.install import install


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    world = World()
    install(monkeypatch, world, "10.3.0")
    return world


@pytest.fixture
def gpu(world: World) -> Iterator[Gpu]:
    opened = open_gpu()
    yield opened
    opened.close()
    assert world.violations == []
    assert world.held() == []


def test_facts(world: World, gpu: Gpu, monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    assert (gpu.facts.name, gpu.facts.compute_capability, gpu.facts.integrated) == ("Orin", "8.7", False)
    assert gpu.facts.driver == "CUDA 12.6"
    assert gpu.free_bytes() == world.free_bytes


def test_the_kernel_modules_version_is_part_of_the_driver(
    world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: pytest.TempPathFactory
) -> None:
    path = tmp_path / "version"  # type: ignore[operator]
    path.write_text("NVRM version: NVIDIA UNIX Open Kernel Module for aarch64  540.4.0  Release Build\nGCC\n")
    monkeypatch.setattr(fieldlens.runtime.backends.tensorrt.cuda, "_DRIVER_FILE", path)
    gpu = open_gpu()
    assert gpu.facts.driver == "CUDA 12.6, module 540.4.0"
    gpu.close()


def test_memory_in_out_and_back(gpu: Gpu) -> None:
    stream = gpu.stream()
    source, target = (gpu.host_memory((4, 5), np.float32, mapped=False) for _ in range(2))
    device = gpu.device_memory(80)
    source.array[:] = np.arange(20).reshape(4, 5)
    gpu.driver.memcpy_htod_async(device.address, source.array, stream)
    gpu.driver.memcpy_dtoh_async(target.array, device.address, stream)
    assert not np.array_equal(target.array, source.array), "nothing runs before somebody waits"
    stream.synchronize()
    np.testing.assert_array_equal(target.array, source.array)
    for buffer in (source, target, device):
        buffer.close()
        buffer.close()


def test_only_mapped_memory_has_an_address_for_the_gpu(gpu: Gpu) -> None:
    plain, mapped = (gpu.host_memory((2,), np.uint8, mapped=flag) for flag in (False, True))
    assert plain.address == 0
    assert mapped.address != 0
    plain.close()
    mapped.close()


def test_a_full_gpu_is_an_error_of_ours(gpu: Gpu) -> None:
    with pytest.raises(BackendError, match="out of GPU memory while reserving"):
        gpu.device_memory(1 << 40)


def test_another_thread_may_not_use_it(gpu: Gpu) -> None:
    raised: list[BaseException] = []

    def use() -> None:
        try:
            gpu.stream()
        except BackendError as error:
            raised.append(error)

    thread = threading.Thread(target=use)
    thread.start()
    thread.join()
    assert "belongs to the thread" in str(raised[0])


def test_users_share_a_context_and_the_last_one_gives_it_back(world: World) -> None:
    gpu = open_gpu()
    gpu.share()
    gpu.close()
    assert world.held() == [f"context of thread {threading.get_ident()}"]
    gpu.close()
    assert world.held() == []
    with pytest.raises(BackendError, match="given back"):
        gpu.stream()


def test_a_graph_replays_what_was_enqueued(gpu: Gpu) -> None:
    stream, ran = gpu.stream(), [0]

    def enqueue() -> None:
        stream._queue.put(lambda: ran.__setitem__(0, ran[0] + 1))

    graph = gpu.capture(stream, enqueue)
    assert ran == [0]
    for _ in range(3):
        graph.launch()
    stream.synchronize()
    assert ran == [3]
    graph.close()
    graph.close()


@pytest.mark.parametrize("call", ["cuStreamBeginCapture_v2", "cuStreamEndCapture", "cuGraphInstantiateWithFlags"])
def test_a_refused_capture_leaves_the_stream_usable(world: World, gpu: Gpu, call: str) -> None:
    world.graph_fault = call
    stream, ran = gpu.stream(), []
    with pytest.raises(GraphRefused, match="CUDA_ERROR"):
        gpu.capture(stream, lambda: stream._queue.put(lambda: ran.append(1)))
    stream._queue.put(lambda: ran.append(2))
    stream.synchronize()
    assert ran == [2]


def test_a_failing_enqueue_ends_the_capture(gpu: Gpu) -> None:
    stream = gpu.stream()

    def enqueue() -> None:
        raise BackendError("TensorRT refused", "")

    with pytest.raises(GraphRefused, match="TensorRT refused"):
        gpu.capture(stream, enqueue)
    assert stream._queue.captured is None


def test_no_libcuda_is_a_refused_graph(gpu: Gpu, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> object:
        raise OSError("libcuda.so.1: cannot open shared object file")

    monkeypatch.setattr(fieldlens.runtime.backends.tensorrt.cuda, "load_libcuda", missing)
    with pytest.raises(GraphRefused, match=r"libcuda\.so\.1 cannot be opened"):
        gpu.capture(gpu.stream(), lambda: None)


def no_pycuda(monkeypatch: pytest.MonkeyPatch, world: World) -> None:
    monkeypatch.setitem(sys.modules, "pycuda.driver", None)


def no_gpu(monkeypatch: pytest.MonkeyPatch, world: World) -> None:
    world.gpus = 0


@pytest.mark.parametrize(("fault", "message"), [(no_pycuda, "pycuda cannot be used"), (no_gpu, "no CUDA-capable")])
def test_what_is_missing_is_named(
    world: World, monkeypatch: pytest.MonkeyPatch, fault: Callable[..., None], message: str
) -> None:
    fault(monkeypatch, world)
    with pytest.raises(BackendError, match=message) as raised:
        open_gpu()
    assert raised.value.hint


def test_kernels_are_loaded_lazily_unless_somebody_says_otherwise(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CUDA_MODULE_LOADING", raising=False)
    open_gpu().close()
    assert os.environ["CUDA_MODULE_LOADING"] == "LAZY"
    monkeypatch.setenv("CUDA_MODULE_LOADING", "EAGER")
    open_gpu().close()
    assert os.environ["CUDA_MODULE_LOADING"] == "EAGER"
