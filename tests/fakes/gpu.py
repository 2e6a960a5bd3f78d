"""A pretended GPU: a clock, an address space, streams that run only when waited for, and a ledger of what is held."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt

Bytes = npt.NDArray[np.uint8]
Operation = Callable[[], None]


class Crash(BaseException):
    """Where the real library dies with a segmentation fault. No ``except Exception`` gets past it."""


@dataclass
class World:
    """What a test sets, and what it can look up afterwards."""

    gpu_name: str = "Orin"
    compute_capability: tuple[int, int] = (8, 7)
    integrated: bool = False
    driver: int = 12060
    gpus: int = 1
    free_bytes: int = 4 << 30
    total_bytes: int = 8 << 30
    latency_ms: dict[str, float] = field(default_factory=lambda: {"fp32": 4.0, "fp16": 1.5, "int8": 1.0})
    copy_ms: float = 0.05
    zero_copy_ms: float = 0.02
    graph_fault: str = ""
    """Name of the libcuda call that fails."""
    typed_build_fails: bool = False
    build_fault: str = ""
    """A line that TensorRT logs before it gives up a build."""
    logit_error: dict[str, float] = field(default_factory=dict)
    """Precision → what is added to every logit."""
    layers: str = "true"
    """What the inspector tells: ``true``, ``fp32`` (whatever was built), ``names`` or ``myelin``."""
    refused_address: str = ""
    """Tensor whose address TensorRT refuses."""
    on_build: Callable[[], None] | None = None

    clock_ms: float = 0.0
    builds: list[str] = field(default_factory=list)
    launches: int = 0
    enqueues: int = 0
    violations: list[str] = field(default_factory=list)
    live: dict[int, str] = field(default_factory=dict)
    stacks: dict[int, list[Any]] = field(default_factory=dict)
    memory: dict[int, Bytes] = field(default_factory=dict)
    streams: dict[int, Any] = field(default_factory=dict)
    _next: int = 0x1000

    def hold(self, what: str, size: int = 0) -> int:
        """A new handle or address for something that must be given back."""
        self._next += 0x1000 + (size + 0xFFF) // 0x1000 * 0x1000
        self.live[self._next] = what
        return self._next

    def drop(self, handle: int) -> None:
        """Given back; twice is a violation, and so is doing it without a context."""
        if self.live.pop(handle, None) is None:
            self.violations.append(f"{handle:#x} was given back twice")
        self.memory.pop(handle, None)

    def need_context(self, doing: str) -> None:
        """Note a violation where this thread has no context."""
        if not self.stacks.get(threading.get_ident()):
            self.violations.append(f"{doing} without a current context in this thread")

    def crash(self, doing: str) -> NoReturn:
        """A segmentation fault: ends the test, and is noted for a ledger in case something caught it."""
        self.violations.append(f"segmentation fault: {doing}")
        raise Crash(doing)

    def held(self) -> list[str]:
        """What nobody gave back."""
        if self.live:
            gc.collect()
        contexts = [f"context of thread {thread}" for thread, stack in self.stacks.items() for _ in stack]
        return sorted(self.live.values()) + contexts

    def view(self, address: int, size: int) -> Bytes:
        """``size`` bytes at ``address``. Raises MemoryError for an address that is not ours, as a GPU faults."""
        for start, content in self.memory.items():
            if start <= address and address + size <= start + len(content):
                return content[address - start : address - start + size]
        raise MemoryError(f"illegal memory access at {address:#x}")


class FakeStream:
    """Work waits here until somebody waits for it; while capturing, it goes into the graph instead."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.waiting: list[Operation] = []
        self.captured: list[Operation] | None = None
        self.spoilt = False

    def put(self, operation: Operation) -> None:
        (self.waiting if self.captured is None else self.captured).append(operation)

    def drain(self) -> None:
        if self.captured is not None:
            self.spoilt = True
            return
        while self.waiting:
            self.waiting.pop(0)()
