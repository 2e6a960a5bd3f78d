"""From ``--backend`` and ``--precision`` to a loaded model."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from fieldlens.runtime.backends import fake, onnxruntime, openvino
from fieldlens.runtime.backends.base import Backend, BackendInfo, LoadOptions
from fieldlens.runtime.backends.golden_check import GoldenCheckFailed, GoldenImages
from fieldlens.runtime.backends.selftest import SelfTest, cached_selftest, kept_selftest
from fieldlens.runtime.backends.tensorrt import backend as tensorrt
from fieldlens.runtime.backends.tensorrt.api import NotInstalled
from fieldlens.runtime.bundle.opened import COPY_WHOLE, Bundle
from fieldlens.runtime.bundle.precision import REFERENCE, file_for, model_file, words_on
from fieldlens.runtime.errors import BackendError, KitError
from fieldlens.runtime.files.printable import printable

_ONNX = b"\x08"
"""The first byte of every ONNX file: the tag of ``ir_version``, which protobuf writes first."""
_NOT_ITS_OWN = "the manifest and the model do not belong together: make the bundle again"


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
    file = file_for(precision, "cpu")
    if file not in bundle.precisions:
        raise _absent(bundle, file)
    load: Callable[[bytes, str, LoadOptions], Backend] = module.load
    data = bundle.model(file)
    if data[:1] != _ONNX:
        raise BackendError(f"{backend} refused the model: {model_file(file)} is not an ONNX file", _NOT_ITS_OWN)
    loaded = load(data, precision, replace(options, cache=_own_cache(options, bundle)))
    try:
        _check_outputs(bundle, loaded)
    except BaseException:
        loaded.close()
        raise
    return loaded


def _absent(bundle: Bundle, file: str) -> BackendError:
    """What to say where the model file of a named precision is not here, by design or because it was left out."""
    names = [word for word in words_on("cpu") if file_for(word, "cpu") in bundle.precisions]
    choose = f"choose --precision {' or '.join(names)}" if names else ""
    if model_file(file) in bundle.absent:
        return BackendError(bundle.left_out(model_file(file)), " or ".join(filter(None, (choose, COPY_WHOLE))))
    hint = choose or "make the bundle with cpu among its --targets"
    return BackendError(f"{bundle.path.name} has no {model_file(file)}", hint)


def _check_outputs(bundle: Bundle, backend: Backend) -> None:
    """The network takes and gives what the manifest says. Raises BackendError."""
    manifest = bundle.manifest
    classes, side = len(manifest.classes), manifest.cam_size
    try:
        found = backend.infer(np.zeros((1, manifest.size, manifest.size, 3), np.uint8))
    except BackendError:
        raise
    except Exception as error:  # each library has exceptions of its own for a network of another shape
        words = " ".join(str(error).split())[:200]
        raise BackendError(f"{backend.info.name} cannot run the model: {words}", _NOT_ITS_OWN) from error
    shapes, wanted = (
        [np.shape(each) for each in found],
        [(1, classes), (1, classes, side, side), (1, manifest.features)],
    )
    if shapes != wanted or any(each.dtype != np.float32 for each in found):
        raise BackendError(f"the network gives {shapes}, and the manifest says {wanted}", _NOT_ITS_OWN)


def _own_cache(options: LoadOptions, bundle: Bundle) -> Path | None:
    return options.cache / bundle.hash[:16] if options.cache else None


def cpu_backend() -> str:
    """The better CPU backend that is installed. Raises BackendError where none is."""
    for name in ("openvino", "onnxruntime"):
        if importlib.util.find_spec(name):
            return name
    raise BackendError("neither OpenVINO nor ONNX Runtime is installed", "pip install -r runtime/requirements.txt")


@dataclass(frozen=True)
class BackendChoice:
    """A loaded backend, and in words why it and not a better one.

    ``golden``: the golden images that it has just answered; None for the fake backend, or where nobody asked.
    """

    backend: Backend
    reasons: tuple[str, ...]
    golden: GoldenImages | None = None


def choose_backend(
    bundle: Bundle, backend: str, precision: str, options: LoadOptions, state: Path, *, prove: bool = True
) -> BackendChoice:
    """Resolve ``auto`` for this machine: TensorRT with a valid engine, else a CPU backend, and why not the better one.

    What is chosen has passed its self-test (once for this library and CPU) and a golden check (now). ``auto`` passes
    over what fails. A named backend that cannot be had, or fails, is an error, never replaced silently; ``prove`` False
    hands it out all the same, for a self-test. Raises BackendError.
    """
    return _Chooser(bundle, precision, replace(options, state=state), state, prove).choose(backend)


class _Chooser:
    """One choice in the making: the reasons so far, and the golden images, which are decoded once."""

    def __init__(self, bundle: Bundle, precision: str, options: LoadOptions, state: Path, prove: bool) -> None:
        self._bundle, self._precision, self._options, self._state = bundle, precision, options, state
        self._prove = prove
        self._reasons: list[str] = []
        self._golden: GoldenImages | None = None

    def choose(self, backend: str) -> BackendChoice:
        if backend in ("auto", "tensorrt"):
            try:  # its engines were accepted on all golden images here: no further self-test
                return self._proven(tensorrt.load(self._bundle, self._precision, self._options))
            except BackendError as error:
                if backend == "tensorrt":
                    raise
                if not isinstance(error, NotInstalled):
                    self._reasons.append(f"{error.message}: {error.hint}")
            backend = cpu_backend()
        if backend == "fake" or self._precision != "auto":
            return self._named(backend, "fp32" if self._precision == "auto" else self._precision)
        return self._fastest(backend)

    def _named(self, backend: str, precision: str) -> BackendChoice:
        loaded = self._load(backend, precision)
        if self._prove and backend != "fake" and precision != "fp32":
            result = cached_selftest(self._bundle, loaded, self._state, self._reasons)
            if doubts := _doubts(result):
                loaded.close()
                raise BackendError(doubts, "choose --precision auto, which takes one that passes")
        return self._proven(loaded)

    def _fastest(self, backend: str) -> BackendChoice:
        """INT8 where it passes its tests here and is faster than FP32; FP32 otherwise (design, decision 4)."""
        if REFERENCE not in self._bundle.precisions:
            return self._alone(backend)
        if file_for("int8", "cpu") not in self._bundle.precisions:
            what = "this partial copy" if self._bundle.absent else "the bundle"
            self._reasons.append(f"fp32: {what} has no INT8 for CPUs{_why_none(self._bundle)}")
            return self._proven(self._load(backend, "fp32"))
        int8 = self._load(backend, "int8")
        fast = cached_selftest(self._bundle, int8, self._state, self._reasons)
        why = _doubts(fast)
        if not why:
            slow = self._fp32_selftest(backend, int8.info)
            figures = f"{fast.inference_p50_ms:.1f} ms against {slow.inference_p50_ms:.1f} ms"
            try:
                if fast.inference_p50_ms < slow.inference_p50_ms:
                    reason = f"int8: it passed its self-test here and is faster ({figures} for fp32)"
                    return self._proven(int8, reason)
                why = f"int8 is not faster here ({figures})"
            except GoldenCheckFailed as error:
                why = error.message
        int8.close()
        self._reasons.append(f"fp32: {why}")
        return self._proven(self._load(backend, "fp32"))

    def _alone(self, backend: str) -> BackendChoice:
        """INT8 in a partial copy without FP32: it runs where it proves itself, and nothing takes its place."""
        int8 = self._load(backend, "int8")
        if self._prove and (doubts := _doubts(cached_selftest(self._bundle, int8, self._state, self._reasons))):
            int8.close()
            raise BackendError(f"{doubts}; this copy has no FP32 to fall back on", COPY_WHOLE)
        return self._proven(int8, "int8: it passed its self-test here, and this copy is without fp32")

    def _fp32_selftest(self, backend: str, beside: BackendInfo) -> SelfTest:
        """The kept result of FP32 under the library, CPU and threads of ``beside``; without one, FP32 is loaded."""
        known = kept_selftest(self._bundle, replace(beside, precision="fp32"), self._state, [])
        if known is not None:
            return known
        with self._load(backend, "fp32") as reference:
            return cached_selftest(self._bundle, reference, self._state, self._reasons)

    def _load(self, backend: str, precision: str) -> Backend:
        return load_backend(self._bundle, backend, precision, self._options)

    def _proven(self, loaded: Backend, reason: str = "") -> BackendChoice:
        """The choice, after a golden check. Raises GoldenCheckFailed, with the backend closed."""
        if self._prove and loaded.info.name != "fake":
            try:
                self._golden = self._golden or GoldenImages(self._bundle)
                self._golden.check(loaded)
            except KitError:
                loaded.close()
                raise
        return BackendChoice(loaded, (*self._reasons, *filter(None, [reason])), self._golden)


def _why_none(bundle: Bundle) -> str:
    """What the converter wrote down of it; empty where it wrote nothing."""
    calibration = bundle.manifest.provenance.get("calibration")
    why = calibration.get("why") if isinstance(calibration, dict) else None
    return f": {printable(why[:200])}" if isinstance(why, str) else ""


def _doubts(result: SelfTest) -> str:
    """Why a precision failed its self-test; empty if it passed."""
    if result.passed:
        return ""
    return (
        f"{result.precision} fails its self-test on this machine (logits differ by {result.max_logit_difference:.3g}, "
        f"{result.allowed_logit_difference:.3g} allowed; {result.flips} decisions turned into their opposite)"
    )
