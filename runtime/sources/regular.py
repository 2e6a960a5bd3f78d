"""What a name is, and the bytes of an image's file: only an ordinary one is opened, and none that is too large.

Opening a pipe blocks until somebody writes, opening some devices changes the world (a watchdog's starts it), and a
sparse file can say that it has any size. So the kind and the size come first, and are looked at again once it is open.
"""

from __future__ import annotations

import os
import stat
import time
from pathlib import Path

from fieldlens.runtime.errors import SourceError

LARGEST_BYTES = 200_000_000
"""Of an image's file: an uncompressed photograph of 60 million pixels, and more than three times the largest JPEG."""
FILE, FOLDER, MISSING = "file", "folder", "missing"
_KINDS = (
    (stat.S_ISREG, FILE),
    (stat.S_ISDIR, FOLDER),
    (stat.S_ISFIFO, "a pipe (FIFO)"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a disk"),
)
_ATTEMPTS = 3
_PAUSE_S = 0.1


def kind_of(name: str) -> str:
    """FILE, FOLDER, MISSING (also what this user cannot see), or in words what else it is. Opens nothing."""
    try:
        return _kind(os.stat(name).st_mode)  # noqa: PTH116  (of any string: Path refuses some)
    except (OSError, ValueError):
        return MISSING


def _kind(mode: int) -> str:
    return next((name for test, name in _KINDS if test(mode)), "of an unknown kind")


def read_image(path: Path) -> bytes:
    """All bytes of an image's file, as they were at one moment. Raises SourceError: not there, not permitted, not an
    ordinary file, larger than LARGEST_BYTES, or written while it is read."""
    try:
        _check(path, path.stat())
        for attempt in range(_ATTEMPTS):
            if attempt:
                time.sleep(_PAUSE_S)
            data = _read_once(path)
            if data is not None:
                return data
    except FileNotFoundError:
        raise SourceError(f"{path}: there is no such file", "check the path") from None
    except OSError as error:
        hint = f"check who may read it: ls -l '{path}'"
        raise SourceError(f"{path}: cannot be read ({error.strerror})", hint) from error
    except ValueError:  # a zero byte
        raise SourceError(f"{path}: no file can have this name", "check the list that it came from") from None
    raise SourceError(
        f"{path}: it is being written while it is read", "name it when it is complete, or --watch its folder"
    )


def _read_once(path: Path) -> bytes | None:
    """None where the file changed meanwhile."""
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(handle, "rb") as file:
        before = os.fstat(handle)
        _check(path, before)
        data = file.read(before.st_size + 1) or b""
        if len(data) > before.st_size:  # it grew, or its size is unknown (files of the kernel's)
            data += file.read(LARGEST_BYTES + 1 - len(data)) or b""
            _check_size(path, len(data))
        after = os.fstat(handle)
    return data if (before.st_size, before.st_mtime_ns) == (after.st_size, after.st_mtime_ns) else None


def _check(path: Path, found: os.stat_result) -> None:
    kind = _kind(found.st_mode)
    if kind != FILE:
        kind = "a folder" if kind == FOLDER else kind
        raise SourceError(
            f"{path}: this is {kind}, and images are read from ordinary files only",
            "give files, folders, or - for a list on standard input; a camera is named last (v4l2://0)",
        )
    _check_size(path, found.st_size)


def _check_size(path: Path, size: int) -> None:
    if size > LARGEST_BYTES:
        raise SourceError(
            f"{path}: {size / 1e6:,.0f} MB; nothing over {LARGEST_BYTES / 1e6:.0f} MB is read as an image",
            "check what it is; save the image compressed, or smaller",
        )
