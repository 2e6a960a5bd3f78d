"""Every difference between TensorRT 8.6, 10 and 11 that this kit meets, and the calls that build and load an engine.

The integers behind TensorRT's enums moved between versions, so names are used, and asked for with ``hasattr`` or
``getattr`` where a version may lack them. FP16 and INT8 flags and calibrators left in 11; the kit's precisions live in
the graph (design, decision 1), and the flags are only for 8.6 and for a 10.x whose typed build fails.
"""

from __future__ import annotations

import json
import threading
from collections import deque
from dataclasses import asdict, dataclass
from typing import Any

from fieldlens.runtime import stopping
from fieldlens.runtime.backends.tensorrt.callbacks import (
    BuildWatcher,
    held_back_interrupt,
    keeping_logger,
    parser_error,
    progress_monitor,
)
from fieldlens.runtime.bundle.precision import file_for, words_on
from fieldlens.runtime.errors import BackendError

CODE_VERSION = 1
"""Part of a plan's identity: raise it when the builder calls here change what they build."""

OUTPUTS = ("logits", "cam", "features")
_INPUT = "image"
_KEPT_LINES = 400


@dataclass(frozen=True)
class Recipe:
    """Which model file an engine is built from (``model.<file>.onnx``), and how."""

    precision: str
    file: str
    strongly_typed: bool
    flags: tuple[str, ...] = ()

    @property
    def typing(self) -> str:
        """For people."""
        return "strongly typed" if self.strongly_typed else "flags " + ("+".join(self.flags) or "none")


_FLAGS: dict[str, tuple[str, ...]] = {"fp32": (), "fp16": ("FP16",), "int8": ("INT8", "FP16")}
_BY_FLAGS = {word: Recipe(word, file_for(word, "tensorrt8"), False, flags) for word, flags in _FLAGS.items()}
_BY_GRAPH = {word: Recipe(word, file_for(word, "tensorrt10"), True) for word in _FLAGS}
WORDS = words_on("tensorrt10")
"""The precisions that TensorRT runs."""


@dataclass(frozen=True)
class BuildOptions:
    """What a person may choose. ``workspace_mb`` 0: half of what is free. All of it is part of a plan's identity."""

    batches: tuple[int, ...] = (1,)
    optimization_level: int = 3
    workspace_mb: int = 0
    tactic_sources: tuple[str, ...] = ()

    def text(self) -> str:
        """One line that is equal where the options are."""
        return json.dumps(asdict(self), sort_keys=True)


class NotInstalled(BackendError):
    """No TensorRT on this machine, as on most: no reason to tell anybody who did not ask for it."""


@dataclass(frozen=True)
class Built:
    """A plan, and the timing cache as it is after the build (empty where the version gave none)."""

    plan: bytes
    timing_cache: bytes
    notes: tuple[str, ...]


class TensorRt:
    """The TensorRT installed here. One per process: the library keeps the first logger it is given for all its life."""

    def __init__(self, trt: Any) -> None:
        self.trt = trt
        self.version = str(trt.__version__)
        self.major = int(self.version.split(".")[0])
        self._lines: deque[str] = deque(maxlen=_KEPT_LINES)
        self.logger = keeping_logger(trt, self._lines)

    def recipes(self, precision: str) -> tuple[Recipe, ...]:
        """How to build ``precision`` here, the better way first (the table in design.md, contract 2)."""
        if self.major < 10:
            return (_BY_FLAGS[precision],)
        if self.major >= 11:
            return (_BY_GRAPH[precision],)
        return (_BY_FLAGS["fp32"],) if precision == "fp32" else (_BY_GRAPH[precision], _BY_FLAGS[precision])

    def build(
        self, model: bytes, recipe: Recipe, options: BuildOptions, side: int,
        workspace_bytes: int, timing_cache: bytes, progress: BuildWatcher,
    ) -> Built:  # fmt: skip
        """Build an engine for images of ``side`` pixels. Raises BackendError with all that TensorRT said."""
        self._lines.clear()
        trt = self.trt
        builder = trt.Builder(self.logger)
        network = builder.create_network(self._network_flags(recipe))
        parser = trt.OnnxParser(network, self.logger)
        if not parser.parse(model):
            errors = [parser_error(parser.get_error(index)) for index in range(parser.num_errors)]
            raise BackendError(
                f"TensorRT {self.version} cannot read model.{recipe.file}.onnx:\n" + "\n".join(errors or self._said()),
                "make the bundle again with `fieldlens convert bundle`; report it if that does not help",
            )
        config = builder.create_builder_config()
        self._configure(config, recipe, options, workspace_bytes)
        for batch in options.batches:  # one profile each, of one size: every batch size gets kernels of its own
            profile = builder.create_optimization_profile()
            shape = (batch, side, side, 3)
            profile.set_shape(_INPUT, shape, shape, shape)
            if config.add_optimization_profile(profile) < 0:
                raise self._failure(f"TensorRT {self.version} refused batch size {batch}")
        cache, notes = self._timing_cache(config, timing_cache)
        with held_back_interrupt() as interrupted:
            monitor = self._watch(config, progress, interrupted)  # a name of its own: TensorRT does not keep it alive
            plan = builder.build_serialized_network(network, config)
        del monitor
        if interrupted.is_set():
            raise KeyboardInterrupt
        if plan is None:
            raise self._failure(f"TensorRT {self.version} could not build model.{recipe.file}.onnx ({recipe.typing})")
        return Built(bytes(plan), bytes(cache.serialize()) if cache is not None else b"", notes)

    def _network_flags(self, recipe: Recipe) -> int:
        """8.6 needs EXPLICIT_BATCH, 10 ignores it, 11 lacks it; 11 is always strongly typed."""
        names = self.trt.NetworkDefinitionCreationFlag
        bits = 0
        if self.major < 10:
            bits |= 1 << int(names.EXPLICIT_BATCH)
        elif recipe.strongly_typed and self.major < 11:
            bits |= 1 << int(names.STRONGLY_TYPED)
        return bits

    def _configure(self, config: Any, recipe: Recipe, options: BuildOptions, workspace_bytes: int) -> None:
        trt = self.trt
        config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, workspace_bytes)
        config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED  # else the inspector tells no precisions
        config.builder_optimization_level = options.optimization_level
        for name in recipe.flags:
            config.set_flag(getattr(trt.BuilderFlag, name))
        if recipe.precision == "fp32":  # TF32 keeps 10 bits of mantissa: that is not the reference's precision
            config.clear_flag(trt.BuilderFlag.TF32)
        if options.tactic_sources:
            mask = 0
            for name in options.tactic_sources:
                mask |= 1 << int(self._tactic_source(name))
            if not config.set_tactic_sources(mask):
                raise self._failure(f"TensorRT {self.version} refused the tactic sources {options.tactic_sources}")

    def _tactic_source(self, name: str) -> Any:
        known = self.trt.TacticSource
        if not name.isupper() or not hasattr(known, name):
            options = ", ".join(option for option in dir(known) if option.isupper())
            raise BackendError(f"TensorRT {self.version} has no tactic source {name!r}", f"choose from {options}")
        return getattr(known, name)

    def _timing_cache(self, config: Any, saved: bytes) -> tuple[Any, tuple[str, ...]]:
        """Attach the saved timings; where TensorRT does not accept them, start with none."""
        cache = config.create_timing_cache(saved)
        if cache is not None and config.set_timing_cache(cache, False):
            return cache, ()
        cache = config.create_timing_cache(b"")
        attached = cache is not None and config.set_timing_cache(cache, False)
        return (cache if attached else None), ("the saved timing cache did not fit and was started again",)

    def _watch(self, config: Any, progress: BuildWatcher, interrupted: threading.Event) -> Any:
        """Attach a progress monitor where this version has one (10.0 and later)."""
        if not hasattr(self.trt, "IProgressMonitor"):
            return None
        monitor = progress_monitor(self.trt, progress, interrupted)
        config.progress_monitor = monitor
        return monitor

    def load(self, plan: bytes) -> tuple[Any, Any]:
        """``(runtime, engine)`` of a plan whose bytes were checked. Raises BackendError with TensorRT's reason.

        Deserialising runs native code from the plan: only ever hand in bytes that ``engine_store``
        has checked.
        """
        self._lines.clear()
        runtime = self.trt.Runtime(self.logger)
        engine = runtime.deserialize_cuda_engine(plan)
        if engine is None:
            raise self._failure(f"TensorRT {self.version} refused the plan", "run `fieldlens convert engine` again")
        return runtime, engine

    def batches(self, engine: Any) -> tuple[int, ...]:
        """The batch size of each optimisation profile."""
        count = engine.num_optimization_profiles
        return tuple(int(next(iter(engine.get_tensor_profile_shape(_INPUT, index)[2]))) for index in range(count))

    def check_interface(self, engine: Any, shapes: dict[str, tuple[int, ...]]) -> None:
        """Compare names, directions, dtypes and shapes (without the batch) with the graph's contract."""
        trt = self.trt
        found = {}
        for index in range(engine.num_io_tensors):
            name = engine.get_tensor_name(index)
            is_input = engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT
            found[name] = (is_input, engine.get_tensor_dtype(name), tuple(engine.get_tensor_shape(name))[1:])
        wanted = {
            name: (name == _INPUT, trt.DataType.UINT8 if name == _INPUT else trt.DataType.FLOAT, shape)
            for name, shape in shapes.items()
        }
        if found != wanted:
            raise BackendError(
                f"the plan's tensors are {found}, the bundle's {wanted}", "run `fieldlens convert engine` again"
            )

    def layer_information(self, engine: Any) -> str:
        """The inspector's JSON about the whole engine."""
        inspector = engine.create_engine_inspector()
        return str(inspector.get_engine_information(self.trt.LayerInformationFormat.JSON))

    def _said(self) -> list[str]:
        return list(self._lines) or ["(TensorRT logged no reason)"]

    def _failure(self, what: str, hint: str = "") -> BackendError:
        """An error with the logger's lines: TensorRT gives its reasons nowhere else."""
        said = self._said()
        if any("out of memory" in line.lower() or "outofmemory" in line.lower() for line in said):
            what, hint = (
                f"{what}: out of memory",
                "close other programs that use the GPU, or give a smaller --workspace",
            )
        return BackendError(f"{what}:\n" + "\n".join(said), hint or "the lines above are TensorRT's own reasons")


_loaded: TensorRt | None = None


def tensorrt() -> TensorRt:
    """The TensorRT of this process. Raises NotInstalled, or BackendError for one that cannot be loaded."""
    global _loaded
    try:
        import tensorrt as trt
    except ModuleNotFoundError as error:
        raise NotInstalled(f"TensorRT is not installed ({error})", _INSTALL) from error
    except (ImportError, OSError) as error:  # the module is there, a library that it needs is not
        stopping.raise_interrupted()
        raise BackendError(f"TensorRT cannot be loaded ({error})", _INSTALL) from error
    if not hasattr(trt, "__version__"):  # a folder of type stubs imports as an empty namespace
        raise NotInstalled("TensorRT is not installed (only its type stubs are)", _INSTALL)
    if _loaded is None or _loaded.trt is not trt:
        _loaded = TensorRt(trt)
    return _loaded


_INSTALL = (
    "on a Jetson it comes with JetPack: make the environment with --system-site-packages; "
    "elsewhere pip install -r runtime/requirements-gpu.txt"
)
