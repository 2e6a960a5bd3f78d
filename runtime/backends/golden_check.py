"""A few golden images before the first patient, and again while the run lasts: what answers is what was accepted.

The whole self-test (``selftest``) runs once for a library, a CPU and a bundle. It cannot see what breaks later:
memory, a driver, a library that was swapped, a GPU that overheats. This check can, at a cost of milliseconds.
"""

from __future__ import annotations

import json
import math
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fieldlens.runtime.backends.base import Backend, Outputs
from fieldlens.runtime.backends.selftest import flips, load_golden, tolerance
from fieldlens.runtime.bundle.contents import golden_images, golden_logits
from fieldlens.runtime.bundle.decision import calibrated
from fieldlens.runtime.bundle.opened import Bundle
from fieldlens.runtime.errors import BackendError, KitError
from fieldlens.runtime.files import kept

IMAGES = 4
LEAST = 2
"""Answered whatever it costs: the lowest and the highest score."""
BUDGET_MS = 120.0
"""No further image once a check has taken this long, so that a start pays at most a fifth of a second."""
INTERVAL_S = 3600.0
"""How often a long run repeats the check."""


class GoldenCheckFailed(BackendError):
    """The backend no longer gives the answers that were accepted: none of its answers can be used."""


@dataclass(frozen=True)
class GoldenCheck:
    """How a check went. ``ms``: its duration, the first time with reading and decoding the images."""

    images: int
    ms: float
    max_logit_difference: float
    allowed_logit_difference: float

    def __str__(self) -> str:
        return (
            f"{self.images} answered as accepted in {self.ms:.0f} ms "
            f"(logits differ by {self.max_logit_difference:.3g}, {self.allowed_logit_difference:.3g} allowed)"
        )


class GoldenImages:
    """Some of a bundle's golden images, spread over the scores, ready to be answered at any time."""

    def __init__(self, bundle: Bundle) -> None:
        """Reads and decodes them. Raises BundleError."""
        began = time.perf_counter()
        self._bundle = bundle
        self._golden = load_golden(bundle, _spread(bundle))
        self._preparing_ms: float = (time.perf_counter() - began) * 1e3
        self.last: GoldenCheck | None = None
        """The last check that passed."""

    def check(self, backend: Backend) -> GoldenCheck:
        """Answer them and compare. Raises GoldenCheckFailed: a value that is not finite, logits further from the
        reference than the bundle allows, a decision that turned into its opposite."""
        began = time.perf_counter()
        golden, info = self._golden, backend.info
        logits = np.empty_like(golden.logits)
        count = 0
        for tensor in golden.tensors:
            outputs = backend.infer(tensor[None])
            if not finite(outputs):
                raise _failed(info.name, info.precision, "an output is not a finite number")
            logits[count] = outputs.logits[0]
            count += 1
            if count >= LEAST and self._preparing_ms + (time.perf_counter() - began) * 1e3 > BUDGET_MS:
                break
        logits, reference = logits[:count], golden.logits[:count]
        allowed = tolerance(self._bundle, info.precision, info.file).logit
        difference = float(np.abs(logits - reference).max())
        if not difference <= allowed:
            raise _failed(info.name, info.precision, f"logits differ by {difference:.3g}, {allowed:.3g} allowed")
        if turned := flips(self._bundle, reference, logits):
            raise _failed(info.name, info.precision, f"{turned} of {count} decisions turned into their opposite")
        ms = self._preparing_ms + (time.perf_counter() - began) * 1e3
        self._preparing_ms = 0.0
        self.last = GoldenCheck(count, ms, difference, allowed)
        return self.last

    def alike(self, one: Backend, other: Backend) -> bool:
        """Whether both give the same bits for all of them. Raises BackendError."""
        for tensor in self._golden.tensors:
            wanted = [each.tobytes() for each in one.infer(tensor[None])]
            if wanted != [each.tobytes() for each in other.infer(tensor[None])]:
                return False
        return True


def finite(outputs: Outputs) -> bool:
    """Whether every number that the network gave is one. A sum is finite only then; only where it is not (it may have
    grown too large), each is looked at."""
    with np.errstate(over="ignore", invalid="ignore"):
        return all(math.isfinite(np.add.reduce(output, None)) or bool(np.isfinite(output).all()) for output in outputs)


def _spread(bundle: Bundle) -> list[int]:
    """Indices of up to IMAGES golden images: the reference's lowest and highest score, then those between."""
    logits = golden_logits(bundle, len(golden_images(bundle)))
    order = np.argsort(_scores(bundle, logits), kind="stable")
    places = np.linspace(0, len(order) - 1, min(IMAGES, len(order))).round().astype(int).tolist()
    return [int(order[place]) for place in dict.fromkeys((*places[:1], *places[-1:], *places[1:-1]))]


def _scores(bundle: Bundle, logits: npt.NDArray[np.float32]) -> npt.NDArray[np.floating[Any]]:
    manifest = bundle.manifest
    probabilities = calibrated(logits, manifest.temperature, manifest.task)
    if manifest.decision is None:
        return np.asarray(probabilities.max(axis=-1))
    return manifest.decision.score(probabilities, manifest.class_ids)


def _failed(name: str, precision: str, why: str) -> GoldenCheckFailed:
    return GoldenCheckFailed(
        f"{name} {precision} does not answer the golden images as accepted: {why}",
        "no answer is given. Restart; if it happens again, run `fieldlens doctor` and copy the bundle again",
    )


@dataclass(frozen=True)
class LastStart:
    """What the last start on this device was, for ``info``."""

    time_utc: str
    backend: str
    precision: str
    check: GoldenCheck


def remember(state: Path, bundle: Bundle, backend: Backend, check: GoldenCheck) -> None:
    """Keep the result of a start. A state that cannot be written is no reason to stop: nobody decides by it."""
    start = LastStart(
        time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), backend.info.name, backend.info.precision, check
    )
    try:
        kept.save(_path(state, bundle), _identity(bundle), json.dumps(asdict(start)).encode())
    except (OSError, KitError):
        return


def last_start(state: Path, bundle: Bundle) -> LastStart | None:
    """What :func:`remember` kept; None where there is nothing whole."""
    try:
        payload = kept.load(_path(state, bundle), _identity(bundle))
        return None if payload is None else kept.record(LastStart, payload, "the last start")
    except KitError:
        return None


def _path(state: Path, bundle: Bundle) -> Path:
    return state / "selftest" / bundle.hash[:16] / "last-start.kept"


def _identity(bundle: Bundle) -> kept.Identity:
    return {"kind": "last start", "bundle": bundle.hash}
