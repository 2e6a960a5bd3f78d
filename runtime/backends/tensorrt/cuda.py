"""The GPU, through about ten calls of CUDA: memory, one stream, events and graphs.

pycuda for all but graphs, which it does not have: those go through ``libcuda.so.1`` with the stream's own handle.
pycuda's contexts belong to threads, so the thread that opens the GPU is the only one that may use it (users of peers
learnt this from wrong answers: NVIDIA/TensorRT#475). The primary context is shared with TensorRT; no autoinit.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fieldlens.runtime import stopping
from fieldlens.runtime.errors import BackendError

_CAPTURE_THREAD_LOCAL = 1  # CU_STREAM_CAPTURE_MODE_THREAD_LOCAL: other threads' calls do not spoil the capture
_STREAM_NON_BLOCKING = 1  # CU_STREAM_NON_BLOCKING: never waits for the default stream, which nobody here uses
_DRIVER_FILE = Path("/proc/driver/nvidia/version")
_INSTALL = "pip install -r runtime/requirements-gpu.txt (on a Jetson requirements-jetson.txt), with nvcc on PATH"


class GraphRefused(BackendError):
    """The driver would not capture or instantiate a CUDA graph. Plain enqueue still works."""


@dataclass(frozen=True)
class GpuFacts:
    """What a plan and a figure depend on. ``integrated``: the GPU shares the CPU's memory (every Jetson)."""

    name: str
    compute_capability: str
    integrated: bool
    driver: str
    total_bytes: int


def load_libcuda() -> Any:
    """The driver's C library. Tests put a fake in its place."""
    return ctypes.CDLL("libcuda.so.1")


def open_gpu(index: int = 0) -> Gpu:
    """Take the GPU for this thread. Raises BackendError: no pycuda, no driver, no GPU."""
    os.environ.setdefault("CUDA_MODULE_LOADING", "LAZY")  # kernels are loaded when first used: less memory, from 11.7
    try:
        import pycuda.driver as driver
    except ImportError as error:  # pycuda is there but libcuda.so.1 is not: an ImportError, too
        stopping.raise_interrupted()
        raise BackendError(f"pycuda cannot be used ({error})", _INSTALL) from error
    try:
        driver.init()
        if driver.Device.count() <= index:
            raise BackendError("no NVIDIA GPU is visible", "check the driver, and CUDA_VISIBLE_DEVICES")
        return Gpu(driver, driver.Device(index))
    except driver.Error as error:
        raise BackendError(f"no NVIDIA GPU can be used: {error}", "check the driver with nvidia-smi") from error


class Gpu:
    """A GPU in the hands of one thread, from :func:`open_gpu` until every user has called :meth:`close`."""

    def __init__(self, driver: Any, device: Any) -> None:
        self.driver = driver
        self._thread = threading.get_ident()
        self._users = 1
        self._context = device.retain_primary_context()
        self._context.push()
        self.facts = _facts(driver, device)

    def share(self) -> Gpu:
        """One more user in this thread: two engines of one process share a context."""
        self.own()
        self._users += 1
        return self

    def own(self) -> None:
        """Raise BackendError in any other thread than the one that opened the GPU."""
        if threading.get_ident() != self._thread:
            raise BackendError(
                "the GPU belongs to the thread that loaded the model", "load, use and close it in one thread"
            )
        if self._context is None:
            raise BackendError("the GPU was given back", "load the model again")

    def free_bytes(self) -> int:
        """Free GPU memory now."""
        self.own()
        return int(self.driver.mem_get_info()[0])

    def stream(self) -> Any:
        """A stream of its own: graphs cannot be captured on the default one."""
        self.own()
        return self.driver.Stream(_STREAM_NON_BLOCKING)

    def event(self) -> Any:
        """A timing event."""
        self.own()
        return self.driver.Event()

    def device_memory(self, size: int) -> DeviceBuffer:
        """``size`` bytes on the GPU. Raises BackendError when it is full."""
        self.own()
        with self.errors(f"reserving {size} bytes on the GPU"):
            return DeviceBuffer(self.driver.mem_alloc(size))

    def host_memory(self, shape: tuple[int, ...], dtype: npt.DTypeLike, mapped: bool) -> HostBuffer:
        """A page-locked array; ``mapped`` gives the GPU an address for it (zero-copy). Raises BackendError."""
        self.own()
        flags = self.driver.host_alloc_flags.DEVICEMAP if mapped else 0
        with self.errors(f"page-locking memory for {shape}"):
            return HostBuffer(self.driver.pagelocked_empty(shape, np.dtype(dtype), mem_flags=flags), mapped)

    def capture(self, stream: Any, enqueue: Callable[[], None]) -> Graph:
        """What ``enqueue`` puts on ``stream``, as a graph. Raises GraphRefused, and leaves the stream usable."""
        self.own()
        return _capture(stream, enqueue)

    @contextlib.contextmanager
    def errors(self, doing: str) -> Iterator[None]:
        """pycuda's errors as BackendErrors that say what was being done."""
        try:
            yield
        except self.driver.MemoryError as error:
            raise BackendError(
                f"out of GPU memory while {doing}", "close other programs that use the GPU, or use smaller batches"
            ) from error
        except self.driver.Error as error:
            raise BackendError(f"CUDA failed while {doing}: {error}", "run `fieldlens selftest`") from error

    def close(self) -> None:
        """One user less; the last one gives the GPU back, and must have closed everything made here."""
        self.own()
        self._users -= 1
        if not self._users:
            self._context = None  # released when the driver's stack drops it, too
            self.driver.Context.pop()


def _facts(driver: Any, device: Any) -> GpuFacts:
    attribute = driver.device_attribute
    return GpuFacts(
        name=str(device.name()),
        compute_capability=".".join(str(part) for part in device.compute_capability()),
        integrated=bool(device.get_attribute(attribute.INTEGRATED)),
        driver=_driver_version(int(driver.get_driver_version())),
        total_bytes=int(device.total_memory()),
    )


def _driver_version(cuda: int) -> str:
    """The CUDA version that the driver supports, with the kernel module's own version where it can be read."""
    text = f"CUDA {cuda // 1000}.{cuda % 1000 // 10}"
    try:
        words = _DRIVER_FILE.read_text(errors="replace").splitlines()[0].split()
    except (OSError, IndexError):
        return text
    versions = [word for word in words if word[0].isdigit() and word.count(".") >= 1]
    return f"{text}, module {versions[0]}" if versions else text


class DeviceBuffer:
    """Memory on the GPU, at ``address``."""

    def __init__(self, allocation: Any) -> None:
        self._allocation = allocation
        self.address = int(allocation)

    def close(self) -> None:
        """Free it. A second call does nothing."""
        if self._allocation is not None:
            self._allocation.free()
            self._allocation = None


class HostBuffer:
    """Page-locked memory as ``array``. ``address``: where the GPU sees it, 0 if it is not mapped."""

    def __init__(self, array: npt.NDArray[Any], mapped: bool) -> None:
        self.array = array
        allocation: Any = array.base  # pycuda's own object, which frees the memory
        self._allocation: Any = allocation
        self.address = int(allocation.get_device_pointer()) if mapped else 0

    def close(self) -> None:
        """Free it: no view of ``array`` may be used after this. A second call does nothing."""
        if self._allocation is not None:
            self._allocation.free()
            self._allocation = None
            self.array = np.empty(0, self.array.dtype)


class Graph:
    """An instantiated CUDA graph: all that a run enqueues, launched with one call."""

    def __init__(self, library: Any, executable: ctypes.c_void_p, stream: Any) -> None:
        self._library = library
        self._executable: ctypes.c_void_p | None = executable
        self._stream_handle = ctypes.c_void_p(stream.handle)

    def launch(self) -> None:
        """Put the graph on the stream it was captured from. Raises BackendError."""
        code = self._library.cuGraphLaunch(self._executable, self._stream_handle)
        if code:
            raise BackendError(
                f"the CUDA graph could not be launched ({_name(self._library, code)})", "load the model again"
            )

    def close(self) -> None:
        """Destroy it. A second call does nothing."""
        if self._executable is not None:
            self._library.cuGraphExecDestroy(self._executable)
            self._executable = None


def _capture(stream: Any, enqueue: Callable[[], None]) -> Graph:
    try:
        library = load_libcuda()
    except OSError as error:
        raise GraphRefused(f"libcuda.so.1 cannot be opened ({error})", "plain enqueue is used") from error
    handle, graph, executable = ctypes.c_void_p(stream.handle), ctypes.c_void_p(), ctypes.c_void_p()
    _check(library, "cuStreamBeginCapture", library.cuStreamBeginCapture_v2(handle, _CAPTURE_THREAD_LOCAL))
    failed = ""  # not the exception: kept here, it would keep this frame, and with it the stream, alive
    try:
        enqueue()
    except BackendError as error:
        failed = error.message
    finally:  # whatever happened, the stream must leave capture mode
        code = library.cuStreamEndCapture(handle, ctypes.byref(graph))
    try:
        if failed:
            raise GraphRefused(failed, "plain enqueue is used")
        _check(library, "cuStreamEndCapture", code)
        flags = ctypes.c_ulonglong(0)
        code = library.cuGraphInstantiateWithFlags(ctypes.byref(executable), graph, flags)
        _check(library, "cuGraphInstantiate", code)
    finally:
        if graph.value:
            library.cuGraphDestroy(graph)
    return Graph(library, executable, stream)


def _check(library: Any, call: str, code: int) -> None:
    if code:
        raise GraphRefused(f"{call} answered {_name(library, code)}", "plain enqueue is used")


def _name(library: Any, code: int) -> str:
    text = ctypes.c_char_p()
    if library.cuGetErrorName(ctypes.c_int(code), ctypes.byref(text)) or not text.value:
        return f"error {code}"
    return text.value.decode(errors="replace")
