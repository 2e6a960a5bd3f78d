"""Video files: every frame, none dropped, decoded into a ring of reused buffers."""

from __future__ import annotations

import os
import time
from collections.abc import Generator
from pathlib import Path

import cv2

from fieldlens.runtime.errors import SourceError
from fieldlens.runtime.files.aside import Aside
from fieldlens.runtime.pixels.preprocess import Pixels
from fieldlens.runtime.sources.item import Frame
from fieldlens.runtime.sources.timing import Timing

VIDEO_SUFFIXES = frozenset({".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg", ".mjpeg", ".mjpg", ".ts"})
_RAW_SUFFIXES = frozenset({".mjpeg", ".mjpg"})
_LARGEST_FRAME = 64_000_000
_BLOCK = 1_000_000


class Video:
    """A video file. ``shortfall`` says after the last frame how many the file had promised beyond that, or 0."""

    def __init__(self, path: Path, ring: int) -> None:
        self._path = path
        self._ring: list[Pixels | None] = [None] * ring
        self.shortfall = 0

    def __iter__(self) -> Generator[Frame, None, None]:
        """A frame is valid until ``ring`` further ones were read. Raises SourceError where there is none at all.

        FFmpeg searches a damaged file for minutes, so a thread of its own calls it.
        """
        try:
            handle = os.open(self._path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            reason = f"{self._path}: cannot be read ({error.strerror})"
            raise SourceError(reason, f"check who may read it: ls -l '{self._path}'") from error
        try:
            yield from self._frames(_openable(self._path, handle))
        finally:
            os.close(handle)

    def _frames(self, name: str) -> Generator[Frame, None, None]:
        number = 0
        if self._path.suffix.lower() not in _RAW_SUFFIXES or _begins_with_jpeg(self._path):
            aside = Aside(f"video {self._path.name}")
            capture = aside(lambda: cv2.VideoCapture(name))
            try:
                while True:
                    place = number % len(self._ring)
                    began = time.perf_counter()
                    found, frame_bgr = aside(lambda: capture.read(self._ring[place]))  # noqa: B023  (made at once)
                    if not found:
                        break
                    self._ring[place] = frame_bgr
                    timing = Timing(began, (time.perf_counter() - began) * 1e3)
                    yield Frame(f"{self._path}#{number}", frame_bgr, timing)
                    number += 1
                promised = aside(lambda: capture.get(cv2.CAP_PROP_FRAME_COUNT))
                self.shortfall = max(0, round(promised) - number)
            finally:
                aside.end(capture.release)
        if number == 0:
            raise SourceError(
                f"{self._path}: not a video that OpenCV can decode, or an empty one", f"try: ffplay '{self._path}'"
            )


def _openable(path: Path, handle: int) -> str:
    """The name under which OpenCV can open the file: a name that is not UTF-8 ends the process in its bindings."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return f"/dev/fd/{handle}"
    return str(path)


def _begins_with_jpeg(path: Path) -> bool:
    """Whether a whole JPEG comes first: FFmpeg would gather gigabytes in memory, looking for its end."""
    try:
        with path.open("rb") as file:
            last, size = b"", 0
            if file.read(2) != b"\xff\xd8":
                return False
            while (block := file.read(_BLOCK)) and size < _LARGEST_FRAME:
                if b"\xff\xd9" in last + block:
                    return True
                last, size = block[-1:], size + len(block)
    except OSError:
        return False
    return False
