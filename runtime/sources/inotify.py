"""What the kernel says about files below folders: which are being written, and which were closed (inotify(7)).

Linux only, and only for writers on this machine: on a network drive the other side's are not seen. Where it cannot be
used, nothing is known of any file, and whoever asks has to judge by size and time.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import struct
from collections.abc import Collection, Iterator

_MODIFY, _CLOSE_WRITE, _CLOSE_NOWRITE, _OPEN = 0x2, 0x8, 0x10, 0x20
_MOVED_FROM, _MOVED_TO, _CREATE, _DELETE = 0x40, 0x80, 0x100, 0x200
_MASK = _MODIFY | _CLOSE_WRITE | _CLOSE_NOWRITE | _OPEN | _MOVED_FROM | _MOVED_TO | _CREATE | _DELETE
_ONLYDIR = 0x1000000
_OVERFLOW, _IGNORED, _ISDIR = 0x4000, 0x8000, 0x40000000
_EVENT = struct.Struct("iIII")
_BLOCK = 1 << 20

UNKNOWN, CREATED, OPENED, WRITING, CLOSED = "unknown", "created", "opened", "writing", "closed"
"""Of a file: nothing was heard of it; made, as a link is; made and open; written to and open; closed or moved here."""


class Inotify:
    """Folders that are listened to. ``works``: whether this system has it; a folder may be refused all the same."""

    def __init__(self) -> None:
        self._handle = -1
        self._folders: dict[int, str] = {}
        self._known: set[str] = set()
        self._state: dict[str, str] = {}
        with contextlib.suppress(OSError, AttributeError):
            self._library = ctypes.CDLL(None, use_errno=True)
            self._handle = self._library.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)

    @property
    def works(self) -> bool:
        """Whether the kernel tells anything at all."""
        return self._handle >= 0

    def add(self, folder: str) -> None:
        """Listen to ``folder`` from now on, if the system lets us."""
        if not self.works or folder in self._known:
            return
        number = self._library.inotify_add_watch(self._handle, os.fsencode(folder), _MASK | _ONLYDIR)
        if number >= 0:
            self._folders[number] = folder
            self._known.add(folder)

    def state(self, path: str) -> str:
        """What is known of the file ``path``."""
        return self._state.get(path, UNKNOWN)

    def keep(self, paths: Collection[str]) -> None:
        """Forget all but these."""
        self._state = {path: state for path, state in self._state.items() if path in paths}

    def take(self) -> None:
        """Read what happened since the last call."""
        for number, mask, name in self._events():
            if mask & _OVERFLOW:  # too much happened: what is known may be wrong
                self._state.clear()
            elif mask & _IGNORED:
                self._known.discard(self._folders.pop(number, ""))
            elif not mask & _ISDIR and number in self._folders:
                path = os.path.join(self._folders[number], os.fsdecode(name))  # noqa: PTH118  (as scandir's)
                self._state[path] = _after(self._state.get(path, UNKNOWN), mask)

    def _events(self) -> Iterator[tuple[int, int, bytes]]:
        while self.works:
            try:
                block = os.read(self._handle, _BLOCK)
            except BlockingIOError:
                return
            place = 0
            while place < len(block):
                number, mask, _, length = _EVENT.unpack_from(block, place)
                place += _EVENT.size + length
                yield number, mask, block[place - length : place].rstrip(b"\0")

    def close(self) -> None:
        """Listen no more."""
        if self.works:
            os.close(self._handle)
            self._handle = -1


def _after(state: str, mask: int) -> str:
    """A file's state after an event. Only writing counts: a reader's open and close say nothing."""
    if mask & (_CLOSE_WRITE | _MOVED_TO):
        return CLOSED
    if mask & _MODIFY:
        return WRITING
    if mask & (_MOVED_FROM | _DELETE):
        return UNKNOWN
    if mask & _CREATE:
        return CREATED
    if mask & _OPEN and state == CREATED:
        return OPENED
    if mask & _CLOSE_NOWRITE and state == OPENED:  # a link that somebody reads
        return UNKNOWN
    return state
