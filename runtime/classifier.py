"""From bytes or a frame to a Prediction, with the time of each stage."""

from __future__ import annotations

import time
from dataclasses import dataclass
from types import TracebackType

import numpy as np

from runtime import quality
from runtime.backends.base import Backend, Outputs
from runtime.bundle import Bundle
from runtime.decision import Outcome, calibrated
from runtime.ood import load_ood
from runtime.prediction import Finding, Prediction
from runtime.preprocess import Pixels, Preprocess


@dataclass(frozen=True)
class Answered:
    """A prediction, and the upright picture it was made from (valid until the next call)."""

    prediction: Prediction
    pixels: Pixels
    bgr: bool

    @property
    def pixels_rgb(self) -> Pixels:
        """The picture as RGB, whatever it came as."""
        return self.pixels[..., ::-1] if self.bgr else self.pixels


class Classifier:
    """One bundle on one loaded backend. Owns the backend and closes it; one thread at a time."""

    def __init__(self, bundle: Bundle, backend: Backend) -> None:
        self.bundle = bundle
        self.backend = backend
        self.preprocess = Preprocess(bundle.manifest.preprocess)
        self._limits = quality.limits_from_json(bundle.manifest.quality)
        self._ood = load_ood(bundle)
        self._tensor = self.preprocess.empty()
        for _ in range(2):  # the first runs of any backend allocate; no picture should pay for that
            backend.infer(self._tensor)

    def classify_bytes(self, data: bytes, source: str, read_ms: float = 0.0) -> Answered:
        """Classify an encoded image. ``read_ms`` (reading the file) counts as decode. Raises ImageError."""
        start = time.perf_counter()
        decoded = self.preprocess.decode(data, source)
        ready = time.perf_counter()
        self.preprocess(decoded.pixels, self._tensor[0])
        side = min(decoded.header.width, decoded.header.height)
        prediction = self._answer(source, side, read_ms + _ms(start, ready), ready)
        return Answered(prediction, decoded.pixels, bgr=False)

    def classify_frame(self, frame_bgr: Pixels, source: str, decode_ms: float = 0.0) -> Answered:
        """Classify a camera's or video's frame, uint8 BGR ``[H,W,3]``; ``decode_ms`` was spent on getting it."""
        ready = time.perf_counter()
        self.preprocess.frame(frame_bgr, self._tensor[0])
        return Answered(self._answer(source, min(frame_bgr.shape[:2]), decode_ms, ready), frame_bgr, bgr=True)

    def _answer(self, source: str, side: int, decode_ms: float, ready: float) -> Prediction:
        """The tensor is filled (its work began at ``ready``): run the network and say what it means."""
        prepared = time.perf_counter()
        outputs = self.backend.infer(self._tensor)
        inferred = time.perf_counter()
        findings, ood_score = self._gate(outputs, side)
        manifest = self.bundle.manifest
        probabilities = calibrated(outputs.logits[0], manifest.temperature, manifest.task)
        score, outcome = None, Outcome.CLASSIFIED
        if manifest.decision is not None:
            score = float(manifest.decision.score(probabilities, manifest.class_ids))
            outcome = manifest.decision.outcome(score)
        done = time.perf_counter()
        latency_ms = {
            "decode": decode_ms,
            "preprocess": _ms(ready, prepared),
            "inference": _ms(prepared, inferred),
            "postprocess": _ms(inferred, done),
            "total": decode_ms + _ms(ready, done),
        }
        return Prediction(
            source=source,
            outcome=Outcome.RETAKE if findings else outcome,
            probabilities=dict(zip(manifest.class_ids, probabilities.tolist(), strict=True)),
            score=score,
            logits=np.array(outputs.logits[0]),
            cam=np.array(outputs.cam[0]),
            findings=findings,
            ood_score=ood_score,
            latency_ms=latency_ms,
            backend=self.backend.info.name,
            precision=self.backend.info.precision,
            bundle=self.bundle.title,
        )

    def _gate(self, outputs: Outputs, side: int) -> tuple[tuple[Finding, ...], float | None]:
        """Quality findings and the out-of-distribution score."""
        findings: tuple[Finding, ...] = ()
        if self._limits is not None:
            findings = quality.judge(quality.measure(self._tensor[0], side), self._limits)
        if self._ood is None:
            return findings, None
        score = self._ood.score(outputs.features[0])
        if score > self._ood.threshold:
            findings = (*findings, quality.strange(score, self._ood.threshold))
        return findings, score

    def close(self) -> None:
        """Close the backend."""
        self.backend.close()

    def __enter__(self) -> Classifier:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _ms(start: float, end: float) -> float:
    return (end - start) * 1e3
