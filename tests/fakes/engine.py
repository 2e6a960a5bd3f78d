"""Plans, engines and contexts of the fake TensorRT."""

from __future__ import annotations

import json
import zlib
from typing import Any

import numpy as np
import numpy.typing as npt

from tests.fakes import onnx_rules
from tests.fakes.gpu import World
from tests.fakes.surface import create

_MAGIC = b"FAKEPLAN"
_KINDS = {1: "FLOAT", 2: "UINT8", 10: "HALF"}
_NUMPY = {"FLOAT": np.float32, "UINT8": np.uint8, "HALF": np.float16}


def pack(header: dict[str, Any], model: bytes) -> bytes:
    """A plan's bytes."""
    text = json.dumps(header).encode()
    body = len(text).to_bytes(8, "little") + text + model
    return _MAGIC + zlib.crc32(body).to_bytes(4, "little") + body


def unpack(plan: bytes) -> tuple[dict[str, Any], bytes]:
    """Header and model. Raises ValueError for what was cut or changed."""
    if plan[:8] != _MAGIC:
        raise ValueError("magic tag does not match")
    body = plan[12:]
    if zlib.crc32(body).to_bytes(4, "little") != plan[8:12]:
        raise ValueError("the plan is corrupt")
    size = int.from_bytes(body[:8], "little")
    header: dict[str, Any] = json.loads(body[8 : 8 + size])
    return header, body[8 + size :]


def engine_behaviours(world: World, trt: Any, known: dict[str, Any]) -> dict[str, type]:  # noqa: C901  # two classes
    """What ICudaEngine and IExecutionContext do."""

    class ICudaEngine:
        _header: dict[str, Any]
        _tensors: list[tuple[str, bool, int, tuple[int, ...]]]
        _model: bytes
        _handle: int
        _in_use: dict[int, int]

        @property
        def num_io_tensors(self) -> int:
            return len(self._tensors)

        @property
        def num_optimization_profiles(self) -> int:
            return len(self._header["profiles"])

        def get_tensor_name(self, index: int) -> str:
            return self._tensors[index][0]

        def get_tensor_mode(self, name: str) -> Any:
            return known["TensorIOMode"].INPUT if self._find(name)[1] else known["TensorIOMode"].OUTPUT

        def get_tensor_dtype(self, name: str) -> Any:
            return getattr(known["DataType"], _KINDS[self._find(name)[2]])

        def get_tensor_shape(self, name: str) -> Any:
            return known["Dims"](list(self._find(name)[3]))

        def get_tensor_profile_shape(self, name: str, profile_index: int) -> Any:
            return [known["Dims"](list(shape)) for shape in self._header["profiles"][profile_index][name]]

        def create_execution_context(self, strategy: Any = None) -> Any:
            world.need_context("making an execution context")
            return create(
                known["IExecutionContext"], engine=self, profile=-1, shape=None, addresses={},
                handle=world.hold("execution context"), warm=False,
            )  # fmt: skip

        def create_engine_inspector(self) -> Any:
            return create(known["EngineInspector"], engine=self)

        def _find(self, name: str) -> tuple[str, bool, int, tuple[int, ...]]:
            return next(tensor for tensor in self._tensors if tensor[0] == name)

        def __del__(self) -> None:
            if "_handle" in self.__dict__:  # else it was never really made
                world.need_context("destroying an engine")
                world.drop(self._handle)

    class IExecutionContext:
        _engine: Any
        _addresses: dict[str, int]
        _handle: int
        _warm: bool
        _shape: tuple[int, ...] | None

        def set_optimization_profile_async(self, profile_index: int, stream_handle: int) -> bool:
            if not 0 <= profile_index < len(self._engine._header["profiles"]):
                world.crash(f"profile {profile_index} does not exist")
            in_use = self._engine._in_use
            taken = in_use.get(profile_index)
            if trt.__version__.startswith("8.") and taken not in (None, self._handle):
                return False  # before 10 a profile serves one context at a time
            in_use[profile_index] = self._handle
            self._profile = profile_index
            return True

        def set_input_shape(self, name: str, shape: Any) -> bool:
            low, _, high = self._engine._header["profiles"][self._profile][name]
            self._shape = tuple(shape)
            return all(a <= b <= c for a, b, c in zip(low, self._shape, high, strict=True))

        def set_tensor_address(self, name: str, memory: int) -> bool:
            if name != world.refused_address:
                self._addresses[name] = int(memory)
            return (
                bool(memory)
                and name != world.refused_address
                and name in [tensor[0] for tensor in self._engine._tensors]
            )

        def execute_async_v3(self, stream_handle: int) -> bool:
            world.need_context("execute_async_v3")
            missing = [tensor[0] for tensor in self._engine._tensors if not self._addresses.get(tensor[0])]
            if missing:
                world.crash(f"enqueue without the addresses of {', '.join(missing)}")
            if self._shape is None:
                return False
            queue = world.streams[int(stream_handle)]
            if queue.captured is not None and not self._warm:
                queue.spoilt = True  # TensorRT allocates in its first run
            self._warm = True
            world.enqueues += queue.captured is None
            queue.put(_run(world, self._engine, self._shape, dict(self._addresses)))
            return True

        def __del__(self) -> None:
            if "_handle" not in self.__dict__:
                return
            world.need_context("destroying an execution context")
            world.drop(self._handle)
            for profile, user in list(self._engine._in_use.items()):
                if user == self._handle:
                    del self._engine._in_use[profile]

    return {"ICudaEngine": ICudaEngine, "IExecutionContext": IExecutionContext}


def _run(world: World, engine: Any, shape: tuple[int, ...], addresses: dict[str, int]) -> Any:
    """One run of the network on what then lies in memory."""
    precision = engine._header["precision"]

    def run() -> None:
        image = world.view(addresses["image"], int(np.prod(shape))).reshape(shape)
        session = onnx_rules.session(engine._model)
        names = [tensor[0] for tensor in engine._tensors if not tensor[1]]
        outputs = session.run(names, {"image": image})
        for name, output in zip(names, outputs, strict=True):
            answer: npt.NDArray[Any] = np.ascontiguousarray(output)
            if name == "logits":
                answer = answer + np.float32(world.logit_error.get(precision, 0.0))
            world.view(addresses[name], answer.nbytes)[:] = answer.reshape(-1).view(np.uint8)
        world.clock_ms += world.latency_ms[precision] * (0.4 + 0.6 * shape[0])
        if "page-locked" in world.live[addresses["image"]]:
            world.clock_ms += world.zero_copy_ms

    return run
