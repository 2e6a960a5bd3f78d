"""All inputs of a run, one after the other: files, folders, globs, lists on standard input, videos, cameras."""

from __future__ import annotations

import glob
import os
import select
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from fieldlens.runtime.errors import KitError, SourceError
from fieldlens.runtime.pixels.preprocess import Pixels
from fieldlens.runtime.prediction import Notice
from fieldlens.runtime.sources.cameras.address import Address, parse_address, stable_name, without_password
from fieldlens.runtime.sources.cameras.camera import Camera, CameraLog
from fieldlens.runtime.sources.cameras.link import Link
from fieldlens.runtime.sources.cameras.open_link import open_link
from fieldlens.runtime.sources.folder import IMAGE_SUFFIXES, FolderWatch, images_in, natural
from fieldlens.runtime.sources.video import VIDEO_SUFFIXES, Video

_BLOCK = 65_536
_TICK_S = 0.5
"""How long a wait for a camera or a line lasts before the run may look whether it is to end."""


@dataclass(frozen=True)
class Item:
    """One picture to classify: a file that is not read yet (``path``), an encoded image (``data``) or a frame
    (``frame_bgr``), with the ms spent on getting it; or an error; or news of a camera.

    ``began`` (perf_counter, s) is when the work on a video's frame began, ``captured_at`` (monotonic, s) when a camera
    took it. ``refuse`` tells a camera that its frame could not be decoded.
    """

    source: str
    path: Path | None = None
    data: bytes | None = None
    frame_bgr: Pixels | None = None
    acquired_ms: float = 0.0
    began: float | None = None
    captured_at: float | None = None
    error: KitError | None = None
    notice: Notice | None = None
    refuse: Callable[[], None] | None = None


class Sources:
    """All sources of a run, in the order given; a camera, which never ends, may only be the last of them.

    Raises SourceError for names that cannot be meant. ``watch``: go on with the new images of the folders.
    """

    def __init__(
        self,
        names: list[str],
        *,
        watch: bool = False,
        input_fd: int = 0,
        opener: Callable[[Address], Link] = open_link,
    ) -> None:
        self.notes: list[str] = []
        self.cameras: list[CameraLog] = []
        self._input_fd = input_fd
        self._opener = opener
        addresses = [parse_address(name) for name in names]
        for name, address in zip(names[:-1], addresses[:-1], strict=True):
            if address is not None:
                raise SourceError(
                    f"{without_password(name)}: a camera never ends, so nothing can come after it",
                    "name it last, or start one run per camera",
                )
        self._camera = addresses[-1] if addresses else None
        self._names = names[:-1] if self._camera else names
        self._watched = [Path(name) for name in self._names if watch and Path(name).is_dir()]
        if watch and (self._camera or not self._watched):
            raise SourceError("--watch needs a folder, and no camera", "give the folder into which the pictures come")

    @property
    def dropped(self) -> int:
        """Camera frames that were never looked at."""
        return sum(camera.dropped for camera in self.cameras)

    def stored(self, ring: int = 1) -> Iterator[Item | None]:
        """Everything but the camera; files are named, not read. None twice a second while there is nothing.

        A video's frame is valid until ``ring`` further items were taken.
        """
        for name in self._names:
            if name == "-":
                for line in self._lines():
                    if line is None:
                        yield None
                    elif line:
                        yield from self._open(line, ring)
            elif Path(name) not in self._watched:
                yield from self._open(name, ring)
        if self._watched:
            yield from (path if path is None else Item(str(path), path=path) for path in FolderWatch(self._watched))

    def live(self) -> Iterator[Item | None]:
        """The camera's newest frames and its news, for ever; nothing where no camera was named."""
        if self._camera is None:
            return
        name = self._camera.name
        if self._camera.kind == "v4l2" and (stable := stable_name(self._camera.target)):
            self.notes.append(f"{name} is {stable}: that name stays when cameras are plugged in another order")
        with Camera(self._camera, self._opener) as camera:
            self.cameras.append(camera.log)
            while True:
                got = camera.take(_TICK_S)
                if isinstance(got, Notice):
                    yield Item(name, notice=got)
                elif got is None:
                    yield None
                else:
                    yield Item(
                        f"{name}#{got.number}", data=got.data, frame_bgr=got.frame_bgr, acquired_ms=got.decode_ms,
                        captured_at=got.captured_at, refuse=camera.refuse,
                    )  # fmt: skip

    def __iter__(self) -> Iterator[Item]:
        """Everything, one after the other, files read."""
        for part in (self.stored(), self.live()):
            yield from (loaded(item) for item in part if item is not None)

    def _lines(self) -> Iterator[str | None]:
        """Lines of standard input. Read with ``select``, so that a run can end while nobody writes."""
        pending = b""
        while True:
            ready, _, _ = select.select([self._input_fd], [], [], _TICK_S)
            if not ready:
                yield None
                continue
            block = os.read(self._input_fd, _BLOCK)
            pending += block
            *lines, pending = pending.split(b"\n")
            yield from (os.fsdecode(line).rstrip("\r") for line in lines)
            if not block:
                yield os.fsdecode(pending)
                return

    def _open(self, name: str, ring: int) -> Iterator[Item]:
        path = Path(name)
        if path.is_dir():
            yield from self._folder(path)
        elif path.suffix.lower() in VIDEO_SUFFIXES and path.exists():
            yield from self._video(path, ring)
        elif not path.exists() and glob.has_magic(name):
            yield from self._glob(name, ring)
        else:
            yield Item(name, path=path)

    def _folder(self, folder: Path) -> Iterator[Item]:
        images, others = images_in(folder)
        if others:
            self.notes.append(f"{folder}: files left out because their names are not of images: {others}")
        if not images:
            endings = " ".join(sorted(IMAGE_SUFFIXES))
            yield _bad(str(folder), f"{folder}: no images in this folder", f"images end in {endings}")
        yield from (Item(str(path), path=path) for path in images)

    def _glob(self, pattern: str, ring: int) -> Iterator[Item]:
        matches = sorted(glob.glob(pattern, recursive=True), key=natural)  # noqa: PTH207  (absolute patterns, too)
        if not matches:
            yield _bad(pattern, f"{pattern}: nothing matches", "check the pattern, and quote it for the shell")
        for match in matches:
            yield from self._open(match, ring)

    def _video(self, path: Path, ring: int) -> Iterator[Item]:
        video = Video(path, ring)
        try:
            for frame in video:
                yield Item(
                    f"{path}#{frame.number}", frame_bgr=frame.frame_bgr, acquired_ms=frame.decode_ms, began=frame.began
                )
        except SourceError as error:
            yield Item(str(path), error=error)
        if video.shortfall:
            self.notes.append(f"{path}: ended {video.shortfall} frames before it said it would: cut short or damaged")


def loaded(item: Item) -> Item:
    """The item with its file read, timed; a file that cannot be read becomes its error."""
    if item.path is None:
        return item
    start = time.perf_counter()
    try:
        data = item.path.read_bytes()
    except FileNotFoundError:
        return _bad(item.source, f"{item.path}: there is no such file", "check the path")
    except OSError as error:
        return _bad(
            item.source,
            f"{item.path}: cannot be read ({error.strerror})",
            f"check who may read it: ls -l '{item.path}'",
        )
    return replace(item, path=None, data=data, acquired_ms=(time.perf_counter() - start) * 1e3)


def describe(names: Iterable[str]) -> str:
    """The sources for a report's heading."""
    return ", ".join("standard input" if name == "-" else without_password(name) for name in names)


def _bad(source: str, message: str, hint: str) -> Item:
    return Item(source, error=SourceError(message, hint))
