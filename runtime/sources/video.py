"""Video files: every frame, none dropped, decoded into a ring of reused buffers."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2

from fieldlens.runtime.errors import SourceError
from fieldlens.runtime.pixels.preprocess import Pixels

VIDEO_SUFFIXES = frozenset({".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg", ".mjpeg", ".mjpg", ".ts"})


@dataclass(frozen=True)
class Frame:
    """Frame ``number``, uint8 BGR ``[H,W,3]``; reading began at ``began`` (perf_counter, s), took ``decode_ms``."""

    number: int
    frame_bgr: Pixels
    began: float
    decode_ms: float


class Video:
    """A video file. ``shortfall`` says after the last frame how many the file had promised beyond that, or 0."""

    def __init__(self, path: Path, ring: int) -> None:
        self._path = path
        self._ring: list[Pixels | None] = [None] * ring
        self.shortfall = 0

    def __iter__(self) -> Iterator[Frame]:
        """A frame is valid until ``ring`` further ones were read. Raises SourceError where there is none at all."""
        capture = cv2.VideoCapture(str(self._path))
        number = 0
        try:
            while True:
                place = number % len(self._ring)
                began = time.perf_counter()
                found, frame_bgr = capture.read(self._ring[place])
                if not found:
                    break
                self._ring[place] = frame_bgr
                yield Frame(number, frame_bgr, began, (time.perf_counter() - began) * 1e3)
                number += 1
            self.shortfall = max(0, round(capture.get(cv2.CAP_PROP_FRAME_COUNT)) - number)
        finally:
            capture.release()
        if number == 0:
            raise SourceError(
                f"{self._path}: not a video that OpenCV can decode, or an empty one", f"try: ffplay '{self._path}'"
            )
