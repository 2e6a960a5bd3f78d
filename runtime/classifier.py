"""From an image to a Prediction, with the time of each stage."""

from __future__ import annotations

import math
import platform
import time
from types import TracebackType

import numpy as np

from fieldlens.runtime.backends.base import Backend, Outputs
from fieldlens.runtime.backends.golden_check import INTERVAL_S, GoldenImages, finite
from fieldlens.runtime.backends.lanes import Inferred, Lanes, open_lanes
from fieldlens.runtime.bundle.decision import Outcome, calibrated
from fieldlens.runtime.bundle.opened import Bundle
from fieldlens.runtime.bundle.quality_limits import Limits, limits_from_json
from fieldlens.runtime.errors import AnswerError
from fieldlens.runtime.pixels.decode_limits import DecodeLimits
from fieldlens.runtime.pixels.preprocess import Pixels
from fieldlens.runtime.prediction import AnswerOrigin, Finding, Prediction
from fieldlens.runtime.prepare import Prepared, Preparer
from fieldlens.runtime.quality import measures as quality
from fieldlens.runtime.quality.ood import load_ood
from fieldlens.runtime.site.record import threshold_from
from fieldlens.runtime.sources.item import Encoded, Frame


class Classifier:
    """One bundle on one loaded backend. Owns the backend and closes it; one thread at a time.

    Answers nothing before the backend has answered golden images as accepted (but for the fake backend).
    """

    def __init__(
        self,
        bundle: Bundle,
        backend: Backend,
        limits: Limits | None = None,
        golden: GoldenImages | None = None,
        *,
        golden_every_s: float = INTERVAL_S,
        decode_limits: DecodeLimits | None = None,
    ) -> None:
        """``limits``: this device's, where it has its own; otherwise the manifest's. ``golden``: images that
        ``backend`` has just answered; otherwise it answers some now. They are answered again every ``golden_every_s``
        seconds. ``decode_limits``: what decoding one image may cost. Raises GoldenCheckFailed."""
        self.bundle = bundle
        self.backend = backend
        self._limits = limits or limits_from_json(bundle.manifest.quality)
        self.decode_limits = decode_limits or DecodeLimits()
        self.own = self._preparer(overlapped=False)
        self.preprocess = self.own.preprocess
        self._ood = load_ood(bundle)
        self.origin = _origin(bundle, backend)
        self._display = {info.id: info.display for info in bundle.manifest.classes}
        self._golden_every_s, self._checked_at = golden_every_s, time.monotonic()
        self.golden = golden
        self.lanes: Lanes | None = None
        """The network on each core by itself (:meth:`open_lanes`)."""
        self.golden_repeats = 0
        """How often the golden images were answered again after the start."""
        if golden is None and backend.info.name != "fake":
            self.golden = GoldenImages(bundle)
            self.golden.check(backend)
        for _ in range(2):  # the first runs of any backend allocate; no image should pay for that
            backend.infer(self.own.image)

    @property
    def limits(self) -> Limits | None:
        """The quality gate's, as this device uses them; None where the bundle has no gate."""
        return self._limits

    def check_golden(self) -> None:
        """Answer the golden images again. Raises GoldenCheckFailed: from here on nothing may be answered."""
        if self.golden is not None:
            self.golden.check(self.backend)
            if self.lanes is not None:
                self.lanes.check(self.golden)

    def open_lanes(self) -> Lanes | None:
        """The network on each core by itself, for many images at once: made once, and kept until the end. None where
        there is nothing to gain. Raises KitError: the library refuses, or the answers are not the same bit for bit."""
        if self.lanes is None:
            self.lanes = open_lanes(self.bundle, self.backend, self.golden)
        return self.lanes

    def check_if_due(self) -> None:
        """:meth:`check_golden`, once the interval has passed. A run that waits calls it; :meth:`answer` does, too."""
        now = time.monotonic()
        if self.golden is not None and now - self._checked_at >= self._golden_every_s:
            self._checked_at = now
            self.golden_repeats += 1
            self.check_golden()

    def preparer(self, *, overlapped: bool = True, limits: DecodeLimits | None = None) -> Preparer:
        """Another first half; hand what it makes to :meth:`answer`. ``overlapped``: for a thread that works ahead.
        ``limits``: other ones than the classifier's."""
        return self._preparer(overlapped=overlapped, limits=limits)

    def _preparer(self, *, overlapped: bool, limits: DecodeLimits | None = None) -> Preparer:
        return Preparer(
            self.bundle.manifest.preprocess,
            gated=self._limits is not None,
            overlapped=overlapped,
            limits=limits or self.decode_limits,
        )

    def classify(self, image: Encoded | Frame) -> Prediction:
        """Classify one image. Raises ImageError, and as :meth:`answer` does."""
        return self.answer(self.own(image))

    def classify_bytes(self, data: bytes, source: str) -> Prediction:
        """Classify an encoded image."""
        return self.classify(Encoded(source, data))

    def classify_frame(self, frame_bgr: Pixels, source: str) -> Prediction:
        """Classify pixels, uint8 BGR ``[H,W,3]``."""
        return self.classify(Frame(source, frame_bgr))

    def answer(self, prepared: Prepared) -> Prediction:
        """Run the network on a prepared image, where it has not run yet, and say what it means.

        Raises AnswerError where anything that it depends on is not a finite number, and GoldenCheckFailed where the
        golden images then show that the fault is the backend's and not the image's.
        """
        self.check_if_due()
        inferred = prepared.inferred or self._inferred(prepared)
        outputs, began = inferred.outputs, time.perf_counter() if prepared.inferred else inferred.end
        if not finite(outputs):
            self.check_golden()
            raise _no_number(prepared.source, "the network gave a value that is not a finite number")
        findings, ood_score = self._gate(outputs, prepared)
        manifest = self.bundle.manifest
        probabilities = calibrated(outputs.logits[0], manifest.temperature, manifest.task)
        score, outcome = None, Outcome.CLASSIFIED
        if manifest.decision is not None:
            score = float(manifest.decision.score(probabilities, manifest.class_ids))
            outcome = manifest.decision.outcome(score)
        if not (np.isfinite(probabilities).all() and (score is None or math.isfinite(score))):
            raise _no_number(prepared.source, "the calibration gave a value that is not a finite number")
        shares = dict(zip(manifest.class_ids, probabilities.tolist(), strict=True))
        done = time.perf_counter()
        latency_ms = prepared.timing.latency_ms(inferred.start, inferred.end, began, done, inferred.measured_ms)
        return Prediction(
            source=prepared.source,
            outcome=Outcome.RETAKE if findings else outcome,
            probabilities=shares,
            score=score,
            logits=np.array(outputs.logits[0]),
            cam=np.array(outputs.cam[0]),
            findings=findings,
            ood_score=ood_score,
            latency_ms=latency_ms,
            origin=self.origin,
            explained=self._explained(shares),
            display=self._display,
        )

    def _inferred(self, prepared: Prepared) -> Inferred:
        start = time.perf_counter()
        outputs = self.backend.infer(prepared.image)
        return Inferred(outputs, start, time.perf_counter(), self.backend.measured_ms)

    def _explained(self, shares: dict[str, float]) -> str:
        """The class that an answer is about: the finding that drives the score, else the likeliest class."""
        decision = self.bundle.manifest.decision
        return decision.driving(shares) if decision else max(shares, key=lambda name: shares[name])

    def _gate(self, outputs: Outputs, prepared: Prepared) -> tuple[tuple[Finding, ...], float | None]:
        """Quality findings and the out-of-distribution score."""
        findings: tuple[Finding, ...] = ()
        if self._limits is not None and prepared.measures is not None:
            findings = quality.judge(prepared.measures, self._limits)
            if not all(math.isfinite(finding.value) for finding in findings):
                raise _no_number(prepared.source, "the quality gate measured a value that is not a finite number")
        if self._ood is None:
            return findings, None
        score = self._ood.score(outputs.features[0])
        if not math.isfinite(score):
            raise _no_number(prepared.source, "the out-of-distribution score is not a finite number")
        if not score <= self._ood.threshold:
            findings = (*findings, quality.strange(score, self._ood.threshold))
        return findings, score

    def close(self) -> None:
        """Close the backend."""
        if self.lanes is not None:
            self.lanes.close()
        self.backend.close()

    def __enter__(self) -> Classifier:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _origin(bundle: Bundle, backend: Backend) -> AnswerOrigin:
    manifest, info = bundle.manifest, backend.info
    decision = manifest.decision
    return AnswerOrigin(
        bundle=bundle.title,
        bundle_name=manifest.name,
        bundle_version=manifest.version.number,
        bundle_hash=bundle.hash,
        bundle_signed_by=bundle.signer,
        backend=info.name,
        precision=info.precision,
        device=info.device,
        host=platform.node(),
        threshold=decision.threshold if decision else None,
        band=decision.band if decision and decision.band[0] < decision.band[1] else None,
        threshold_from=threshold_from(decision),
    )


def _no_number(source: str, what: str) -> AnswerError:
    return AnswerError(f"{source}: {what}", "take the image again; if others fail too, run `fieldlens selftest`")
