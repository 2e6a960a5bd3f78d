"""OpenVINO: the default on CPUs (design, decision 3)."""

from __future__ import annotations

import functools
import hashlib
import io
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from fieldlens.runtime import stopping
from fieldlens.runtime.backends.base import Backend, BackendInfo, Image, LoadOptions, Outputs
from fieldlens.runtime.bundle.precision import file_for
from fieldlens.runtime.errors import BackendError, KitError
from fieldlens.runtime.files import keeping, kept
from fieldlens.runtime.machine.host import cpu_fingerprint, usable_cores

# Importing OpenVINO starts a process that reports its use to a server on the internet, and writes into the home folder.
# Where its package for that is missing, it goes without; this device has no business there.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]

PRECISIONS = ("fp32", "bf16", "int8")
_HINT = {"fp32": "f32", "bf16": "bf16", "int8": "f32"}
"""OpenVINO's own default is bfloat16 where the CPU has it. For INT8 the layers left in floating point stay f32: the
head decides, and bfloat16 there cost agreement without a measurable gain."""


class OpenVinoBackend(Backend):
    """A compiled model with one infer request, whose input tensor is the caller's own memory."""

    def __init__(self, model: bytes, precision: str, options: LoadOptions) -> None:
        import openvino as ov

        self._asked, self._options = precision, options
        core, config = _core(), _config(precision, options.threads or usable_cores())
        try:
            compiled, notes = _compiled(core, model, precision, config, options.cache)
            self._begin(compiled)
        except RuntimeError as error:
            raise _refused(error) from error
        self.info = BackendInfo(
            "openvino",
            _short_version(ov.__version__),
            str(core.get_property("CPU", "FULL_DEVICE_NAME")).strip(),
            _running(self._compiled, precision),
            int(self._compiled.get_property("INFERENCE_NUM_THREADS")),
            notes,
        )

    def _begin(self, compiled: Any) -> None:
        """A request of a compiled model."""
        import openvino as ov

        self._ov, self._compiled = ov, compiled
        self._request: Any = compiled.create_infer_request()
        self._bound: Image | None = None

    def infer(self, image: Image) -> Outputs:
        if self._request is None:
            raise BackendError("the model is closed", "load it again")
        if self._bound is not image:
            self._request.set_input_tensor(self._ov.Tensor(image, shared_memory=True))
            self._bound = image
        try:
            self._request.infer()
        except RuntimeError as error:
            raise BackendError(f"OpenVINO failed: {_first_line(error)}", "run `fieldlens selftest`") from error
        logits, cam, features = (self._request.get_tensor(name).data for name in ("logits", "cam", "features"))
        return Outputs(logits, cam, features)

    def lanes(self, read: Callable[[str], bytes], count: int) -> tuple[Backend, ...]:
        """Requests of one compiled model with a stream of one thread for each."""
        model = read(file_for(self._asked, "cpu"))
        config = _config(self._asked, count, streams=count)
        try:
            compiled, _ = _compiled(_core(), model, self._asked, config, self._options.cache)
            return tuple(_OpenVinoLane(compiled, self.info) for _ in range(count))
        except RuntimeError as error:
            raise _refused(error) from error

    def close(self) -> None:
        self._request = self._compiled = self._bound = None


class _OpenVinoLane(OpenVinoBackend):
    """One request of a compiled model that others use at the same time."""

    def __init__(self, compiled: Any, info: BackendInfo) -> None:
        self._begin(compiled)
        self.info = replace(info, threads=1)


def load(model: bytes, precision: str, options: LoadOptions) -> Backend:
    """Load ONNX bytes. Raises BackendError where OpenVINO is not installed."""
    try:
        import openvino  # noqa: F401
    except ImportError as error:
        stopping.raise_interrupted()
        raise BackendError("OpenVINO is not installed", "pip install -r runtime/requirements.txt") from error
    return OpenVinoBackend(np.frombuffer(model, np.uint8).tobytes(), precision, options)


def _config(precision: str, threads: int, streams: int = 1) -> dict[str, Any]:
    """For one image at a time on all ``threads``, or for ``streams`` at once that share them."""
    return {
        "INFERENCE_PRECISION_HINT": _HINT[precision],
        "PERFORMANCE_HINT": "LATENCY" if streams == 1 else "THROUGHPUT",
        "NUM_STREAMS": streams,
        "INFERENCE_NUM_THREADS": threads,
    }


def _refused(error: RuntimeError) -> BackendError:
    return BackendError(f"OpenVINO refused the model: {_first_line(error)}", "try --backend onnxruntime")


@functools.cache
def _core() -> Any:
    """One for the life of the process. The CPU plugin gives the thread an alternate signal stack and, when the last
    Core goes, frees it without taking it back: the next Ctrl-C would then crash (seen with 2026.4)."""
    import openvino as ov

    return ov.Core()


def _compiled(
    core: Any, model: bytes, precision: str, config: dict[str, Any], cache: Path | None
) -> tuple[Any, tuple[str, ...]]:
    """The compiled model and what to say about it: kept from the last start where that is whole, else compiled now.

    Through memory, because OpenVINO's own cache folder checks nothing: it runs a file with a flipped bit without a
    word, and several processes that fill it at once can crash (seen with 2026.4). Raises RuntimeError, OpenVINO's own.
    """
    if cache is None:
        return core.compile_model(core.read_model(model, b""), "CPU", config), ()
    import openvino as ov

    identity = _identity(core, model, config, ov.__version__)
    library = _short_version(ov.__version__)
    streams = f"-in-{config['NUM_STREAMS']}" if config["NUM_STREAMS"] > 1 else ""
    path = cache / f"openvino-{library}-{precision}-{config['INFERENCE_NUM_THREADS']}{streams}.compiled"
    notes: list[str] = []
    try:
        if (blob := kept.load(path, identity)) is not None:
            return core.import_model(io.BytesIO(blob), "CPU", config), ()
    except (KitError, RuntimeError) as error:
        reason = error.message if isinstance(error, KitError) else _first_line(error)
        notes.append(f"the compiled model was made again: {reason}")
    compiled = core.compile_model(core.read_model(model, b""), "CPU", config)
    try:
        kept.save(path, identity, compiled.export_model().getvalue())
        _tidy(cache, library)
    except (OSError, KitError) as error:
        keeping.refused(cache, error)
    return compiled, tuple(notes)


def _identity(core: Any, model: bytes, config: dict[str, Any], version: str) -> kept.Identity:
    """All that decides what a compiled model is."""
    return {
        "kind": "compiled model",
        "library": version,
        "device": str(core.get_property("CPU", "FULL_DEVICE_NAME")).strip(),
        "cpu": cpu_fingerprint(),
        "config": {key: str(value) for key, value in config.items()},
        "model_sha256": hashlib.sha256(model).hexdigest(),
    }


def _tidy(cache: Path, library: str) -> None:
    """Remove what other versions of the library left."""
    for path in (*cache.glob("openvino-*.compiled"), *cache.glob("*.blob")):
        if not path.name.startswith(f"openvino-{library}-"):
            path.unlink(missing_ok=True)


def _running(compiled: Any, asked: str) -> str:
    """The precision that the compiled model's own convolutions report."""
    kinds = [
        str(
            info["runtimePrecision"].astype(str)
            if hasattr(info["runtimePrecision"], "astype")
            else info["runtimePrecision"]
        )
        for info in (node.get_rt_info() for node in compiled.get_runtime_model().get_ops())
        if "layerType" in info and "Convolution" in str(_plain(info["layerType"]))
    ]
    names = {"f32": "fp32", "bf16": "bf16", "f16": "fp16", "u8": "int8", "i8": "int8"}
    counts = {names.get(kind, kind): kinds.count(kind) for kind in kinds}
    return max(counts, key=lambda kind: counts[kind]) if counts else asked


def _short_version(version: str) -> str:
    """``2026.4.1`` of ``2026.4.1-22982-e213a147257-releases/2026/4``."""
    return version.split("-")[0]


def _plain(value: Any) -> Any:
    """OpenVINO wraps run-time information in OVAny."""
    return value.value if hasattr(value, "value") else value


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
