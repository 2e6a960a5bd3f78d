"""Folders that are watched: the new images as they come, each when it is complete."""

from __future__ import annotations

import os
import stat
import threading
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from fieldlens.runtime.sources.complete import looks_complete
from fieldlens.runtime.sources.inotify import CLOSED, OPENED, WRITING, Inotify
from fieldlens.runtime.sources.journal import Journal
from fieldlens.runtime.sources.walk import Walk, natural, walk

T = TypeVar("T")
WATCH_S = 0.5
REST_S = 10.0
"""How long nothing must have changed in a file that does not show that it is complete."""
_Stamp = tuple[int, int, int]
"""Time of the last change in ns, size in bytes, number of the file. A size of -1: no ordinary file, never read."""


@dataclass
class _Item:
    """Of a file that was given: ``last``: nothing more comes of it; ``private``: its path may name a patient."""

    path: str
    private: bool
    last: bool


class FolderWatch:
    """Images below folders, each once when it is complete, and again when it was written again.

    A file that somebody on this machine writes is complete when he closes it, or moves it here (the kernel says so,
    but for network drives); of others, a JPEG or PNG whose end is there and that stayed as it was from one look to the
    next. What does not end as its format says is waited for until nothing has changed for REST_S, and never while it is
    still open for writing. What is remembered shrinks with the folder: a file that is gone is forgotten.
    """

    def __init__(
        self,
        folders: list[Path],
        kernel: Inotify | None = None,
        journal: Journal | None = None,
        hashed: Callable[[str], str] = str,
    ) -> None:
        """``hashed``: a path that may name a patient, as the journal may hold it."""
        self._folders = folders
        self._kernel = kernel or Inotify()
        self._before: dict[str, _Stamp] = {}
        self._since: dict[str, float] = {}
        self._done: dict[str, _Stamp] = {}
        self._journal = journal
        self._hashed = hashed
        self._first: dict[str, _Stamp] | None = None
        self._given: dict[str, list[_Stamp]] = {}
        self._items: dict[str, list[_Item]] = {}
        self._lock = threading.Lock()  # with workers, a thread of its own looks
        self.walks: dict[str, Walk] = {}
        """What the last look saw below each folder."""
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
        if self._journal is not None:
            self._go_on(self._journal, found)
        waiting = {path for path, stamp in found.items() if self._done.get(path) != stamp}
        self._kernel.keep(waiting)
        likely = {path for path in waiting if self._complete(path, found[path], now_s)}
        self._kernel.take()
        likely = {path for path in likely if self._kernel.state(path) not in (WRITING, OPENED)}  # not begun again
        ready = {path for path in likely if _is_still(path, found[path])}
        self._done = {path: stamp for path, stamp in self._done.items() if path in found}
        self._done.update((path, found[path]) for path in ready)
        for path in ready if self._journal is not None else ():
            with self._lock:
                self._given.setdefault(path, []).append(found[path])
        self._before = found
        self.unfinished = [Path(path) for path in sorted(waiting - ready, key=natural)]
        return [Path(path) for path in sorted(ready, key=natural)]

    def _go_on(self, journal: Journal, found: dict[str, _Stamp]) -> None:
        """What an earlier run has answered is done; the first look also forgets what is not there any more."""
        if journal.known:
            for path, stamp in found.items():
                if path not in self._done and any(journal.known.get(n) == stamp[:2] for n in self._names(path)):
                    self._done[path] = stamp
        if self._first is None:
            self._first = dict(found)
            there = {name for path in found for name in self._names(path)}
            # An empty folder may be a drive that is not mounted yet.
            journal.forget([path for path in journal.known if path not in there] if found else [])

    def _names(self, path: str) -> tuple[str, str]:
        """A path as the journal may have it: plain, or hashed."""
        whole = os.path.abspath(path)  # noqa: PTH100
        return whole, self._hashed(whole)

    def gives(self, path: Path, source: str, *, last: bool, private: bool) -> None:
        """A file becomes an item by the name ``source``; ``last``: no further one comes of it (DICOM has frames).
        ``private``: its path may name a patient."""
        if self._journal is not None:
            with self._lock:
                self._items.setdefault(source, []).append(_Item(str(path), private, last))

    def begin(self, source: str, *, private: bool = False) -> bool:
        """The result of an item is about to be written; whether an earlier run may have written it, too. ``private``:
        its path turned out to be one that may name a patient."""
        if self._journal is None or not (items := self._items.get(source)):
            return False
        item = items[0]
        item.private = item.private or private
        name, stamp = self._names(item.path)[item.private], self._given[item.path][0]
        unsure = self._journal.unsure and (self._first or {}).get(item.path) == stamp
        repeated = unsure or self._journal.was_begun(name, stamp[:2])
        self._journal.begin(name, stamp[:2])
        return repeated

    def done(self, source: str) -> None:
        """The result of an item is written; with that of the last one, its file is done."""
        if self._journal is None or not (items := self._items.get(source)):
            return
        item = items[0]
        if item.last:
            self._journal.done(self._names(item.path)[item.private], self._given[item.path][0][:2])
        with self._lock:
            _drop_first(self._items, source)
            if item.last:
                _drop_first(self._given, item.path)

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
            if self._journal is not None:
                self._journal.close()

    def _scan(self, folder: str, found: dict[str, _Stamp]) -> None:
        """Add the stamps of all images below. A folder that went away is empty."""
        self.walks[folder] = walk(folder, self._kernel.add, ordered=False)
        for path, status in self.walks[folder].images:
            if status is not None:
                found[path] = _stamp(status)


def _stamp(status: os.stat_result) -> _Stamp:
    ordinary = stat.S_ISREG(status.st_mode)
    return (status.st_mtime_ns, status.st_size, status.st_ino) if ordinary else (0, -1, status.st_ino)


def _is_still(path: str, stamp: _Stamp) -> bool:
    """Whether the file that looked complete is the one that was found: its end may have come after the walk, and what
    is answered under the old stamp would be answered again under the new one."""
    try:
        return _stamp(os.stat(path)) == stamp  # noqa: PTH116
    except OSError:
        return False  # the next look says what became of it


def _drop_first(lists: dict[str, list[T]], key: str) -> None:
    del lists[key][0]
    if not lists[key]:
        del lists[key]
