"""From ``--backend`` and ``--precision`` to a loaded model."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from runtime.backends import fake, onnxruntime, openvino, tensorrt
from runtime.backends.base import Backend, LoadOptions
from runtime.backends.trt_api import NotInstalled
from runtime.bundle import Bundle
from runtime.errors import BackendError
from runtime.selftest import SelfTest, cached_selftest

_CPU_FILE = {"fp32": "fp32", "bf16": "fp32", "int8": "int8-cpu"}
"""Which model file a CPU backend takes for a precision."""


def load_backend(bundle: Bundle, backend: str, precision: str, options: LoadOptions) -> Backend:
    """Load one named backend at one named precision (neither ``auto``). Raises BackendError with what is missing."""
    if backend == "fake":
        manifest = bundle.manifest
        return fake.load(options, precision, len(manifest.classes), manifest.cam_size, manifest.features)
    if backend == "tensorrt":
        return tensorrt.load(bundle, precision, options)
    module = {"openvino": openvino, "onnxruntime": onnxruntime}[backend]
    if precision not in module.PRECISIONS:
        raise BackendError(
            f"{backend} on a CPU does not run {precision}", "choose " + ", ".join(module.PRECISIONS) + " or auto"
        )
    file = _CPU_FILE[precision]
    if file not in bundle.manifest.precisions:
        raise BackendError(f"{bundle.path.name} has no model.{file}.onnx", "choose --precision fp32")
    load: Callable[[bytes, str, LoadOptions], Backend] = module.load
    return load(bundle.model(file), precision, replace(options, cache=_own_cache(options, bundle)))


def _own_cache(options: LoadOptions, bundle: Bundle) -> Path | None:
    return options.cache / bundle.hash[:16] if options.cache else None


def cpu_backend() -> str:
    """The better CPU backend that is installed. Raises BackendError where none is."""
    for name in ("openvino", "onnxruntime"):
        if importlib.util.find_spec(name):
            return name
    raise BackendError("neither OpenVINO nor ONNX Runtime is installed", "pip install -r runtime/requirements.txt")


@dataclass(frozen=True)
class Choice:
    """A loaded backend, and in words why it and not a better one."""

    backend: Backend
    reasons: tuple[str, ...]


def choose_backend(bundle: Bundle, backend: str, precision: str, options: LoadOptions, state: Path) -> Choice:
    """Resolve ``auto`` for this machine: TensorRT with a valid plan, else a CPU backend, and why not the better one.

    A named backend that cannot be had is an error, never replaced silently.
    """
    reasons: list[str] = []
    if backend in ("auto", "tensorrt"):  # its plans were accepted on the golden images here: no further self-test
        try:
            return Choice(tensorrt.load(bundle, precision, replace(options, state=state)), ())
        except BackendError as error:
            if backend == "tensorrt":
                raise
            if not isinstance(error, NotInstalled):
                reasons.append(f"{error.message}: {error.hint}")
        backend = cpu_backend()
    if backend == "fake" or precision != "auto":
        chosen = "fp32" if precision == "auto" else precision
        loaded = load_backend(bundle, backend, chosen, options)
        if backend != "fake" and chosen != "fp32":
            reasons += _doubts(cached_selftest(bundle, loaded, state))
        return Choice(loaded, tuple(reasons))
    return _auto_precision(bundle, backend, options, state, reasons)


def _auto_precision(bundle: Bundle, backend: str, options: LoadOptions, state: Path, reasons: list[str]) -> Choice:
    """INT8 where it passes its self-test here and is faster than FP32; FP32 otherwise (design, decision 4)."""
    if _CPU_FILE["int8"] not in bundle.manifest.precisions:
        return Choice(
            load_backend(bundle, backend, "fp32", options), (*reasons, "fp32: the bundle has no INT8 for CPUs")
        )
    int8 = load_backend(bundle, backend, "int8", options)
    fast = cached_selftest(bundle, int8, state)
    if fast.passed:
        slow = _timing(bundle, backend, options, state)
        if fast.inference_p50_ms < slow.inference_p50_ms:
            figures = f"{fast.inference_p50_ms:.1f} ms against {slow.inference_p50_ms:.1f} ms for fp32"
            return Choice(int8, (*reasons, f"int8: it passed its self-test here and is faster ({figures})"))
        why = f"int8 is not faster here ({fast.inference_p50_ms:.1f} ms against {slow.inference_p50_ms:.1f} ms)"
    else:
        why = "; ".join(_doubts(fast))
    int8.close()
    return Choice(load_backend(bundle, backend, "fp32", options), (*reasons, f"fp32: {why}"))


def _timing(bundle: Bundle, backend: str, options: LoadOptions, state: Path) -> SelfTest:
    with load_backend(bundle, backend, "fp32", options) as reference:
        return cached_selftest(bundle, reference, state)


def _doubts(result: SelfTest) -> list[str]:
    """Why a precision failed its self-test; empty if it passed."""
    if result.passed:
        return []
    return [
        f"{result.precision} fails its self-test on this machine (logits differ by {result.max_logit_difference:.3g}, "
        f"{result.allowed_logit_difference:.3g} allowed; {result.flips} decisions turned over)"
    ]
