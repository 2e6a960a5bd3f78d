"""A fake ``tensorrt`` with the recorded surface of one version. Engines run their ONNX graph through ONNX Runtime."""

from __future__ import annotations

import json
import weakref
from types import ModuleType
from typing import Any

from tests.fakes import onnx_rules
from tests.fakes.engine import engine_behaviours, pack, unpack
from tests.fakes.gpu import World
from tests.fakes.surface import create, is_enum, make_class, make_enum, surface

VERSIONS = ("8.6.1", "10.0.1", "10.3.0", "10.7.0", "10.13.3.9", "10.16.1.11", "11.4.0.106")
_SEVERITIES = {"INTERNAL_ERROR": 0, "ERROR": 1, "WARNING": 2, "INFO": 3, "VERBOSE": 4}


def make_tensorrt(world: World, version: str) -> ModuleType:
    """The module ``tensorrt`` of ``version``."""
    recorded = surface("tensorrt-api", version)
    trt: Any = ModuleType("tensorrt")
    trt.__version__ = version
    known: dict[str, Any] = {"Severity": make_enum("Severity", {**_SEVERITIES, "name": "property"})}
    behaviours = {
        **_builder_behaviours(world, trt, known),
        **_runtime_behaviours(world, trt, known),
        **engine_behaviours(world, trt, known),
    }
    for name, members in recorded["classes"].items():
        if is_enum(members):
            known[name] = make_enum(name, members)
        else:
            known[name] = make_class(name, members, behaviours.get(name), known)
    for name in ("ILogger", "Logger"):
        known[name].Severity = known["Severity"]
        for severity in _SEVERITIES:
            setattr(known[name], severity, getattr(known["Severity"], severity))
    for name, value in known.items():
        if name in recorded["classes"]:
            setattr(trt, name, value)
    return trt


def log(logger: Any, severity: str, text: str) -> None:
    """What C++ does when it has something to say."""
    logger.log(getattr(type(logger).Severity, severity), text)


def _builder_behaviours(world: World, trt: Any, known: dict[str, Any]) -> dict[str, type]:  # noqa: C901  # seven classes
    major = int(trt.__version__.split(".")[0])

    class Builder:
        def _init(self, logger: Any) -> None:
            world.need_context("making a Builder")
            self._logger = logger

        def create_network(self, flags: int = 0) -> Any:
            names = known["NetworkDefinitionCreationFlag"]
            bits = {name for name in ("EXPLICIT_BATCH", "STRONGLY_TYPED") if _has(names, name, int(flags))}
            assert flags == 0 or bits, f"unknown network flags {flags:#b}"
            if major < 10 and "EXPLICIT_BATCH" not in bits:
                log(self._logger, "ERROR", "Network must be explicit batch for ONNX")
            return create(
                known["INetworkDefinition"],
                typed="STRONGLY_TYPED" in bits or major >= 11,
                bits=bits,
                model=b"",
                builder=weakref.ref(self),
            )

        def create_builder_config(self) -> Any:
            return create(known["IBuilderConfig"], flags={"TF32"}, profiles=[], cache=None, limits={}, sources=None)

        def create_optimization_profile(self) -> Any:
            return create(known["IOptimizationProfile"], shapes={})

        def build_serialized_network(self, network: Any, config: Any) -> Any:
            return _build(world, trt, known, self._logger, network, config)

    class IBuilderConfig:
        def set_flag(self, flag: Any) -> None:
            self._flags.add(flag._name)  # type: ignore[attr-defined]

        def clear_flag(self, flag: Any) -> None:
            self._flags.discard(flag._name)  # type: ignore[attr-defined]

        def set_memory_pool_limit(self, pool: Any, pool_size: int) -> None:
            assert 0 < pool_size <= world.total_bytes
            self._limits[pool._name] = pool_size  # type: ignore[attr-defined]

        def set_tactic_sources(self, tactic_sources: int) -> bool:
            self._sources = tactic_sources
            return True

        def add_optimization_profile(self, profile: Any) -> int:
            if not profile._shapes:
                return -1
            self._profiles.append(profile._shapes)  # type: ignore[attr-defined]
            return len(self._profiles) - 1  # type: ignore[attr-defined]

        def create_timing_cache(self, serialized_timing_cache: Any) -> Any:
            return create(known["ITimingCache"], content=bytes(serialized_timing_cache))

        def set_timing_cache(self, cache: Any, ignore_mismatch: bool) -> bool:
            if cache._content and cache._content != _timings(world, trt) and not ignore_mismatch:
                return False
            self._cache = cache
            return True

    class IOptimizationProfile:
        def set_shape(self, input: str, min: Any, opt: Any, max: Any) -> None:
            self._shapes[input] = tuple(tuple(int(size) for size in shape) for shape in (min, opt, max))  # type: ignore[attr-defined]

    class ITimingCache:
        def serialize(self) -> Any:
            return create(known["IHostMemory"], content=self._content)  # type: ignore[attr-defined]

    class IHostMemory:
        _content: bytes

        @property
        def nbytes(self) -> int:
            return len(self._content)

        def __bytes__(self) -> bytes:
            return self._content

    class OnnxParser:
        def _init(self, network: Any, logger: Any) -> None:
            self._network = network
            self._errors: list[onnx_rules.Complaint] = []

        def parse(self, model: Any, path: str | None = None) -> bool:
            if self._network._builder() is None:
                world.crash("a parser whose builder was freed")
            self._errors = onnx_rules.complaints(bytes(model), major)
            if major < 10 and "EXPLICIT_BATCH" not in self._network._bits:
                self._errors = [onnx_rules.Complaint(-1, "", "", "the network has an implicit batch dimension")]
            self._network._model = bytes(model)
            return not self._errors

        @property
        def num_errors(self) -> int:
            return len(self._errors)

        def get_error(self, index: int) -> Any:
            return create(known["ParserError"], complaint=self._errors[index])

    class ParserError:
        _complaint: onnx_rules.Complaint

        def node(self) -> int:
            return self._complaint.node

        def node_name(self) -> str:
            return self._complaint.name

        def node_operator(self) -> str:
            return self._complaint.operator

        def desc(self) -> str:
            return self._complaint.text

        def file(self) -> str:
            return "ModelImporter.cpp"

        def func(self) -> str:
            return "parseGraph"

        def line(self) -> int:
            return 726

    made = locals()
    names = ("Builder", "IBuilderConfig", "IOptimizationProfile", "ITimingCache", "IHostMemory", "OnnxParser")
    return {name: made[name] for name in (*names, "ParserError")}


def _has(names: Any, name: str, flags: int) -> bool:
    return hasattr(names, name) and bool(flags >> int(getattr(names, name)) & 1)


def _timings(world: World, trt: Any) -> bytes:
    return f"timings of {world.gpu_name} {world.compute_capability} {trt.__version__}".encode()


def _build(world: World, trt: Any, known: dict[str, Any], logger: Any, network: Any, config: Any) -> Any:
    """The plan, or None with the reason logged, as the real one."""
    flags, model = config._flags, network._model
    precision = _precision(flags, network)
    if fault := _build_fault(world, flags, network, config):
        log(logger, "ERROR", fault)
        return None
    if world.on_build is not None:
        world.on_build()
    monitor = config.progress_monitor if hasattr(config, "progress_monitor") else None
    if monitor is not None:
        monitor.phase_start("Building Engine", None, 2)
        for step in range(2):
            if not monitor.step_complete("Building Engine", step):
                log(logger, "ERROR", "Engine building cancelled by the progress monitor")
                return None
        monitor.phase_finish("Building Engine")
    world.builds.append(precision)
    config._cache._content = _timings(world, trt)
    detailed = config.profiling_verbosity is not None and config.profiling_verbosity._name == "DETAILED"
    header = {
        "version": trt.__version__, "compute_capability": list(world.compute_capability), "precision": precision,
        "profiles": config._profiles, "detailed": detailed, "sources": config._sources,
    }  # fmt: skip
    return create(known["IHostMemory"], content=pack(header, model))


def _precision(flags: set[str], network: Any) -> str:
    if onnx_rules.has_quantisation(network._model):
        return "int8"
    return "fp16" if "FP16" in flags or onnx_rules.has_half_weights(network._model) else "fp32"


def _build_fault(world: World, flags: set[str], network: Any, config: Any) -> str:
    """Why this network cannot be built with these flags."""
    quantised, half = onnx_rules.has_quantisation(network._model), onnx_rules.has_half_weights(network._model)
    if world.build_fault:
        return world.build_fault
    if network._typed and {"FP16", "INT8"} & flags:
        return "precision flags cannot be set for a strongly typed network"
    if network._typed and world.typed_build_fails and half:
        return "Could not find any implementation for node in a strongly typed network"
    if not network._typed and quantised and "INT8" not in flags:
        return "Q/DQ nodes need the INT8 builder flag"
    if not network._typed and half and "FP16" not in flags:
        return "FP16 tensors need the FP16 builder flag"
    if not config._profiles:
        return "Network has dynamic inputs, but no optimization profile has been defined"
    return ""


def _runtime_behaviours(world: World, trt: Any, known: dict[str, Any]) -> dict[str, type]:
    class Runtime:
        def _init(self, logger: Any) -> None:
            world.need_context("making a Runtime")
            self._logger = logger

        def deserialize_cuda_engine(self, serialized_engine: Any) -> Any:
            try:
                header, model = unpack(bytes(serialized_engine))
            except ValueError as error:
                log(self._logger, "ERROR", f"Serialization assertion failed: {error}")
                return None
            if header["version"] != trt.__version__:
                text = f"expecting library version {trt.__version__} got {header['version']}, please rebuild"
                log(self._logger, "ERROR", f"The engine plan file is not compatible with this version: {text}")
                return None
            if header["compute_capability"] != list(world.compute_capability):
                got = ".".join(map(str, header["compute_capability"]))
                log(self._logger, "ERROR", f"The engine plan file is of an incompatible device, compute {got}")
                return None
            return create(
                known["ICudaEngine"], header=header, model=model, tensors=onnx_rules.tensors(model),
                handle=world.hold("engine"), in_use={},
            )  # fmt: skip

    class ILogger:
        def log(self, severity: Any, msg: str) -> None:
            raise TypeError('Tried to call pure virtual function "ILogger::log"')

    class EngineInspector:
        def get_engine_information(self, format: Any) -> str:
            assert format._name == "JSON"
            return json.dumps(_information(world, trt, self._engine))  # type: ignore[attr-defined]

    return {"Runtime": Runtime, "ILogger": ILogger, "EngineInspector": EngineInspector, "Dims": _Dims}


class _Dims:
    """What the bindings hand out: a sequence of ints."""

    def _init(self, shape: Any = ()) -> None:
        self._shape = tuple(shape)

    def __len__(self) -> int:
        return len(self._shape)

    def __getitem__(self, index: Any) -> Any:
        return self._shape[index]


def _information(world: World, trt: Any, engine: Any) -> dict[str, Any]:
    """The inspector's JSON; 11 renamed its list of tensors."""
    precision = "fp32" if world.layers == "fp32" else engine._header["precision"]
    old = {"fp32": "Row major linear FP32", "fp16": "Channel major FP16 format where channel % 8 == 0"}
    old["int8"] = "Thirty-two wide channel vectorized row major Int8 format"
    new = {"fp32": "Float", "fp16": "Half", "int8": "Int8"}
    text = (old if int(trt.__version__.split(".")[0]) < 10 else new)[precision]
    names = onnx_rules.convolutions(engine._model)
    layers: list[Any] = [
        {"Name": name, "LayerType": "CaskConvolution", "Inputs": [{"Format/Datatype": text}]} for name in names
    ]
    if world.layers == "myelin":
        layers = [{"Name": "{ForeignNode[a...b]}", "LayerType": "Myelin"}]
    if world.layers == "names" or not engine._header["detailed"]:
        layers = names
    edge = [name for name, *_ in engine._tensors]
    if trt.__version__.startswith("11."):
        return {"Layers": layers, "I/O Tensors": [{"Name": name} for name in edge]}
    return {"Layers": layers, "Bindings": edge}
