"""All inputs of a run, one after the other: files, folders, globs, lists on standard input, videos, cameras."""

from __future__ import annotations

import contextlib
import functools
import glob
from collections.abc import Callable, Generator, Iterable, Iterator
from pathlib import Path
from typing import TypeVar

import cv2

from fieldlens.runtime.errors import SourceError
from fieldlens.runtime.files.private_names import PrivateNames
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
from fieldlens.runtime.sources.dicom import DicomSource
from fieldlens.runtime.sources.folder import FolderWatch
from fieldlens.runtime.sources.item import Broken, File, Item, News, ReadItem, loaded
from fieldlens.runtime.sources.journal import Journal
from fieldlens.runtime.sources.path_list import ONE_A_LINE, paths_from
from fieldlens.runtime.sources.regular import FILE, FOLDER, MISSING, kind_of
from fieldlens.runtime.sources.video import VIDEO_SUFFIXES, Video
from fieldlens.runtime.sources.walk import IMAGE_SUFFIXES, natural, walk

T = TypeVar("T")
_LAST = "name it last, or start one run per camera"
_TICK_S = 0.5
"""How long a wait for a camera or a line lasts before the run may look whether it is to end."""


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
        private: PrivateNames | None = None,
    ) -> None:
        """``private``: how names of DICOM files are written that carry a patient (default: another way each time)."""
        self.notes: list[str] = []
        self.cameras: list[CameraLog] = []
        self.private = private or PrivateNames()
        self._input_fd = input_fd
        self._opener = opener
        if not all(names):
            hint = "an unset variable of the shell? The current folder is written as ."
            raise SourceError("a source without a name", hint)
        addresses = [parse_address(name) for name in names]
        for name, address in zip(names[:-1], addresses[:-1], strict=True):
            if address is not None:
                raise SourceError(f"{without_password(name)}: a camera never ends, so nothing can come after it", _LAST)
        self._camera = addresses[-1] if addresses else None
        self._names = names[:-1] if self._camera else names
        self._watched = [Path(name) for name in self._names if watch and kind_of(name) == FOLDER]
        self._watch: FolderWatch | None = None
        self._journal: Journal | None = None
        if watch and (self._camera or not self._watched):
            raise SourceError("--watch needs a folder, and no camera", "give the folder into which the images come")

    @property
    def camera(self) -> str:
        """The camera's name; empty without one."""
        return self._camera.name if self._camera else ""

    @property
    def awaited(self) -> bool:
        """Whether somebody may wait for each answer, because the images come one by one: watched folders, and lists
        on standard input."""
        return bool(self._watched or "-" in self._names)

    @functools.cached_property
    def _dicom(self) -> DicomSource:
        return DicomSource(self.private)

    @property
    def dropped(self) -> int:
        """Camera frames that were never looked at."""
        return sum(camera.dropped for camera in self.cameras)

    def stored(self, ring: int = 1) -> Generator[Item | None, None, None]:
        """Everything but the camera; files are named, not read. None twice a second while there is nothing.

        A video's frame is valid until ``ring`` further items were taken.
        """
        for place, name in enumerate(self._names, 1):
            if name == "-":
                listed = self._listed(ring, last=place == len(self._names) and not self._watched)
                yield from _whole("standard input", listed)
            elif Path(name) not in self._watched:
                yield from self._open(name, ring)
        if self._watched:
            self._watch = FolderWatch(self._watched, journal=self._journal, hashed=self._hashed)
            with contextlib.closing(iter(self._watch)) as paths:
                for path in paths:
                    yield from (None,) if path is None else self._seen(self._watch, path)

    def _seen(self, watch: FolderWatch, path: Path) -> Iterator[Item]:
        """The items of a file that came into a watched folder."""
        private = self._dicom.takes(path)
        items = iter(self._file(path, self._root_of(path)))
        item = next(items, None)
        while item is not None:
            following = next(items, None)
            source = str(path) if isinstance(item, News) else item.source
            watch.gives(path, source, last=following is None, private=private or source != str(path))
            yield item
            item = following

    def _hashed(self, path: str) -> str:
        return f"dicom:{self.private.hashed(path)}"

    def keep_journal(self, state: Path, results: Iterable[Path]) -> None:
        """Go on where an earlier run with the same watched folders and ``results`` was ended."""
        if self._watched:
            self._journal = Journal(state, self._watched, results)

    def begin(self, source: str, *, private: bool = False) -> bool:
        """A result is about to be written; whether it may have been written before (:class:`Journal`). ``private``: the
        item's name may be a patient's."""
        return self._watch is not None and self._watch.begin(source, private=private)

    def done(self, source: str) -> None:
        """A result is written."""
        if self._watch is not None:
            self._watch.done(source)

    def unfinished(self) -> list[Broken]:
        """Of a run that has ended: the images of watched folders that were not complete by then, and folders that
        could not be looked into; the notes get what was left out."""
        paths = self._watch.unfinished if self._watch else []
        hint = "copy it again, or under another name (.part) until it is complete"
        walks = self._watch.walks.values() if self._watch else ()
        self.notes += [note for found in walks for note in found.notes()]
        closed = [item for found in walks for item in self._closed(found.failed)]
        # What is beside DICOM files may lie in folders that are called after a patient.
        self.notes = [self._dicom.names.known_in(note) for note in self.notes] + self._dicom.notes()
        return [*closed, *(_bad(str(path), f"{path}: not complete when the run ended", hint) for path in paths)]

    def live(self) -> Iterator[Item | None]:
        """The camera's newest frames and its news, for ever; nothing where no camera was named."""
        if self._camera is None:
            return
        name = self._camera.name
        if self._camera.kind == "v4l2" and (stable := stable_name(self._camera.target)):
            self.notes.append(f"{name} is {stable}: that name stays when cameras are plugged in another order")
        try:
            opened = Camera(self._camera, self._opener)
        except SourceError as error:
            reason = error.message.removeprefix(f"{name}: ")
            raise SourceError(f"{name}: no image from this camera: {reason}", error.hint) from error
        with opened as camera:
            self.cameras.append(camera.log)
            while True:
                yield camera.take(_TICK_S)

    def __iter__(self) -> Iterator[ReadItem]:
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
            elif isinstance(line, Broken):
                yield line
            elif line:
                yield from self._named(line, ring, last=last)

    def _named(self, line: str, ring: int, *, last: bool) -> Iterator[Item]:
        """One line of a list."""
        try:
            address = parse_address(line)
        except SourceError as error:
            yield Broken(without_password(line), error)
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
        if "\0" in name:
            yield _bad(name, f"{name}: no file can have this name (a zero byte)", ONE_A_LINE)
        elif kind == FOLDER:
            yield from _whole(name, self._folder(Path(name)))
        elif kind == FILE and Path(name).suffix.lower() in VIDEO_SUFFIXES:
            yield from _whole(name, self._video(Path(name), ring))
        elif kind == MISSING and glob.has_magic(name):
            yield from _whole(name, self._glob(name, ring))
        elif kind == MISSING and looks_like_login(name):
            shown = without_password(f"camera://{name}").removeprefix("camera://")
            yield _bad(shown, f"{shown}: there is no such file", "a camera's address begins with rtsp:// or http://")
        elif addressed := self._dicom.addressed(name):
            yield from self._dicom.items(addressed[0], frame=addressed[1])
        else:
            yield from self._file(Path(name), "", name)

    def _file(self, path: Path, root: str, name: str = "") -> Iterator[Item]:
        """An image's file, to be read later; a DICOM file is read at once, and gives its frames."""
        if self._dicom.takes(path):
            yield from self._dicom.items(path, root)
        else:
            if not root:
                self._dicom.learn_beside(path)
            yield File(self._dicom.names.known_path(name or str(path)), path)

    def _root_of(self, path: Path) -> str:
        """The watched folder that a path is in."""
        return next((str(folder) for folder in self._watched if path.is_relative_to(folder)), "")

    def _folder(self, folder: Path) -> Iterator[Item]:
        found = walk(folder)
        self._dicom.learn(Path(path) for path, _ in found.images)
        yield from self._closed(found.failed)
        self.notes += found.notes()
        if not found.images and not found.failed:
            endings = " ".join(sorted(IMAGE_SUFFIXES))
            hint = f"images end in {endings}; DICOM files may have no ending"
            shown = self._dicom.names.known_path(str(folder))
            yield _bad(shown, f"{shown}: no images in this folder", hint)
        for path, _ in found.images:
            yield from self._file(Path(path), str(folder))

    def _closed(self, failed: Iterable[OSError]) -> list[Broken]:
        """Folders that cannot be looked into."""
        shown = [(self._dicom.names.known_path(str(error.filename)), error.strerror) for error in failed]
        return [_bad(name, f"{name}: cannot be looked into ({why})", f"check: ls -ld '{name}'") for name, why in shown]

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
                yield from frames
        except SourceError as error:
            yield Broken(str(path), error)
        except cv2.error as error:
            yield _bad(str(path), f"{path}: cannot be decoded any further ({error.err})", f"try: ffplay '{path}'")
        if video.shortfall:
            self.notes.append(f"{path}: ended {video.shortfall} frames before it said it would: cut short or damaged")


def _whole(name: str, items: Iterator[T]) -> Iterator[T | Broken]:
    """The items of one source; where it cannot be read any further, that is its failed line, and the next one comes."""
    try:
        yield from items
    except SourceError as error:
        yield Broken(name, error)
    except (OSError, ValueError) as error:
        yield _bad(name, f"{name}: cannot be read any further ({error})", "check the disk or network drive it is on")


def describe(names: Iterable[str]) -> str:
    """The sources for a report's heading."""
    return ", ".join("standard input" if name == "-" else without_password(name) for name in names)


def _bad(source: str, message: str, hint: str) -> Broken:
    return Broken(source, SourceError(message, hint))
