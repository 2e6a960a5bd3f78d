"""All inputs of a run, one after the other: files, folders, globs, lists on standard input, videos, cameras."""

from __future__ import annotations

import contextlib
import glob
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from fieldlens.runtime.errors import KitError, SourceError
from fieldlens.runtime.pixels.preprocess import Pixels
from fieldlens.runtime.prediction import Notice
from fieldlens.runtime.sources.cameras.address import (
    Address,
    looks_like_login,
    parse_address,
    stable_name,
    without_password,
)
from fieldlens.runtime.sources.cameras.camera import Camera, CameraLog
from fieldlens.runtime.sources.cameras.link import Link
from fieldlens.runtime.sources.cameras.open_link import open_link
from fieldlens.runtime.sources.folder import IMAGE_SUFFIXES, FolderWatch, images_in, natural
from fieldlens.runtime.sources.path_list import paths_from
from fieldlens.runtime.sources.regular import FILE, FOLDER, MISSING, kind_of, read_image
from fieldlens.runtime.sources.video import VIDEO_SUFFIXES, Video

_LAST = "name it last, or start one run per camera"
_TICK_S = 0.5
"""How long a wait for a camera or a line lasts before the run may look whether it is to end."""


@dataclass(frozen=True)
class Item:
    """One image to classify: a file that is not read yet (``path``), an encoded image (``data``) or a frame
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
    """All sources of a run, in the order given; a camera, which never ends, may only be the last of them, or the last
    line of a list on standard input.

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
                raise SourceError(f"{without_password(name)}: a camera never ends, so nothing can come after it", _LAST)
        self._camera = addresses[-1] if addresses else None
        self._names = names[:-1] if self._camera else names
        self._watched = [Path(name) for name in self._names if watch and kind_of(name) == FOLDER]
        self._watch: FolderWatch | None = None
        if watch and (self._camera or not self._watched):
            raise SourceError("--watch needs a folder, and no camera", "give the folder into which the images come")

    @property
    def dropped(self) -> int:
        """Camera frames that were never looked at."""
        return sum(camera.dropped for camera in self.cameras)

    def stored(self, ring: int = 1) -> Iterator[Item | None]:
        """Everything but the camera; files are named, not read. None twice a second while there is nothing.

        A video's frame is valid until ``ring`` further items were taken.
        """
        for place, name in enumerate(self._names, 1):
            if name == "-":
                yield from self._listed(ring, last=place == len(self._names) and not self._watched)
            elif Path(name) not in self._watched:
                yield from self._open(name, ring)
        if self._watched:
            self._watch = FolderWatch(self._watched)
            with contextlib.closing(iter(self._watch)) as paths:
                yield from (path if path is None else Item(str(path), path=path) for path in paths)

    def unfinished(self) -> list[Item]:
        """Of a run that has ended: the images of watched folders that were not complete by then, as errors."""
        paths = self._watch.unfinished if self._watch else []
        hint = "copy it again, or under another name (.part) until it is complete"
        return [_bad(str(path), f"{path}: not complete when the run ended", hint) for path in paths]

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

    def _listed(self, ring: int, *, last: bool) -> Iterator[Item | None]:
        """What a list on standard input names. A camera ends it; what had come behind it by then is refused."""
        for line in paths_from(self._input_fd, _TICK_S):
            if line is None:
                yield None
                if self._camera is not None and last:
                    return
            elif line:
                yield from self._named(line, ring, last=last)

    def _named(self, line: str, ring: int, *, last: bool) -> Iterator[Item]:
        """One line of a list."""
        try:
            address = parse_address(line)
        except SourceError as error:
            yield Item(without_password(line), error=error)
            return
        if self._camera is not None or (address is not None and not last):
            shown = without_password(line)
            yield _bad(shown, f"{shown}: a camera never ends, so nothing can come after it", _LAST)
        elif address is not None:
            self._camera = address
        else:
            yield from self._open(line, ring)

    def _open(self, name: str, ring: int) -> Iterator[Item]:
        kind = kind_of(name)
        if kind == FOLDER:
            yield from self._folder(Path(name))
        elif kind == FILE and Path(name).suffix.lower() in VIDEO_SUFFIXES:
            yield from self._video(Path(name), ring)
        elif kind == MISSING and glob.has_magic(name):
            yield from self._glob(name, ring)
        elif kind == MISSING and looks_like_login(name):
            shown = without_password(f"camera://{name}").removeprefix("camera://")
            yield _bad(shown, f"{shown}: there is no such file", "a camera's address begins with rtsp:// or http://")
        else:
            yield Item(name, path=Path(name))

    def _folder(self, folder: Path) -> Iterator[Item]:
        failed: list[OSError] = []
        images, others = images_in(folder, failed.append)
        for error in failed:
            place = str(error.filename)
            yield _bad(place, f"{place}: cannot be looked into ({error.strerror})", f"check: ls -ld '{place}'")
        if others:
            self.notes.append(f"{folder}: files left out because their names are not of images: {others}")
        if not images and not failed:
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
            with contextlib.closing(iter(video)) as frames:
                for frame in frames:
                    yield Item(
                        f"{path}#{frame.number}",
                        frame_bgr=frame.frame_bgr,
                        acquired_ms=frame.decode_ms,
                        began=frame.began,
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
        data = read_image(item.path)
    except SourceError as error:
        return Item(item.source, error=error)
    return replace(item, path=None, data=data, acquired_ms=(time.perf_counter() - start) * 1e3)


def describe(names: Iterable[str]) -> str:
    """The sources for a report's heading."""
    return ", ".join("standard input" if name == "-" else without_password(name) for name in names)


def _bad(source: str, message: str, hint: str) -> Item:
    return Item(source, error=SourceError(message, hint))
