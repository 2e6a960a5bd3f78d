"""THE walker of folders: whatever reads a folder of images anywhere in the kit sees the same ones.

Hidden entries and what programs leave beside images are left out. Links are followed once: what is there already, by
device and inode, is not taken again, so a loop ends and no image comes twice (a hard link is a file of its own).
Nothing goes without a word: what cannot be looked into, links to nothing and files of other kinds are counted, with an
example.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from fieldlens.runtime.errors import SourceError
from fieldlens.runtime.pixels.formats.dicom.address import SUFFIXES
from fieldlens.runtime.sources.dicom_peek import holds_dicom, may_be_dicom

IMAGE_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".tif", ".tiff", ".webp", *SUFFIXES}  # .jpe, .jfif: JPEG
)
HIDDEN = "entries left out because they are hidden or a program's own"
OTHERS = "files left out because their names are not of images"
NOWHERE = "links left out because they lead nowhere"
AGAIN = "entries left out because they are there already (a link, or a loop)"
_OWN = frozenset(
    {
        "@eadir", "#recycle", "#snapshot", "__macosx", "$recycle.bin", "system volume information", "lost+found",
        "__pycache__", "thumbs.db", "desktop.ini", "ehthumbs.db", "icon\r",
    }
)  # fmt: skip
"""What network drives, macOS and Windows put beside files, in lower case."""


@dataclass
class Walk:
    """What is below a folder. ``images``: paths in natural order, each with its state (None: not to be had).

    ``left``: reason → what was left out for it; ``failed``: folders that cannot be looked into.
    """

    folder: str
    images: list[tuple[str, os.stat_result | None]] = field(default_factory=list)
    left: dict[str, list[str]] = field(default_factory=dict)
    failed: list[OSError] = field(default_factory=list)
    folders: list[str] = field(default_factory=list)

    def notes(self) -> list[str]:
        """A sentence for every reason, with a count and an example."""
        return [
            f"{self.folder}: {reason}: {len(paths)} (for example {os.path.relpath(paths[0], self.folder)})"
            for reason, paths in self.left.items()
        ]

    def relative(self) -> list[str]:
        """The images as paths from the folder."""
        start = len(os.path.join(self.folder, ""))  # noqa: PTH118  (what scandir puts before every name)
        return [path[start:] for path, _ in self.images]


def walk(folder: str | Path, entering: Callable[[str], None] = lambda _: None, *, ordered: bool = True) -> Walk:
    """Look below ``folder``; ``entering`` is called with every folder before it is looked into.

    ``ordered`` False: as the disk gives them, for whoever looks twice a second.
    """
    found = _Walker(str(folder), entering).done()
    if ordered:
        found.images.sort(key=lambda image: natural(image[0]))
        found.folders.sort(key=natural)
    return found


def image_files(folder: Path) -> list[Path]:
    """All images below the folder. Raises SourceError: no such folder, or a part of it that cannot be looked into."""
    found = walk(folder)
    for error in found.failed:
        place = str(error.filename)
        raise SourceError(f"{place}: cannot be looked into ({error.strerror})", f"check: ls -ld '{place}'") from error
    return [Path(path) for path, _ in found.images]


def natural(text: str) -> list[tuple[int, str]]:
    """Sort key that puts ``2.jpg`` before ``10.jpg``."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", text)]


def is_image(name: str) -> bool:
    """By its ending; hidden files are none."""
    return not name.startswith(".") and name[name.rfind(".") :].lower() in IMAGE_SUFFIXES


def is_image_file(path: str, status: os.stat_result | None = None) -> bool:
    """By its ending, or by its content where it has none and may be DICOM."""
    name = os.path.basename(path)  # noqa: PTH119
    return is_image(name) or (not name.startswith(".") and may_be_dicom(name) and holds_dicom(path, status))


class _Walker:
    """Real entries first, then links: where a file has two paths, the one without a link counts."""

    def __init__(self, folder: str, entering: Callable[[str], None]) -> None:
        self._walk = Walk(folder)
        self._entering = entering
        self._seen: set[tuple[int, int]] = set()
        self._links: list[str] = []

    def done(self) -> Walk:
        found = self._walk
        self._folder(found.folder)
        while self._links:
            links, self._links = sorted(self._links, key=natural), []
            for link in links:
                self._link(link)
        return found

    def _folder(self, folder: str) -> None:
        pending = [folder]
        while pending:
            place = pending.pop()
            self._entering(place)
            try:
                status = os.stat(place)  # noqa: PTH116  (some 100,000 entries a second)
                if self._is_again(status, place):
                    continue
                with os.scandir(place) as entries:
                    listed = list(entries)
            except OSError as error:
                self._walk.failed.append(error)
                continue
            for entry in listed:
                try:
                    below = self._entry(entry)
                except OSError as error:  # a disk or network drive that fails
                    self._walk.failed.append(error)
                    continue
                pending += [below] if below else []

    def _entry(self, entry: os.DirEntry[str]) -> str | None:
        """Sort one entry; the path of a folder to go into."""
        if entry.name.startswith(".") or entry.name.lower() in _OWN:
            if entry.name not in (".", "..") and (entry.is_dir(follow_symlinks=False) or _image_like(entry.name)):
                self._leave(HIDDEN, entry.path)
            return None
        if entry.is_symlink():
            self._links.append(entry.path)
            return None
        if entry.is_dir(follow_symlinks=False):
            self._walk.folders.append(entry.path)
            return entry.path
        self._file(entry.path, entry)
        return None

    def _link(self, path: str) -> None:
        try:
            status = os.stat(path)  # noqa: PTH116
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
                self._leave(NOWHERE, path)
            elif is_image(os.path.basename(path)):  # noqa: PTH119
                self._walk.images.append((path, None))
            else:
                self._walk.failed.append(error)
            return
        if os.path.isdir(path):  # noqa: PTH112
            self._walk.folders.append(path)
            self._folder(path)
        elif not is_image_file(path, status):
            self._leave(OTHERS, path)
        elif not self._is_again(status, path):
            self._walk.images.append((path, status))

    def _file(self, path: str, entry: os.DirEntry[str]) -> None:
        named = is_image(entry.name)
        if not named and not may_be_dicom(entry.name):
            self._leave(OTHERS, path)
            return
        try:
            status = entry.stat()
        except OSError:  # renamed or deleted between the two calls
            if named:
                self._walk.images.append((path, None))
            return
        if not named and not holds_dicom(path, status):
            self._leave(OTHERS, path)
            return
        self._seen.add((status.st_dev, status.st_ino))  # a second hard link is a file of its own
        self._walk.images.append((path, status))

    def _is_again(self, status: os.stat_result, path: str) -> bool:
        """Whether this folder or file was seen under another path; from now on it was."""
        key = (status.st_dev, status.st_ino)
        if key in self._seen:
            self._leave(AGAIN, path)
            return True
        self._seen.add(key)
        return False

    def _leave(self, reason: str, path: str) -> None:
        self._walk.left.setdefault(reason, []).append(path)


def _image_like(name: str) -> bool:
    return Path(name.lstrip("._")).suffix.lower() in IMAGE_SUFFIXES
