"""Locks that end with their process, whatever kills it (flock(2)): who writes something, and whether he still lives."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path


def taken(path: Path) -> int:
    """Make and hold the lock file ``path``; its descriptor. Whoever removes it does so while he holds it.

    Raises BlockingIOError where another process holds it, OSError where it cannot be made.
    """
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        try:
            held(handle)
        except BlockingIOError:
            os.close(handle)
            raise
        if is_at(handle, path):
            return handle
        os.close(handle)  # its owner removed it before he let it go


def held(handle: int) -> None:
    """Lock an open file or folder until it is closed. Raises BlockingIOError where another process has it."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise
    except OSError:  # a network drive without locks
        return


@contextlib.contextmanager
def abandoned(path: Path) -> Iterator[bool]:
    """Whether ``path``, a file or folder of this user's, is held by nobody any more; in the block, we hold it."""
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        free = os.fstat(handle).st_uid == os.geteuid()
    except OSError:  # in use, or nobody can know
        free = False
    try:
        yield free
    finally:
        os.close(handle)


def is_at(handle: int, path: Path) -> bool:
    """Whether the open file is the one that has this name now."""
    try:
        return os.path.samestat(os.fstat(handle), os.lstat(path))
    except FileNotFoundError:
        return False
