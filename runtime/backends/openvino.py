"""OpenVINO: the default on CPUs (design, decision 3)."""

from __future__ import annotations

import functools
import os
from typing import Any

import numpy as np

from runtime.backends.base import Backend, BackendInfo, Image, LoadOptions, Outputs
from runtime.errors import BackendError

PRECISIONS = ("fp32", "bf16", "int8")
_HINT = {"fp32": "f32", "bf16": "bf16", "int8": "f32"}
"""OpenVINO's own default is bfloat16 where the CPU has it. For INT8 the layers left in floating point stay f32: the
head decides, and bfloat16 there cost agreement without a measurable gain."""


class OpenVinoBackend(Backend):
    """A compiled model with one infer request, whose input tensor is the caller's own memory."""

    def __init__(self, model: bytes, precision: str, options: LoadOptions) -> None:
        import openvino as ov

        self._ov = ov
        core = _core()
        config: dict[str, Any] = {
            "INFERENCE_PRECISION_HINT": _HINT[precision],
            "PERFORMANCE_HINT": "LATENCY",
            "NUM_STREAMS": 1,
            "INFERENCE_NUM_THREADS": options.threads or _usable_cores(),
            **options.extra,
        }
        if options.cache is not None:
            options.cache.mkdir(parents=True, exist_ok=True)
            config["CACHE_DIR"] = str(options.cache)
        try:
            self._compiled: Any = core.compile_model(core.read_model(model, b""), "CPU", config)
            self._request: Any = self._compiled.create_infer_request()
        except RuntimeError as error:
            raise BackendError(
                f"OpenVINO refused the model: {_first_line(error)}", "try --backend onnxruntime"
            ) from error
        self._bound: Image | None = None
        self.info = BackendInfo(
            "openvino",
            ov.__version__.split("-")[0],
            str(core.get_property("CPU", "FULL_DEVICE_NAME")).strip(),
            _running(self._compiled, precision),
            int(self._compiled.get_property("INFERENCE_NUM_THREADS")),
        )

    def infer(self, image: Image) -> Outputs:
        if self._request is None:
            raise BackendError("the model is closed", "load it again")
        if self._bound is not image:
            self._request.set_input_tensor(self._ov.Tensor(image, shared_memory=True))
            self._bound = image
        try:
            self._request.infer()
        except RuntimeError as error:
            raise BackendError(f"OpenVINO failed: {_first_line(error)}", "run `python -m runtime selftest`") from error
        logits, cam, features = (self._request.get_tensor(name).data for name in ("logits", "cam", "features"))
        return Outputs(logits, cam, features)

    def close(self) -> None:
        self._request = self._compiled = self._bound = None


def load(model: bytes, precision: str, options: LoadOptions) -> Backend:
    """Load ONNX bytes. Raises BackendError where OpenVINO is not installed."""
    try:
        import openvino  # noqa: F401
    except ImportError as error:
        raise BackendError("OpenVINO is not installed", "pip install -r runtime/requirements.txt") from error
    return OpenVinoBackend(np.frombuffer(model, np.uint8).tobytes(), precision, options)


@functools.cache
def _core() -> Any:
    """One for the life of the process. The CPU plugin gives the thread an alternate signal stack and, when the last
    Core goes, frees it without taking it back: the next Ctrl-C would then crash (seen with 2026.4)."""
    import openvino as ov

    return ov.Core()


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


def _plain(value: Any) -> Any:
    """OpenVINO wraps run-time information in OVAny."""
    return value.value if hasattr(value, "value") else value


def _usable_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
