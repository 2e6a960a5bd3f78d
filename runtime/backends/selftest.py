"""Every backend proves itself on the machine it runs on: the golden images against the reference's outputs.

Design, decision 4: INT8 can saturate on CPUs without VNNI, and a library's update can change what it computes.
"""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from fieldlens.runtime.backends.base import Backend, BackendInfo
from fieldlens.runtime.bundle.contents import golden_file, golden_images, golden_logits
from fieldlens.runtime.bundle.decision import Outcome, calibrated
from fieldlens.runtime.bundle.manifest import Tolerance
from fieldlens.runtime.bundle.opened import Bundle
from fieldlens.runtime.bundle.precision import tolerances_for
from fieldlens.runtime.errors import BundleError, ImageError, KitError
from fieldlens.runtime.files import keeping, kept
from fieldlens.runtime.machine.host import cpu_fingerprint
from fieldlens.runtime.pixels.preprocess import Preprocess

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
        return self.flips == 0 and self.max_logit_difference <= self.allowed_logit_difference < math.inf


@dataclass(frozen=True)
class Golden:
    """Golden images as tensors uint8 ``[n,S,S,3]``, and the reference's logits float32 ``[n,C]``."""

    tensors: npt.NDArray[np.uint8]
    logits: npt.NDArray[np.float32]
    preprocess_differs: int


def load_golden(bundle: Bundle, only: Sequence[int] | None = None) -> Golden:
    """Decode and preprocess the golden images on this machine: all, or those with the indices ``only``.

    Raises BundleError.
    """
    images = golden_images(bundle)
    logits = golden_logits(bundle, len(images))
    if only is not None:
        images, logits = tuple(images[index] for index in only), logits[list(only)]
    preprocess = Preprocess(bundle.manifest.preprocess)
    tensors = preprocess.empty(len(images))
    differs = 0
    for image, tensor in zip(images, tensors, strict=True):
        try:
            preprocess.from_bytes(golden_file(bundle, image), image.file, tensor)
        except ImageError as error:
            raise BundleError(
                f"{bundle.path.name}: golden image {error.message}", "copy the bundle again from where it was made"
            ) from error
        differs += hashlib.sha256(tensor.tobytes()).hexdigest() != image.sha256
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
        allowed_logit_difference=tolerance(bundle, backend.info.precision, backend.info.file).logit,
        flips=flips(bundle, golden.logits, logits),
        preprocess_differs=golden.preprocess_differs,
        inference_p50_ms=float(np.median(times)),
    )


def tolerance(bundle: Bundle, precision: str, file: str) -> Tolerance:
    """The manifest's tolerance of what runs. bfloat16 has none of its own in a bundle: INT8's, the widest, binds it.

    ``file`` (a model file's name) comes from TensorRT, whose INT8 has files of its own. Its FP16 may be built from the
    FP32 file: then FP16's own tolerance binds it, else that of the INT8 file for the same TensorRT, which is wider.
    """
    tolerances = bundle.manifest.tolerances
    names = tolerances_for(precision, file)
    return next((tolerances[name] for name in names if name in tolerances), _STRICT)


def flips(bundle: Bundle, reference: npt.NDArray[np.float32], logits: npt.NDArray[np.float32]) -> int:
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


def cached_selftest(bundle: Bundle, backend: Backend, state: Path, notes: list[str]) -> SelfTest:
    """As :func:`run_selftest`, but a result for this CPU, library version, bundle and precision is kept and reused.

    Adds to ``notes`` why a kept result could not be used.
    """
    if (found := kept_selftest(bundle, backend.info, state, notes)) is not None:
        return found
    result = run_selftest(bundle, backend, load_golden(bundle))
    if result.passed:  # a failure is tested again next time: its cause may have been fixed
        _keep(*_place(bundle, backend.info, state), result)
    return result


def kept_selftest(bundle: Bundle, info: BackendInfo, state: Path, notes: list[str]) -> SelfTest | None:
    """The kept result of what ``info`` describes, without loading it; None where there is none that can be used.

    Adds to ``notes`` why a kept result could not be used.
    """
    try:
        payload = kept.load(*_place(bundle, info, state))
        return None if payload is None else parse_selftest(payload)
    except KitError as error:
        notes.append(f"the self-test was run again: {error.message}")
        return None


def parse_selftest(payload: bytes) -> SelfTest:
    """What a kept file holds. Raises DamagedError."""
    return kept.record(SelfTest, payload, "the kept self-test")


def _place(bundle: Bundle, info: BackendInfo, state: Path) -> tuple[Path, kept.Identity]:
    """Where a result is kept, and all that it depends on."""
    identity: kept.Identity = {
        "kind": "self-test", "bundle": bundle.hash, "backend": info.name, "version": info.version,
        "precision": info.precision, "threads": info.threads, "cpu": cpu_fingerprint(),
    }  # fmt: skip
    key = f"{info.name}-{info.version}-{info.precision}-{info.threads}-{identity['cpu']}"
    return state / "selftest" / bundle.hash[:16] / f"{key}.kept", identity


def _keep(path: Path, identity: kept.Identity, result: SelfTest) -> None:
    try:
        kept.save(path, identity, json.dumps(asdict(result)).encode())
    except (OSError, KitError) as error:
        keeping.refused(path.parent, error)
