"""Folders: every image in a sensible order, and with ``--watch`` the new ones as they come."""

from __future__ import annotations

import os
import re
import stat
import time
from collections.abc import Callable, Generator
from pathlib import Path

from fieldlens.runtime.sources.complete import looks_complete
from fieldlens.runtime.sources.inotify import CLOSED, OPENED, WRITING, Inotify

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp"})
WATCH_S = 0.5
REST_S = 10.0
"""How long nothing must have changed in a file that does not show that it is complete."""
_Stamp = tuple[int, int, int]
"""Time of the last change in ns, size in bytes, number of the file. A size of -1: no ordinary file, never read."""


def natural(text: str) -> list[tuple[int, str]]:
    """Sort key that puts ``2.jpg`` before ``10.jpg``."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", text)]


def images_in(folder: Path, failed: Callable[[OSError], None] | None = None) -> tuple[list[Path], int]:
    """All images below ``folder`` by their names' endings, and how many other files; hidden ones are neither.

    ``failed`` hears of folders that cannot be looked into.
    """
    images, others = [], 0
    for root, _, names in os.walk(folder, onerror=failed):
        for name in names:
            if is_image(name):
                images.append(Path(root, name))
            elif not name.startswith("."):
                others += 1
    return sorted(images, key=lambda path: natural(str(path))), others


def is_image(name: str) -> bool:
    """By its ending; hidden files are none."""
    return not name.startswith(".") and Path(name).suffix.lower() in IMAGE_SUFFIXES


class FolderWatch:
    """Images below folders, each once when it is complete, and again when it was written again.

    A file that somebody on this machine writes is complete when he closes it, or moves it here (the kernel says so,
    but for network drives); of others, a JPEG or PNG whose end is there and that stayed as it was from one look to the
    next. What does not end as its format says is waited for until nothing has changed for REST_S, and never while it is
    still open for writing. What is remembered shrinks with the folder: a file that is gone is forgotten.
    """

    def __init__(self, folders: list[Path], kernel: Inotify | None = None) -> None:
        self._folders = folders
        self._kernel = kernel or Inotify()
        self._before: dict[str, _Stamp] = {}
        self._since: dict[str, float] = {}
        self._done: dict[str, _Stamp] = {}
        self.unfinished: list[Path] = []
        """What was not complete at the last look."""

    def look(self, now_s: float) -> list[Path]:
        """Images that became complete since the last look, in natural order; ``now_s`` only ever grows."""
        self._kernel.take()
        found: dict[str, _Stamp] = {}
        for folder in self._folders:
            self._scan(str(folder), found)
        self._since = {
            path: self._since[path] if self._before.get(path) == stamp else now_s for path, stamp in found.items()
        }
        waiting = {path for path, stamp in found.items() if self._done.get(path) != stamp}
        self._kernel.keep(waiting)
        likely = {path for path in waiting if self._complete(path, found[path], now_s)}
        self._kernel.take()
        ready = {path for path in likely if self._kernel.state(path) not in (WRITING, OPENED)}  # not begun again
        self._done = {path: stamp for path, stamp in self._done.items() if path in found}
        self._done.update((path, found[path]) for path in ready)
        self._before = found
        self.unfinished = [Path(path) for path in sorted(waiting - ready, key=natural)]
        return [Path(path) for path in sorted(ready, key=natural)]

    def _complete(self, path: str, stamp: _Stamp, now_s: float) -> bool:
        state = self._kernel.state(path)
        if stamp[1] < 0:
            return True
        if state in (WRITING, OPENED):
            return False
        if now_s - self._since[path] >= REST_S:
            return True
        return (state == CLOSED or self._before.get(path) == stamp) and looks_complete(path, closed=state == CLOSED)

    def __iter__(self) -> Generator[Path | None, None, None]:
        """For ever; None twice a second while there is nothing new."""
        try:
            while True:
                ready = self.look(time.monotonic())
                yield from ready
                if not ready:
                    yield None
                time.sleep(WATCH_S)
        finally:
            self._kernel.close()

    def _scan(self, folder: str, found: dict[str, _Stamp]) -> None:
        """Add the stamps of all images below. A folder that went away is empty."""
        self._kernel.add(folder)
        try:
            entries = list(os.scandir(folder))
        except OSError:
            return
        for entry in entries:
            if entry.name.startswith("."):
                continue
            try:
                if entry.is_dir():
                    self._scan(entry.path, found)
                elif is_image(entry.name):
                    status = entry.stat()
                    ordinary = stat.S_ISREG(status.st_mode)
                    found[entry.path] = (
                        (status.st_mtime_ns, status.st_size, status.st_ino) if ordinary else (0, -1, status.st_ino)
                    )
            except OSError:  # renamed or deleted between the two calls
                continue
