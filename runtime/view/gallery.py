"""Small images with their heat maps for a report: as many as can be mailed, those that need a person first."""

from __future__ import annotations

import base64
import heapq
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
import simplejpeg

from fieldlens.runtime.bundle.decision import Outcome
from fieldlens.runtime.classifier import Classifier
from fieldlens.runtime.output.rows import ORDER
from fieldlens.runtime.pixels.drawing import blend, small
from fieldlens.runtime.pixels.preprocess import Pixels
from fieldlens.runtime.prediction import Prediction
from fieldlens.runtime.prepare import Prepared

MOST_IMAGES = 200
MOST_BYTES = 8_000_000
"""Of all images as they stand in the page: with its table it stays below 10 MB."""
_SIDE = 240
_QUALITY = 80


@dataclass(frozen=True)
class Thumbnail:
    """One image of the gallery: a JPEG in base64, its heat map (if it may have one) beside it."""

    source: str
    outcome: str
    words: str
    jpeg_base64: str


class Gallery:
    """Keeps at most MOST_IMAGES, and MOST_BYTES of them; what matters less goes first."""

    def __init__(self, classifier: Classifier, most: int = MOST_IMAGES, most_bytes: int = MOST_BYTES) -> None:
        self._classifier = classifier
        self._most, self._most_bytes = most, most_bytes
        self._kept: list[tuple[int, int, Thumbnail]] = []
        self._bytes = 0
        self.seen = 0

    def picture(self, prediction: Prediction, prepared: Prepared) -> None:
        """Take one answer with its image; drawn only where it has a place."""
        self.seen += 1
        rank = -ORDER.index(str(prediction.outcome))
        full = len(self._kept) >= self._most or self._bytes >= self._most_bytes
        if full and self._kept and (rank, -self.seen) < self._kept[0][:2]:
            return
        thumbnail = _drawn(prediction, self._classifier.preprocess.view(prepared.pixels_rgb))
        heapq.heappush(self._kept, (rank, -self.seen, thumbnail))
        self._bytes += len(thumbnail.jpeg_base64)
        while len(self._kept) > self._most or self._bytes > self._most_bytes:
            self._bytes -= len(heapq.heappop(self._kept)[2].jpeg_base64)

    def thumbnails(self) -> tuple[Thumbnail, ...]:
        """What was kept: what needs a person first, then in the order of the run."""
        return tuple(kept[2] for kept in sorted(self._kept, key=lambda kept: kept[:2], reverse=True))


def _drawn(prediction: Prediction, view_rgb: Pixels) -> Thumbnail:
    image: npt.NDArray[np.uint8] = small(view_rgb)
    if prediction.outcome is not Outcome.RETAKE:
        share = prediction.probabilities[prediction.explained or prediction.label]
        if not prediction.no_heatmap:
            image = np.hstack([image, blend(image, prediction.heatmap() * np.float32(share))])  # 0% does not glow
    height, width = image.shape[:2]
    shrunk = cv2.resize(image, (width * _SIDE // height, _SIDE), interpolation=cv2.INTER_AREA)
    data = simplejpeg.encode_jpeg(np.ascontiguousarray(shrunk), quality=_QUALITY, colorsubsampling="420")
    words = prediction.words()
    if prediction.outcome is not Outcome.RETAKE and prediction.no_heatmap:
        words = f"{words} ({prediction.no_heatmap})"
    return Thumbnail(prediction.source, str(prediction.outcome), words, base64.b64encode(data).decode())
