"""The graph calls of ``libcuda.so.1`` on a pretended GPU."""

from __future__ import annotations

import ctypes
from typing import Any

from tests.fakes.gpu import World

INVALID_VALUE, INVALIDATED = 1, 901
_NAMES = {INVALID_VALUE: b"CUDA_ERROR_INVALID_VALUE", INVALIDATED: b"CUDA_ERROR_STREAM_CAPTURE_INVALIDATED"}


class FakeLibcuda:
    """What ``ctypes.CDLL("libcuda.so.1")`` would give. ``world.graph_fault`` names the call that fails."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._graphs: dict[int, Any] = {}

    def cuStreamBeginCapture_v2(self, stream: ctypes.c_void_p, mode: int) -> int:
        assert (bool(stream.value), mode) == (True, 1), "the default stream cannot be captured"
        if self._world.graph_fault == "cuStreamBeginCapture_v2":
            return INVALID_VALUE
        queue = self._world.streams[stream.value or 0]
        if queue.waiting:
            self._world.violations.append("a capture began while work was waiting")
        queue.captured = []
        return 0

    def cuStreamEndCapture(self, stream: ctypes.c_void_p, graph: Any) -> int:
        assert stream.value
        queue = self._world.streams[stream.value]
        operations, queue.captured = queue.captured, None
        if self._world.graph_fault == "cuStreamEndCapture" or queue.spoilt:
            queue.spoilt = False
            return INVALIDATED
        handle = self._world.hold("graph")
        self._graphs[handle] = operations
        graph._obj.value = handle
        return 0

    def cuGraphInstantiateWithFlags(self, executable: Any, graph: ctypes.c_void_p, flags: Any) -> int:
        if self._world.graph_fault == "cuGraphInstantiateWithFlags":
            return INVALID_VALUE
        handle = self._world.hold("instantiated graph")
        self._graphs[handle] = self._graphs[graph.value or 0]
        executable._obj.value = handle
        return 0

    def cuGraphLaunch(self, executable: ctypes.c_void_p, stream: ctypes.c_void_p) -> int:
        if self._world.graph_fault == "cuGraphLaunch":
            return INVALID_VALUE
        assert stream.value
        for operation in self._graphs[executable.value or 0]:
            self._world.streams[stream.value].put(operation)
        self._world.launches += 1
        return 0

    def cuGraphDestroy(self, graph: ctypes.c_void_p) -> int:
        self._world.drop(graph.value or 0)
        return 0

    def cuGraphExecDestroy(self, executable: ctypes.c_void_p) -> int:
        self._world.drop(executable.value or 0)
        del self._graphs[executable.value or 0]
        return 0

    def cuGetErrorName(self, code: ctypes.c_int, text: Any) -> int:
        text._obj.value = _NAMES[code.value]
        return 0
