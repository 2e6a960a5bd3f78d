"""Reading files that decide something: measured before they are read, and only from folders that others cannot fill.

Nothing here waits for a FIFO, follows a last link, or takes more memory than the caller allows.
"""

from __future__ import annotations

import errno
import os
import stat
from dataclasses import dataclass
from pathlib import Path

from fieldlens.runtime.errors import KitError

_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
_MOST_LINKS = 40
"""As many as Linux follows."""
_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH


class UntrustedError(KitError):
    """A file or folder that is not what it must be: its kind, its size, its owner, or who may write it."""


def read_regular(path: Path, limit: int, *, private: bool = False) -> bytes:
    """All bytes of an ordinary file of at most ``limit`` bytes, read once through one handle.

    A last link is not followed; a FIFO, device or socket is refused without waiting for it. ``private``: also refused
    where it belongs to another user than root and us, or where others can write it. Raises OSError (missing, no
    permission, a disk error) and UntrustedError.
    """
    handle = open_regular(path, private=private)
    try:
        return read_open(handle, path, limit)
    finally:
        os.close(handle)


def open_regular(path: Path, *, private: bool = False) -> int:
    """A handle on an ordinary file, to be closed by the caller. As :func:`read_regular`."""
    _check_file(path.lstat(), path, private)  # before it is opened: opening some devices does something already
    handle = os.open(path, _FLAGS)
    try:
        _check_file(os.fstat(handle), path, private)
    except BaseException:
        os.close(handle)
        raise
    return handle


def read_open(handle: int, path: Path, limit: int) -> bytes:
    """All bytes behind ``handle``. Raises OSError, and UntrustedError for more than ``limit`` bytes or a file that
    changes while it is read."""
    size = os.fstat(handle).st_size
    if size > limit:
        raise UntrustedError(f"{path} has {size} bytes; {limit} are allowed", "restore the file")
    parts, left = [], size + 1
    while left and (part := os.read(handle, left)):
        parts.append(part)
        left -= len(part)
    data = b"".join(parts)
    if len(data) != size:
        raise UntrustedError(f"{path} changed while it was read", "wait until it is written, and try again")
    return data


def check_private_folder(folder: Path) -> None:
    """A folder of ours (or root's) that nobody else can write, and no link. What lies in it may then be ours, too.

    Raises UntrustedError, also where it is missing or cannot be looked at.
    """
    try:
        found = folder.lstat()
    except OSError as error:
        raise UntrustedError(f"{folder} cannot be read ({error.strerror})", "restore the folder") from error
    if not stat.S_ISDIR(found.st_mode):
        raise UntrustedError(f"{folder} is not a folder (or is a link)", "remove it, or give another folder")
    _check_owner(found, folder)


@dataclass(frozen=True)
class Way:
    """How one gets to a path: ``steps``, every folder, link and file from ``/`` on, as lstat(2) sees them.

    ``end``: the path without links, or None where nothing is there; the last step is then the folder in which the next
    name is missing, and ``left`` says how many names would have followed it.
    """

    steps: tuple[tuple[Path, os.stat_result], ...]
    end: Path | None
    left: int = 0

    @property
    def links(self) -> tuple[Path, ...]:
        """The links that were followed."""
        return tuple(step for step, found in self.steps if stat.S_ISLNK(found.st_mode))


def way_to(path: Path) -> Way:
    """Follow ``path`` step by step. Nothing at its end is not an error, and neither is a missing folder above it.

    Raises UntrustedError for a link that leads nowhere, and OSError for whatever else keeps the end from being known:
    a folder that may not be searched, links in a circle, a file in a folder's place, a dead network folder.
    """
    here, steps, links = Path("/"), [(Path("/"), Path("/").lstat())], 0
    left: list[tuple[str, Path | None]] = [(name, None) for name in reversed(path.absolute().parts[1:])]
    while left:
        name, link = left.pop()
        if name == "..":
            here = here.parent
            continue
        step = here / name
        try:
            found = step.lstat()
        except FileNotFoundError:
            if link is not None:
                raise UntrustedError(f"{link} is a link that leads nowhere", "restore what it leads to") from None
            return Way(tuple(steps), None, len(left))
        steps.append((step, found))
        if stat.S_ISLNK(found.st_mode):
            links += 1
            if links > _MOST_LINKS:
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path))
            target = step.readlink()
            here = Path("/") if target.is_absolute() else here
            left += [(part, step) for part in reversed(target.parts) if part != "/"]
        elif left and not stat.S_ISDIR(found.st_mode):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(step))
        else:
            here = step
    return Way(tuple(steps), here)


def check_way(way: Way) -> None:
    """Nobody but root and us can put another file at the end: not in the file, nor in any folder or link above it.

    A folder such as ``/tmp``, where everybody may write but only the owner of a file can remove it (the sticky bit), is
    allowed above. Raises UntrustedError.
    """
    for step, found in way.steps:
        shared = stat.S_ISDIR(found.st_mode) and found.st_mode & stat.S_ISVTX and step != way.end
        _check_owner(found, step, writable=bool(shared) or stat.S_ISLNK(found.st_mode))


def read_guarded(path: Path, limit: int) -> bytes:
    """All bytes of an ordinary file to which only root and we have the way, links in it allowed.

    Raises FileNotFoundError and other OSErrors, and UntrustedError.
    """
    way = _found(path)
    check_way(way)
    return read_regular(way.end or path, limit, private=True)


def read_linked(path: Path, limit: int) -> bytes:
    """The same for a file that a person named, whoever may write it."""
    return read_regular(_found(path).end or path, limit)


def _found(path: Path) -> Way:
    way = way_to(path)
    if way.end is None:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
    return way


def make_private_folder(folder: Path) -> None:
    """Make ``folder`` (mode 0700) and those above it where they are missing, then check it.

    A link to a folder is followed where the link, too, is ours or root's (systemd makes one for a service's state).
    Raises OSError where it cannot be made, and UntrustedError.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    way = way_to(folder)
    for step, found in way.steps:
        if stat.S_ISLNK(found.st_mode):
            _check_owner(found, step, writable=True)
    check_private_folder(way.end or folder)


def _check_file(found: os.stat_result, path: Path, private: bool) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise UntrustedError(f"{path} is {_kind(found.st_mode)}, not an ordinary file", "restore the file")
    if private:
        _check_owner(found, path)


def _check_owner(found: os.stat_result, path: Path, *, writable: bool = False) -> None:
    if found.st_uid not in (0, os.geteuid()):
        raise UntrustedError(f"{path} belongs to another user (number {found.st_uid})", f"remove {path}, or chown it")
    if found.st_mode & _OTHERS_WRITE and not writable:
        raise UntrustedError(f"{path} can be written by others", f"check what it holds, then: chmod go-w '{path}'")


def _kind(mode: int) -> str:
    names = {
        stat.S_IFDIR: "a folder", stat.S_IFLNK: "a symbolic link", stat.S_IFIFO: "a FIFO",
        stat.S_IFSOCK: "a socket", stat.S_IFCHR: "a device", stat.S_IFBLK: "a device",
    }  # fmt: skip
    return names.get(stat.S_IFMT(mode), "something else")
