"""One batch size of an engine, ready to run: its context, its memory, and its CUDA graph."""

from __future__ import annotations

import contextlib
import time
from typing import Any

import numpy as np
import numpy.typing as npt

from fieldlens.runtime.backends.base import Image
from fieldlens.runtime.backends.tensorrt.cuda import DeviceBuffer, Gpu, Graph, HostBuffer
from fieldlens.runtime.errors import BackendError

_WARM_UPS = 3
_TIMED_COPIES = 5


class Slot:
    """A context of its own, because changing one's shapes would spoil the graph that was captured from it.

    Copies: page-locked memory on both sides of the bus and transfers on the stream. Zero-copy: the GPU works in the
    page-locked memory itself. Either way the image is copied in once by the CPU, and the answers out.
    """

    def __init__(
        self, gpu: Gpu, engine: Any, stream: Any, profile: int, batch: int,
        shapes: dict[str, tuple[int, ...]], zero_copy: bool, use_graph: bool,
    ) -> None:  # fmt: skip
        self._gpu, self._stream = gpu, stream
        self._host: dict[str, HostBuffer] = {}
        self._device: dict[str, DeviceBuffer] = {}
        self._graph: Graph | None = None
        self._context: Any = None
        self._events: Any = None
        self.note = ""
        self.enqueue_ms = 0.0
        """CPU time that handing the last run to the GPU took."""
        self.copies_ms: dict[str, float] = {}
        """GPU time of the transfers each way, the median at load; empty with zero-copy, where there are none."""
        try:
            self._context = engine.create_execution_context()
            if self._context is None:
                raise BackendError("TensorRT could not make an execution context", "close other programs on the GPU")
            self._bind(profile, batch, shapes, zero_copy)
            self._events = (gpu.event(), gpu.event())
            self._answers = {
                name: np.zeros((batch, *shape), np.float32) for name, shape in shapes.items() if name != "image"
            }
            self._warm_up(use_graph)
        except BaseException:
            self.close()
            raise

    def run(self, image: Image) -> dict[str, npt.NDArray[np.float32]]:
        """Up to a batch of images → all outputs at the batch's full length, valid until the next run."""
        np.copyto(self._host["image"].array[: len(image)], image)
        start, end = self._events
        with self._gpu.errors("running the engine"):
            start.record(self._stream)
            began = time.perf_counter()
            if self._graph is not None:
                self._graph.launch()
            else:
                self._enqueue()
            self.enqueue_ms = (time.perf_counter() - began) * 1e3
            end.record(self._stream)
            end.synchronize()
        for name, answer in self._answers.items():  # our own memory: nobody is left holding freed page-locked memory
            np.copyto(answer, self._host[name].array)
        return self._answers

    @property
    def gpu_ms(self) -> float:
        """GPU time of the last run, transfers included."""
        start, end = self._events
        return float(start.time_till(end))

    def measure(self, runs: int) -> list[float]:
        """GPU times of ``runs`` runs on what lies in memory."""
        picture = np.array(self._host["image"].array)
        times = []
        for _ in range(runs):
            self.run(picture)
            times.append(self.gpu_ms)
        return times

    def _bind(self, profile: int, batch: int, shapes: dict[str, tuple[int, ...]], zero_copy: bool) -> None:
        """Profile, shape, and one fixed address per tensor."""
        context = self._context
        if not context.set_optimization_profile_async(profile, self._stream.handle):
            raise BackendError(f"TensorRT refused profile {profile}", "run `fieldlens convert engine` again")
        self._stream.synchronize()
        if not context.set_input_shape("image", (batch, *shapes["image"])):
            raise BackendError(f"TensorRT refused batch size {batch}", "run `fieldlens convert engine` again")
        for name, shape in shapes.items():
            dtype = np.dtype(np.uint8 if name == "image" else np.float32)
            whole = (batch, *shape)
            self._host[name] = host = self._gpu.host_memory(whole, dtype, mapped=zero_copy)
            host.array.fill(0)
            if zero_copy:
                address = host.address
            else:
                self._device[name] = self._gpu.device_memory(int(np.prod(whole)) * dtype.itemsize)
                address = self._device[name].address
            if not context.set_tensor_address(name, address):
                raise BackendError(f"TensorRT refused an address for {name!r}", "run `fieldlens convert engine` again")

    def _enqueue(self) -> None:
        """Transfer in, network, transfers out; with zero-copy the network alone."""
        self._copy_in()
        if not self._context.execute_async_v3(self._stream.handle):
            raise BackendError("TensorRT refused to run the engine", "run `fieldlens selftest`")
        self._copy_out()

    def _copy_in(self) -> None:
        if "image" in self._device:
            address, array = self._device["image"].address, self._host["image"].array
            self._gpu.driver.memcpy_htod_async(address, array, self._stream)

    def _copy_out(self) -> None:
        for name, buffer in self._device.items():
            if name != "image":
                self._gpu.driver.memcpy_dtoh_async(self._host[name].array, buffer.address, self._stream)

    def _time_copies(self) -> dict[str, float]:
        """Median GPU time of each direction by itself: inside a graph the parts cannot be told apart."""
        if not self._device:
            return {}
        start, end = self._events
        times: dict[str, list[float]] = {"host_to_device": [], "device_to_host": []}
        for _ in range(_TIMED_COPIES):
            for name, copy in (("host_to_device", self._copy_in), ("device_to_host", self._copy_out)):
                start.record(self._stream)
                copy()
                end.record(self._stream)
                end.synchronize()
                times[name].append(float(start.time_till(end)))
        return {name: float(np.median(values)) for name, values in times.items()}

    def _warm_up(self, use_graph: bool) -> None:
        """Ordinary runs first, to the end: TensorRT allocates lazily, and a capture must not see it."""
        with self._gpu.errors("the first run of the engine"):
            for _ in range(_WARM_UPS):
                self._enqueue()
            self._stream.synchronize()
            self.copies_ms = self._time_copies()
        if not use_graph:
            self.note = "CUDA graph: switched off"
            return
        try:
            with self._gpu.errors("capturing a CUDA graph"):
                self._graph = self._gpu.capture(self._stream, self._enqueue)
                self._graph.launch()
                self._stream.synchronize()
            self.note = "CUDA graph: on"
        except BackendError as error:
            if self._graph is not None:
                self._graph.close()
                self._graph = None
            self.note = f"CUDA graph: not used, plain enqueue instead ({error.message})"

    def close(self) -> None:
        """Graph, context, events, memory, in this order. A second call does nothing."""
        if self._context is not None:
            with contextlib.suppress(self._gpu.driver.Error):  # work may be under way when an error brought us here
                self._stream.synchronize()
        if self._graph is not None:
            self._graph.close()
        self._graph = self._context = self._events = None
        for host in self._host.values():
            host.close()
        for device in self._device.values():
            device.close()
        self._host, self._device = {}, {}
        self._stream = None  # the backend's, and to be gone before the context
