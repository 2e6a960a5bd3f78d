"""Whether something can be written, asked before the work whose results would be lost: nothing is made or changed."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path


def check_folder(folder: Path) -> None:
    """Raises OSError where ``folder`` cannot be written, or cannot be made: rights, a read-only or full disk, a file or
    a link to nothing in its place, a name that cannot be."""
    place = folder
    while True:
        try:
            found = place.stat()
            break
        except FileNotFoundError:
            if place.is_symlink() or place.parent == place:
                raise
            place = place.parent
    if not stat.S_ISDIR(found.st_mode):
        raise _error(errno.ENOTDIR)
    _check(place, os.W_OK | os.X_OK)


def check_file(path: Path, *, replaced: bool = True) -> None:
    """Raises OSError where a file cannot be written. ``replaced``: by a new file under its name, for which its folder
    counts; otherwise lines are added to the file that is there. A pipe or a device is written as it is."""
    try:
        found = path.stat()
    except FileNotFoundError:
        check_folder(path.parent)
        return
    if stat.S_ISDIR(found.st_mode):
        raise _error(errno.EISDIR)
    if not stat.S_ISREG(found.st_mode) or not replaced:
        _check(path, os.W_OK)
    else:
        check_folder(path.parent)


def is_stream(path: Path) -> bool:
    """Whether ``path`` is a pipe, a device or a descriptor (``/dev/stdout``): written as it is, and never replaced."""
    try:
        kind = path.stat().st_mode
    except OSError:
        return False
    folder = os.path.realpath(path.parent)
    of_the_system = folder == "/dev" or (folder.startswith("/proc/") and folder.endswith("/fd"))
    return not stat.S_ISDIR(kind) and (of_the_system or not stat.S_ISREG(kind))


def _check(place: Path, wanted: int) -> None:
    disk = os.statvfs(place)
    if not os.access(place, wanted):
        raise _error(errno.EROFS if disk.f_flag & os.ST_RDONLY else errno.EACCES)
    if (disk.f_blocks and not disk.f_bfree) or (disk.f_files and not disk.f_ffree):
        raise _error(errno.ENOSPC)


def _error(number: int) -> OSError:
    return OSError(number, os.strerror(number))
