"""Lines that are whole whatever happens: one system call each, taken back where the disk is full, rotated by size."""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import select
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, TextIO

from fieldlens.runtime import stopping
from fieldlens.runtime.errors import OutputError
from fieldlens.runtime.files.atomic import PRIVATE, make_folder

_TAIL = 65_536
_TICK_MS = 100


class LineFile:
    """A file of lines, each written with one system call: a kill leaves the line or nothing. A new one is 0600.

    Without ``rotate_bytes`` the file is begun again. With it, lines are added to what is there; a file that would grow
    beyond it becomes ``NAME.1`` (and ``NAME.1`` becomes ``NAME.2``, up to ``keep``), and a new one begins with
    ``header`` and the same rights; so does one that began with another header, or whose lines are not ``ours``.
    ``quoted``: a newline inside of double quotes ends no line. A pipe or a device is written as it is and never
    rotated. Raises OutputError where it cannot be written.
    """

    def __init__(
        self,
        path: Path,
        *,
        rotate_bytes: int | None = None,
        keep: int = 10,
        header: str = "",
        quoted: bool = False,
        ours: Callable[[BinaryIO], bool] = lambda file: True,
    ) -> None:
        self._path = path
        self._rotate_bytes = rotate_bytes
        self._keep = keep
        self._header = header
        self._size = 0
        try:
            make_folder(path.parent)
            if rotate_bytes is not None and path.is_file():
                repair(path, quoted=quoted)
            self._open(fresh=rotate_bytes is None)
            if self._rotate_bytes is not None and self._size and not (self._begins_with_header() and self._is(ours)):
                self._rotate()
        except OSError as error:
            raise OutputError(f"{path}: cannot be written ({error.strerror})", "choose another place") from error

    def _open(self, *, fresh: bool, mode: int | None = None) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | (os.O_TRUNC if fresh else 0)
        self._handle = os.open(self._path, flags, PRIVATE)
        found = os.fstat(self._handle)
        self._size = found.st_size
        self._mode = stat.S_IMODE(found.st_mode)
        if not stat.S_ISREG(found.st_mode):
            self._rotate_bytes = None
        elif mode is not None and mode != self._mode:
            os.fchmod(self._handle, mode)
            self._mode = mode
        if self._header and not self._size:
            self._append(encoded(self._header))

    def _begins_with_header(self) -> bool:
        wanted = self._header.encode()
        with self._path.open("rb") as file:
            return file.read(len(wanted)) == wanted

    def _is(self, ours: Callable[[BinaryIO], bool]) -> bool:
        with self._path.open("rb") as file:
            return ours(file)

    def write(self, line: str) -> None:
        """Append one line. On a full disk the part that was written is taken back. Raises OutputError."""
        data = encoded(line)
        try:
            if self._rotate_bytes is not None and self._size and self._size + len(data) > self._rotate_bytes:
                self._rotate()
            self._append(data)
        except TimeoutError as error:
            raise _given_up(str(self._path)) from error
        except OSError as error:
            raise OutputError(
                f"{self._path}: {error.strerror}",
                f"make room: df -h '{self._path.parent}'; all lines so far are whole",
            ) from error

    def _append(self, data: bytes) -> None:
        self._size += write_whole(self._handle, data)

    def _rotate(self) -> None:
        """From the oldest on, so that a kill in between loses nothing."""
        self.close()
        names = [self._path, *(self._path.with_name(f"{self._path.name}.{n}") for n in range(1, self._keep + 1))]
        for newer, older in reversed(list(itertools.pairwise(names))):
            if newer.exists():
                newer.replace(older)
        self._open(fresh=True, mode=self._mode)

    def close(self) -> None:
        """Make the lines durable. A second call does nothing."""
        if self._handle >= 0:
            handle, self._handle = self._handle, -1
            try:
                if stat.S_ISREG(os.fstat(handle).st_mode):
                    os.fsync(handle)
            finally:
                os.close(handle)


class LineStream:
    """Lines on a stream such as standard output, which is not ours to close or to rotate."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream: TextIO | None = stream or sys.stdout

    def write(self, line: str) -> None:
        """Print one line, at once. Raises OutputError, or BrokenPipeError when nobody reads any more."""
        if self._stream is None:  # closed by whoever started us
            return
        try:
            handle = self._stream.fileno()
        except (OSError, ValueError):  # a stream in memory
            self._stream.write(line)
            return
        self._stream.flush()
        name = "standard error" if handle == 2 else "standard output"
        try:
            write_whole(handle, encoded(line))
        except BrokenPipeError:
            raise
        except TimeoutError as error:
            raise _given_up(name) from error
        except OSError as error:
            raise OutputError(f"{name}: {error.strerror}", "make room; all lines so far are whole") from error

    def close(self) -> None:
        """Nothing is held back."""


def _given_up(name: str) -> OutputError:
    hint = "whatever reads it has stopped reading; its last line may be cut off"
    return OutputError(f"{name}: it is full and nobody reads it, and the run was asked to end", hint)


def encoded(line: str) -> bytes:
    """UTF-8; a byte of a file's name that is not becomes ``\\udcXX``."""
    return line.encode("utf-8", "backslashreplace")


def write_whole(handle: int, data: bytes) -> int:
    """Write all of ``data``, or leave a file as it was; its length.

    A pipe or a terminal that is full is waited for; when the process is asked to end, not much longer: raises
    TimeoutError, else OSError.
    """
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        return _write_to_reader(handle, data)
    end = os.fstat(handle).st_size
    try:
        if os.write(handle, data) < len(data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    except OSError:
        os.ftruncate(handle, end)
        raise
    return len(data)


def _write_to_reader(handle: int, data: bytes) -> int:
    """In parts that cannot block once there is room (POSIX: PIPE_BUF)."""
    poller = select.poll()
    poller.register(handle, select.POLLOUT)
    done = 0
    while done < len(data):
        while not poller.poll(_TICK_MS):
            if stopping.overdue():
                raise TimeoutError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT))
        with contextlib.suppress(BlockingIOError):  # another process was quicker
            done += os.write(handle, data[done : done + select.PIPE_BUF])
    return len(data)


def repair(path: Path, *, quoted: bool = False) -> None:
    """Cut a half last line off: a power cut, or a kill between two pages of one write, may have left it."""
    if not path.exists():
        return
    with path.open("r+b") as file:
        end = _end_of_records(file) if quoted else _end_of_lines(file)
        if end < file.seek(0, os.SEEK_END):
            file.truncate(end)


def _end_of_lines(file: BinaryIO) -> int:
    """Behind the last newline, looked for from the file's end."""
    end = file.seek(0, os.SEEK_END)
    while end:
        start = max(0, end - _TAIL)
        file.seek(start)
        found = file.read(end - start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        end = start
    return 0


def _end_of_records(file: BinaryIO) -> int:
    """Behind the last newline that is not inside of double quotes, which only reading from the start can tell."""
    end = position = quotes = 0
    for line in file:
        position += len(line)
        quotes += line.count(b'"')
        if line.endswith(b"\n") and quotes % 2 == 0:
            end = position
    return end
