"""The first half of an answer: from an image to the tensor that the network takes. Any thread may do it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fieldlens.runtime.backends.lanes import Inferred
from fieldlens.runtime.pixels.decode_limits import DecodeLimits
from fieldlens.runtime.pixels.preprocess import Pixels, Preprocess
from fieldlens.runtime.pixels.steps import Step
from fieldlens.runtime.quality import measures as quality
from fieldlens.runtime.sources.item import Encoded, Frame
from fieldlens.runtime.sources.timing import Timing


@dataclass(frozen=True)
class Prepared:
    """An image ready for the network; its arrays are valid until its Preparer prepares the next one.

    ``image`` is uint8 ``[1,S,S,3]`` RGB, ``pixels`` the upright image it was made from. ``measures``: of its
    quality, taken here because the image is still in the cache, and the thread may be one that works ahead.
    """

    source: str
    image: npt.NDArray[np.uint8]
    pixels: Pixels
    bgr: bool
    measures: quality.Measures | None
    timing: Timing
    inferred: Inferred | None = None
    """What the network gave, where a thread that works ahead has run it, too."""

    @property
    def pixels_rgb(self) -> Pixels:
        """The upright image as RGB, whatever it came as."""
        return self.pixels[..., ::-1] if self.bgr else self.pixels


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

    def __call__(self, image: Encoded | Frame) -> Prepared:
        """Decode and resize. Raises ImageError."""
        timing = image.timing.taken_up(overlapped=self._overlapped)
        return self._frame(image, timing) if isinstance(image, Frame) else self._encoded(image, timing)

    def _encoded(self, image: Encoded, timing: Timing) -> Prepared:
        decoded = self.preprocess.decode(image.data, image.source)
        timing = timing.decoded()
        self.preprocess(decoded.pixels, self.image[0])
        measures = self._measures(decoded.header.height, decoded.header.width)
        return Prepared(image.source, self.image, decoded.pixels, False, measures, timing.preprocessed())

    def _frame(self, image: Frame, timing: Timing) -> Prepared:
        self.preprocess.frame(image.frame_bgr, self.image[0])
        measures = self._measures(*image.frame_bgr.shape[:2])
        return Prepared(image.source, self.image, image.frame_bgr, True, measures, timing.preprocessed())

    def _measures(self, height: int, width: int) -> quality.Measures | None:
        return quality.measure(self.image[0], min(height, width)) if self._gated else None
