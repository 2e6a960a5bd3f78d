"""A fake ``pycuda.driver`` with the recorded surface of 2026.1, on a pretended GPU."""

from __future__ import annotations

import re
import threading
from functools import partial
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt

from tests.fakes.gpu import FakeStream, World
from tests.fakes.surface import create, is_enum, make_class, make_enum, surface

VERSION = "2026.1"


def make_driver(world: World) -> ModuleType:
    """The module ``pycuda.driver``."""
    recorded = surface("pycuda-api", VERSION)
    driver: Any = ModuleType("pycuda.driver")
    errors = {name: type(name, (Exception,), {}) for name in ("Error",)}
    for name in ("LogicError", "MemoryError", "RuntimeError", "LaunchError"):
        errors[name] = type(name, (errors["Error"],), {})
    known: dict[str, Any] = {}
    behaviours = _behaviours(world, errors, known)
    for name, members in recorded["classes"].items():
        if name in errors:
            known[name] = errors[name]
        elif is_enum(members):
            known[name] = _numbers(name, members) if name.endswith("_flags") else make_enum(name, members)
        else:
            known[name] = _open(name, members, behaviours.get(name))
    for name, value in known.items():
        setattr(driver, name, value)
    functions = _functions(world, known)
    for name, signatures in recorded["functions"].items():
        setattr(driver, name, _function(name, signatures, functions.get(name)))
    return driver


def _open(name: str, members: dict[str, Any], behaviour: type | None) -> type:
    """pycuda is bound with Boost, whose signatures name no types worth checking: only their count is checked."""
    made = make_class(name, {key: "property" for key in members if key != "__init__"}, behaviour, {})
    for member, value in vars(behaviour).items() if behaviour else ():
        if callable(value) or isinstance(value, staticmethod | property):
            assert member in members or member.startswith("_"), f"pycuda has no {name}.{member}"
            recorded = members.get(member)
            plain = callable(value) and not isinstance(value, staticmethod)
            checked = plain and isinstance(recorded, list) and recorded != ["?"]
            setattr(made, member, _counted(value, recorded or []) if checked else value)
    return made


def _counted(function: Any, signatures: list[str]) -> Any:
    least, most = _counts(signatures)

    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        if not least <= len(args) + len(kwargs) + 1 <= most:
            raise TypeError(f"Python argument types did not match C++ signature: {signatures}")
        return function(self, *args, **kwargs)

    return call


def _counts(signatures: list[str]) -> tuple[int, int]:
    """Fewest and most arguments; the optional ones stand in square brackets."""
    needed = [len(re.findall(r"\(\w+\)", text.partition("[")[0])) for text in signatures]
    possible = [len(re.findall(r"\(\w+\)", text)) for text in signatures]
    return min(needed), max(possible)


def _numbers(name: str, members: dict[str, Any]) -> type:
    return type(name, (), {key: value for key, value in members.items() if isinstance(value, int)})


def _function(name: str, signatures: list[str], own: Any) -> Any:
    def call(*args: Any, **kwargs: Any) -> Any:
        if own is None:
            raise NotImplementedError(f"the fake pycuda.driver.{name} does nothing yet")
        if signatures != ["?"]:
            least, most = _counts(signatures)
            if not least <= len(args) + len(kwargs) <= max(most, least):
                raise TypeError(f"Python argument types in pycuda.driver.{name} did not match: {signatures}")
        return own(*args, **kwargs)

    return call


def _behaviours(world: World, errors: dict[str, Any], known: dict[str, Any]) -> dict[str, type]:
    return {
        "Device": _device(world, errors, known),
        "Context": _context(world),
        "Stream": _stream(world),
        "Event": _event(world),
        "DeviceAllocation": _allocation(world),
        "PagelockedHostAllocation": _pagelocked(world),
    }


def _device(world: World, errors: dict[str, Any], known: dict[str, Any]) -> type:
    class Device:
        def __init__(self, index: int) -> None:
            if index >= world.gpus:
                raise errors["LogicError"]("cuDeviceGet failed: invalid device ordinal")

        @staticmethod
        def count() -> int:
            return world.gpus

        def name(self) -> str:
            return world.gpu_name

        def compute_capability(self) -> tuple[int, int]:
            return world.compute_capability

        def get_attribute(self, attribute: Any) -> int:
            assert attribute._name == "INTEGRATED"
            return int(world.integrated)

        def total_memory(self) -> int:
            return world.total_bytes

        def retain_primary_context(self) -> Any:
            return create(known["Context"])

    return Device


def _context(world: World) -> type:
    class Context:
        def push(self) -> None:
            world.stacks.setdefault(threading.get_ident(), []).append(self)

        @staticmethod
        def pop() -> None:
            stack = world.stacks.get(threading.get_ident(), [])
            if not stack:
                world.violations.append("pop from an empty stack of contexts")
            elif len(stack) == 1 and world.live:
                world.violations.append(f"the context went while {sorted(set(world.live.values()))} were held")
            if stack:
                stack.pop()

    return Context


def _stream(world: World) -> type:
    class Stream:
        def __init__(self, flags: int = 0) -> None:
            world.need_context("making a stream")
            self._handle = world.hold("stream")
            self._queue = FakeStream(world)
            world.streams[self._handle] = self._queue

        @property
        def handle(self) -> int:
            return self._handle

        def synchronize(self) -> None:
            self._queue.drain()

        def __del__(self) -> None:
            if "_handle" in self.__dict__:  # else its construction failed
                world.drop(self._handle)
                world.streams.pop(self._handle, None)

    return Stream


def _event(world: World) -> type:
    class Event:
        def __init__(self, flags: int = 0) -> None:
            world.need_context("making an event")
            self._handle = world.hold("event")
            self._stream: Any = None
            self._at_ms = -1.0

        def record(self, stream: Any = None) -> Any:
            def stamp() -> None:
                self._at_ms = world.clock_ms

            self._stream = stream
            stream._queue.put(stamp)
            return self

        def synchronize(self) -> Any:
            self._stream._queue.drain()
            return self

        def time_till(self, other: Any) -> float:
            assert min(self._at_ms, other._at_ms) >= 0, "an event that was not waited for has no time"
            return float(other._at_ms - self._at_ms)

        def __del__(self) -> None:
            if "_handle" in self.__dict__:
                world.drop(self._handle)

    return Event


def _allocation(world: World) -> type:
    class DeviceAllocation:
        _address: int

        def free(self) -> None:
            world.need_context("freeing GPU memory")
            world.drop(self._address)
            self._freed = True

        def __int__(self) -> int:
            return self._address

        def __del__(self) -> None:
            if not self.__dict__.get("_freed"):
                world.drop(self._address)

    return DeviceAllocation


def _pagelocked(world: World) -> type:
    class PagelockedHostAllocation:
        _address: int
        _flags: int
        _array: npt.NDArray[Any]

        @property
        def __array_interface__(self) -> dict[str, Any]:
            return dict(self._array.__array_interface__)

        def get_device_pointer(self) -> int:
            if not self._flags & 2:
                raise ValueError("cuMemHostGetDevicePointer failed: invalid argument")
            return self._address

        def free(self) -> None:
            world.need_context("freeing page-locked memory")
            world.drop(self._address)
            self._freed = True

        def __del__(self) -> None:
            if not self.__dict__.get("_freed"):
                world.drop(self._address)

    return PagelockedHostAllocation


def _functions(world: World, known: dict[str, Any]) -> dict[str, Any]:  # noqa: C901  # one closure per call
    errors: Any = known["LogicError"]

    def init(flags: int = 0) -> None:
        if not world.gpus:
            raise errors("cuInit failed: no CUDA-capable device is detected")

    def mem_alloc(size: int) -> Any:
        world.need_context("mem_alloc")
        if size > world.free_bytes:
            raise known["MemoryError"]("cuMemAlloc failed: out of memory")
        address = world.hold(f"{size} bytes of GPU memory", size)
        world.memory[address] = np.full(size, 0xA5, np.uint8)  # never zeroed by luck
        return create(known["DeviceAllocation"], address=address)

    def pagelocked_empty(shape: Any, dtype: Any, order: str = "C", mem_flags: int = 0) -> npt.NDArray[Any]:
        world.need_context("pagelocked_empty")
        array = np.empty(shape, dtype, order)  # type: ignore[call-overload]
        address = world.hold(f"{array.nbytes} bytes of page-locked memory", array.nbytes)
        if mem_flags & known["host_alloc_flags"].DEVICEMAP:
            world.memory[address] = array.reshape(-1).view(np.uint8)
        base = create(known["PagelockedHostAllocation"], address=address, array=array, flags=mem_flags)
        return np.asarray(base)

    def copy(stream: Any, target: Any, source: Any) -> None:
        target[:] = source
        world.clock_ms += world.copy_ms

    def check_pinned(array: npt.NDArray[Any], stream: Any) -> None:
        if not isinstance(array.base, known["PagelockedHostAllocation"]) and stream._queue.captured is not None:
            raise errors("cuMemcpyAsync failed: operation not permitted when stream is capturing")

    def memcpy_htod_async(dest: Any, src: npt.NDArray[Any], stream: Any = None) -> None:
        check_pinned(src, stream)
        flat = src.reshape(-1).view(np.uint8)
        stream._queue.put(partial(copy, stream, world.view(int(dest), flat.size), flat))

    def memcpy_dtoh_async(dest: npt.NDArray[Any], src: Any, stream: Any = None) -> None:
        check_pinned(dest, stream)
        flat = dest.reshape(-1).view(np.uint8)
        stream._queue.put(partial(copy, stream, flat, world.view(int(src), flat.size)))

    return {
        "init": init,
        "get_driver_version": lambda: world.driver,
        "mem_get_info": lambda: (world.free_bytes, world.total_bytes),
        "mem_alloc": mem_alloc,
        "pagelocked_empty": pagelocked_empty,
        "memcpy_htod_async": memcpy_htod_async,
        "memcpy_dtoh_async": memcpy_dtoh_async,
    }
