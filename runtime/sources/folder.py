"""Folders: every image in a sensible order, and with ``--watch`` the new ones as they come."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from pathlib import Path

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp"})
WATCH_S = 0.5
_EMPTY_S = 5.0
_Stamp = tuple[int, int]


def natural(text: str) -> list[tuple[int, str]]:
    """Sort key that puts ``2.jpg`` before ``10.jpg``."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", text)]


def images_in(folder: Path) -> tuple[list[Path], int]:
    """All images below ``folder`` by their names' endings, and how many other files; hidden ones are neither."""
    files = sorted(
        (path for path in folder.rglob("*") if path.is_file() and not path.name.startswith(".")),
        key=lambda path: natural(str(path)),
    )
    images = [path for path in files if path.suffix.lower() in IMAGE_SUFFIXES]
    return images, len(files) - len(images)


class FolderWatch:
    """Images below folders, each once when it is complete, and again when it was written anew.

    Complete means that size and time stayed as they were from one look to the next. What is remembered shrinks with
    the folder: a file that is gone is forgotten.
    """

    def __init__(self, folders: list[Path]) -> None:
        self._folders = folders
        self._before: dict[str, _Stamp] = {}
        self._done: dict[str, _Stamp] = {}

    def look(self, now_ns: int) -> list[Path]:
        """Images that became complete since the last look, in natural order."""
        found: dict[str, _Stamp] = {}
        for folder in self._folders:
            _scan(str(folder), found)
        ready = [
            path
            for path, stamp in found.items()
            if self._before.get(path) == stamp
            and self._done.get(path) != stamp
            and (stamp[1] > 0 or now_ns - stamp[0] > _EMPTY_S * 1e9)
        ]
        self._done = {path: stamp for path, stamp in self._done.items() if path in found}
        self._done.update((path, found[path]) for path in ready)
        self._before = found
        return [Path(path) for path in sorted(ready, key=natural)]

    def __iter__(self) -> Iterator[Path | None]:
        """For ever; None twice a second while there is nothing new."""
        while True:
            ready = self.look(time.time_ns())
            yield from ready
            if not ready:
                yield None
            time.sleep(WATCH_S)


def _scan(folder: str, found: dict[str, _Stamp]) -> None:
    """Add ``path → (mtime in ns, size)`` of all images below. A folder that went away is empty."""
    try:
        entries = list(os.scandir(folder))
    except OSError:
        return
    for entry in entries:
        if entry.name.startswith("."):
            continue
        try:
            if entry.is_dir():
                _scan(entry.path, found)
            elif Path(entry.name).suffix.lower() in IMAGE_SUFFIXES:
                status = entry.stat()
                found[entry.path] = (status.st_mtime_ns, status.st_size)
        except OSError:  # renamed or deleted between the two calls
            continue
