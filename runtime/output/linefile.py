"""Lines that are whole whatever happens: one system call each, taken back where the disk is full, rotated by size."""

from __future__ import annotations

import errno
import itertools
import os
import stat
import sys
from pathlib import Path
from typing import TextIO

from fieldlens.runtime.errors import OutputError

_TAIL = 65_536


class LineFile:
    """A file of lines, each written with one system call: a kill leaves the line or nothing.

    Without ``rotate_bytes`` the file is begun anew. With it, lines are added to what is there; a file that would grow
    beyond it becomes ``NAME.1`` (and ``NAME.1`` becomes ``NAME.2``, up to ``keep``), and a new one begins with
    ``header``. Raises OutputError where it cannot be written.
    """

    def __init__(self, path: Path, *, rotate_bytes: int | None = None, keep: int = 10, header: str = "") -> None:
        self._path = path
        self._rotate_bytes = rotate_bytes
        self._keep = keep
        self._header = header
        self._size = 0
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if rotate_bytes is not None:
                repair(path)
            self._open(anew=rotate_bytes is None)
        except OSError as error:
            raise OutputError(f"{path}: cannot be written ({error.strerror})", "choose another place") from error

    def _open(self, *, anew: bool) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | (os.O_TRUNC if anew else 0)
        self._handle = os.open(self._path, flags, 0o644)
        self._size = os.fstat(self._handle).st_size
        if self._header and not self._size:
            self._append(self._header)

    def write(self, line: str) -> None:
        """Append one line. On a full disk the part that was written is taken back. Raises OutputError."""
        try:
            if self._rotate_bytes is not None and self._size and self._size + len(line) > self._rotate_bytes:
                self._rotate()
            self._append(line)
        except OSError as error:
            raise OutputError(
                f"{self._path}: {error.strerror}",
                f"make room: df -h '{self._path.parent}'; all lines so far are whole",
            ) from error

    def _append(self, line: str) -> None:
        self._size += write_whole(self._handle, line.encode())

    def _rotate(self) -> None:
        """From the oldest on, so that a kill in between loses nothing."""
        self.close()
        names = [self._path, *(self._path.with_name(f"{self._path.name}.{n}") for n in range(1, self._keep + 1))]
        for newer, older in reversed(list(itertools.pairwise(names))):
            if newer.exists():
                newer.replace(older)
        self._open(anew=True)

    def close(self) -> None:
        """Make the lines durable. A second call does nothing."""
        if self._handle >= 0:
            handle, self._handle = self._handle, -1
            try:
                os.fsync(handle)
            finally:
                os.close(handle)


class LineStream:
    """Lines on a stream such as standard output, which is not ours to close or to rotate."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stdout

    def write(self, line: str) -> None:
        """Print one line, at once. Raises OutputError, or BrokenPipeError when nobody reads any more."""
        try:
            handle = self._stream.fileno()
        except (OSError, ValueError):  # a stream in memory
            self._stream.write(line)
            return
        self._stream.flush()
        try:
            write_whole(handle, line.encode())
        except BrokenPipeError:
            raise
        except OSError as error:
            raise OutputError(f"standard output: {error.strerror}", "make room; all lines so far are whole") from error

    def close(self) -> None:
        """Nothing is held back."""


def write_whole(handle: int, data: bytes) -> int:
    """Write all of ``data``, or leave a file as it was; its length. Raises OSError."""
    regular = stat.S_ISREG(os.fstat(handle).st_mode)
    end = os.fstat(handle).st_size if regular else 0
    done = 0
    try:
        while done < len(data):
            count = os.write(handle, data[done:] if done else data)
            if regular and count < len(data):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            done += count  # a pipe takes what fits, and waits for its reader
    except OSError:
        if regular:
            os.ftruncate(handle, end)
        raise
    return len(data)


def repair(path: Path) -> None:
    """Cut a half last line off: a power cut, or a kill between two pages of one write, may have left it."""
    if not path.exists():
        return
    with path.open("r+b") as file:
        size = end = file.seek(0, os.SEEK_END)
        while end:
            start = max(0, end - _TAIL)
            file.seek(start)
            found = file.read(end - start).rfind(b"\n")
            if found >= 0:
                end = start + found + 1
                break
            end = start
        if end < size:
            file.truncate(end)
