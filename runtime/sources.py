"""Where pictures come from: files, folders, globs, lists on standard input, videos, cameras."""

from __future__ import annotations

import glob
import re
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2

from runtime.camera import Camera
from runtime.errors import ImageError, KitError, SourceError
from runtime.preprocess import Pixels

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp"})
VIDEO_SUFFIXES = frozenset({".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg", ".mjpeg", ".mjpg", ".ts"})


@dataclass(frozen=True)
class Item:
    """One picture to classify: an encoded file (``data``) or a frame, with the ms spent on getting it; or an error."""

    source: str
    data: bytes | None = None
    frame_bgr: Pixels | None = None
    acquired_ms: float = 0.0
    error: KitError | None = None


class Sources:
    """All sources of a run, in the order given. ``dropped`` counts camera frames that were never looked at."""

    def __init__(self, names: list[str]) -> None:
        self._names = names
        self.dropped = 0
        self.notes: list[str] = []

    def __iter__(self) -> Iterator[Item]:
        for name in self._names:
            if name == "-":
                for line in sys.stdin:
                    if path := line.rstrip("\r\n"):
                        yield from self._open(path)
            else:
                yield from self._open(name)

    def _open(self, name: str) -> Iterator[Item]:
        if (device := _camera_index(name)) is not None:
            return self._camera(name, device)
        path = Path(name)
        if path.is_dir():
            return self._folder(path)
        if path.suffix.lower() in VIDEO_SUFFIXES and path.exists():
            return _video(path)
        if not path.exists() and glob.has_magic(name):
            return self._glob(name)
        return iter([_read(path)])

    def _folder(self, folder: Path) -> Iterator[Item]:
        files = sorted(
            (p for p in folder.rglob("*") if p.is_file() and not p.name.startswith(".")), key=lambda p: natural(str(p))
        )
        images = [path for path in files if path.suffix.lower() in IMAGE_SUFFIXES]
        if len(files) > len(images):
            self.notes.append(f"{folder}: {len(files) - len(images)} files that are not images by name were left out")
        if not images:
            endings = " ".join(sorted(IMAGE_SUFFIXES))
            yield _bad(str(folder), f"{folder}: no images in this folder", f"images end in {endings}")
        yield from map(_read, images)

    def _glob(self, pattern: str) -> Iterator[Item]:
        matches = sorted(glob.glob(pattern, recursive=True), key=natural)  # noqa: PTH207  (absolute patterns, too)
        if not matches:
            yield _bad(pattern, f"{pattern}: nothing matches", "check the pattern, and quote it for the shell")
        for match in matches:
            yield from self._open(match)

    def _camera(self, name: str, device: str) -> Iterator[Item]:
        with Camera(device) as camera:
            number = 0
            try:
                while True:
                    shot = camera.newest()
                    yield Item(f"{name}#{number}", frame_bgr=shot.frame_bgr, acquired_ms=shot.acquired_ms)
                    number += 1
            finally:
                self.dropped += camera.dropped


def natural(text: str) -> list[tuple[int, str]]:
    """Sort key that puts ``2.jpg`` before ``10.jpg``."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", text)]


def describe(names: Iterable[str]) -> str:
    """The sources for a report's heading."""
    return ", ".join("standard input" if name == "-" else name for name in names)


def _camera_index(name: str) -> str | None:
    """``v4l2://0`` → ``/dev/video0``; a device path stays; anything else is no camera. Raises SourceError."""
    scheme, found, rest = name.partition("://")
    if not found:
        return name if re.match(r"/dev/(video\d+|v4l/)", name) else None
    if scheme != "v4l2":
        raise SourceError(f"{name}: unknown kind of source {scheme!r}", "give a file, a folder or v4l2://N")
    return f"/dev/video{rest}" if rest.isdigit() else rest


def _bad(source: str, message: str, hint: str) -> Item:
    return Item(source, error=SourceError(message, hint))


def _read(path: Path) -> Item:
    """All bytes of a file, timed; the error of a file that cannot be read is its item."""
    start = time.perf_counter()
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return _bad(str(path), f"{path}: there is no such file", "check the path")
    except OSError as error:
        return _bad(str(path), f"{path}: cannot be read ({error.strerror})", "check the file's permissions")
    return Item(str(path), data=data, acquired_ms=(time.perf_counter() - start) * 1e3)


def _video(path: Path) -> Iterator[Item]:
    """Every frame of a video file, none dropped."""
    capture = cv2.VideoCapture(str(path))
    try:
        number = 0
        while True:
            start = time.perf_counter()
            found, frame_bgr = capture.read()
            if not found:
                break
            elapsed_ms = (time.perf_counter() - start) * 1e3
            yield Item(f"{path}#{number}", frame_bgr=frame_bgr, acquired_ms=elapsed_ms)
            number += 1
        if number == 0:
            reason = ImageError(f"{path}: not a video that OpenCV can decode, or an empty one", "try to play the file")
            yield Item(str(path), error=reason)
    finally:
        capture.release()
