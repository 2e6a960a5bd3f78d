"""Every backend proves itself on the machine it runs on: the golden images against the reference's outputs.

Design, decision 4: INT8 can saturate on CPUs without VNNI, and a library's update can change what it computes.
"""

from __future__ import annotations

import hashlib
import io
import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from runtime import atomic
from runtime.backends.base import Backend
from runtime.bundle import Bundle
from runtime.decision import Outcome, calibrated
from runtime.errors import BundleError
from runtime.host import cpu_fingerprint
from runtime.manifest import Tolerance
from runtime.preprocess import Preprocess

LIST = "golden/golden.json"
REFERENCE = "golden/golden.npz"
_STRICT = Tolerance(0.0, 0.0, 0.0, 1e-3)


@dataclass(frozen=True)
class SelfTest:
    """The outcome for one backend at one precision. ``flips`` counts refer ↔ no-sign-found: none is allowed."""

    backend: str
    precision: str
    images: int
    max_logit_difference: float
    allowed_logit_difference: float
    flips: int
    preprocess_differs: int
    inference_p50_ms: float

    @property
    def passed(self) -> bool:
        """Within tolerance, and no decision turned into its opposite."""
        return self.flips == 0 and self.max_logit_difference <= self.allowed_logit_difference


@dataclass(frozen=True)
class Golden:
    """Golden pictures as tensors uint8 ``[n,S,S,3]``, and the reference's logits float32 ``[n,C]``."""

    tensors: npt.NDArray[np.uint8]
    logits: npt.NDArray[np.float32]
    preprocess_differs: int


def load_golden(bundle: Bundle) -> Golden:
    """Decode and preprocess the golden pictures on this machine. Raises BundleError."""
    try:
        entries = json.loads(bundle.read(LIST))["images"]
        with np.load(io.BytesIO(bundle.read(REFERENCE)), allow_pickle=False) as arrays:
            logits = arrays["logits"]
        preprocess = Preprocess(bundle.manifest.preprocess)
        tensors = preprocess.empty(len(entries))
        differs = 0
        for entry, tensor in zip(entries, tensors, strict=True):
            preprocess.from_bytes(bundle.read(entry["file"]), entry["file"], tensor)
            differs += hashlib.sha256(tensor.tobytes()).hexdigest() != entry["sha256"]
    except (KeyError, TypeError, ValueError) as error:
        raise BundleError(f"{bundle.path.name}: the golden images are incomplete ({error})", "make it anew") from error
    if len(logits) != len(tensors) or not len(tensors):
        raise BundleError(f"{bundle.path.name}: golden images and reference do not fit", "make the bundle anew")
    return Golden(tensors, logits, differs)


def run_selftest(bundle: Bundle, backend: Backend, golden: Golden) -> SelfTest:
    """Run all golden images through ``backend`` one by one, and compare with the reference."""
    logits, times = np.empty_like(golden.logits), []
    backend.infer(golden.tensors[:1])
    for index in range(len(golden.tensors)):
        start = time.perf_counter()
        logits[index] = backend.infer(golden.tensors[index : index + 1]).logits[0]
        times.append((time.perf_counter() - start) * 1e3)
    difference = np.abs(logits - golden.logits)
    return SelfTest(
        backend=backend.info.name,
        precision=backend.info.precision,
        images=len(logits),
        max_logit_difference=float(difference.max()) if np.isfinite(difference).all() else float("inf"),
        allowed_logit_difference=_tolerance(bundle, backend.info.precision, backend.info.file).logit,
        flips=_flips(bundle, golden.logits, logits),
        preprocess_differs=golden.preprocess_differs,
        inference_p50_ms=float(np.median(times)),
    )


def _tolerance(bundle: Bundle, precision: str, file: str) -> Tolerance:
    """The manifest's tolerance of what runs. bfloat16 has none of its own in a bundle: INT8's, the widest, binds it.

    ``file`` (a model file's name) comes from TensorRT, whose INT8 has files of its own. Its FP16 may be built from the
    FP32 file: then FP16's own tolerance binds it, else that of the INT8 file for the same TensorRT, which is wider.
    """
    tolerances = bundle.manifest.tolerances
    names = [file or ("int8-cpu" if precision in ("int8", "bf16") else precision)]
    if file and precision == "fp16":
        names = ["fp16", "int8-trt8"]
    return next((tolerances[name] for name in names if name in tolerances), _STRICT)


def _flips(bundle: Bundle, reference: npt.NDArray[np.float32], logits: npt.NDArray[np.float32]) -> int:
    """How many decisions turned into their opposite; a general classifier's top class counts instead."""
    manifest = bundle.manifest
    if manifest.decision is None:
        return 0
    sides = []
    for values in (reference, logits):
        scores = manifest.decision.score(calibrated(values, manifest.temperature, manifest.task), manifest.class_ids)
        sides.append([manifest.decision.outcome(float(score)) for score in scores])
    opposite = {Outcome.REFER, Outcome.NO_SIGN_FOUND}
    return sum({one, other} == opposite for one, other in zip(*sides, strict=True))


def cached_selftest(bundle: Bundle, backend: Backend, state: Path) -> SelfTest:
    """As :func:`run_selftest`, but a result for this CPU, library version, bundle and precision is kept and reused."""
    info = backend.info
    key = f"{info.name}-{info.version}-{info.precision}-{info.threads}-{cpu_fingerprint()}"
    path = state / "selftest" / bundle.hash[:16] / f"{key}.json"
    if (known := _read_cached(path)) is not None:
        return known
    result = run_selftest(bundle, backend, load_golden(bundle))
    if result.passed:  # a failure is tested again next time: it may have been mended
        atomic.write_json(path, asdict(result))
    return result


def _read_cached(path: Path) -> SelfTest | None:
    try:
        value: dict[str, Any] = json.loads(path.read_text())
        return SelfTest(**value)
    except (OSError, ValueError, TypeError):
        return None
