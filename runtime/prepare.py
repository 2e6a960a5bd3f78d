"""The first half of an answer: from bytes or a frame to the tensor that the network takes. Any thread may do it."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fieldlens.runtime.pixels.decode_limits import DecodeLimits
from fieldlens.runtime.pixels.preprocess import Pixels, Preprocess
from fieldlens.runtime.pixels.steps import Step
from fieldlens.runtime.quality import measures as quality


@dataclass(frozen=True)
class Prepared:
    """An image ready for the network; its arrays are valid until its Preparer prepares the next one.

    ``image`` is uint8 ``[1,S,S,3]`` RGB, ``pixels`` the upright image it was made from. ``measures``: of its
    quality, taken here because the image is still in the cache, and the thread may be one that works ahead. ``began``
    (``time.perf_counter``, seconds) is when the bytes or the frame were at hand, less the time it took to read them.
    ``age_ms`` is how old a camera's frame was then. ``overlapped``: made by another thread, so that it may have waited
    for its turn.
    """

    source: str
    image: npt.NDArray[np.uint8]
    pixels: Pixels
    bgr: bool
    measures: quality.Measures | None
    decode_ms: float
    preprocess_ms: float
    began: float
    age_ms: float | None = None
    overlapped: bool = False


class Preparer:
    """The manifest's preprocess with buffers of its own: one for every thread or place in a queue."""

    def __init__(
        self,
        steps: tuple[Step, ...],
        *,
        gated: bool = True,
        overlapped: bool = False,
        limits: DecodeLimits | None = None,
    ) -> None:
        """``gated``: the quality of the images is to be measured. ``limits``: what decoding one may cost."""
        self.preprocess = Preprocess(steps, limits)
        self.image = self.preprocess.empty()
        self._gated, self._overlapped = gated, overlapped

    def _measures(self, height: int, width: int) -> quality.Measures | None:
        return quality.measure(self.image[0], min(height, width)) if self._gated else None

    def from_bytes(self, data: bytes, source: str, read_ms: float = 0.0, captured_at: float | None = None) -> Prepared:
        """An encoded image. ``read_ms`` (reading the file) counts as decode. Raises ImageError."""
        start = time.perf_counter()
        age_ms = _age_ms(captured_at)
        decoded = self.preprocess.decode(data, source)
        ready = time.perf_counter()
        self.preprocess(decoded.pixels, self.image[0])
        return Prepared(
            source=source,
            image=self.image,
            pixels=decoded.pixels,
            bgr=False,
            measures=self._measures(decoded.header.height, decoded.header.width),
            decode_ms=read_ms + (ready - start) * 1e3,
            preprocess_ms=(time.perf_counter() - ready) * 1e3,
            began=start - read_ms / 1e3,
            age_ms=age_ms,
            overlapped=self._overlapped,
        )

    def from_frame(
        self,
        frame_bgr: Pixels,
        source: str,
        decode_ms: float = 0.0,
        captured_at: float | None = None,
        began: float | None = None,
    ) -> Prepared:
        """A camera's or video's frame, uint8 BGR ``[H,W,3]``; ``decode_ms`` was spent on getting it, from ``began``."""
        start = time.perf_counter()
        age_ms = _age_ms(captured_at)
        self.preprocess.frame(frame_bgr, self.image[0])
        return Prepared(
            source=source,
            image=self.image,
            pixels=frame_bgr,
            bgr=True,
            measures=self._measures(*frame_bgr.shape[:2]),
            decode_ms=decode_ms,
            preprocess_ms=(time.perf_counter() - start) * 1e3,
            began=start - decode_ms / 1e3 if began is None else began,
            age_ms=age_ms,
            overlapped=self._overlapped,
        )


def _age_ms(captured_at: float | None) -> float | None:
    """``captured_at`` is in ``time.monotonic`` seconds."""
    return None if captured_at is None else (time.monotonic() - captured_at) * 1e3
