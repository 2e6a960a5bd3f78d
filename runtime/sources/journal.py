"""What a watched folder's images have come to, kept in the state: a run that was killed goes on where it was.

A file is known by its name, size and time of change; renamed or written again, it is a new one. A line is added just
before an image's result is written and another one when it is written everywhere, so that a kill in between leaves a
begun image: it is answered again, and its record says that it may be there twice. A kill loses no line, because each is
one system call; a power cut may lose the last ones, and those of the results with them.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
from collections.abc import Collection, Iterable
from pathlib import Path

from fieldlens.runtime.errors import KitError
from fieldlens.runtime.files import atomic, keeping, locks, strictjson
from fieldlens.runtime.files.printable import escaped, unescaped
from fieldlens.runtime.files.trusted import make_private_folder, read_regular

Known = tuple[int, int]
"""Time of the last change in ns, and size in bytes."""
_BEGUN, _DONE = "begun", "done"
_MOST_BYTES = 1 << 30
_LINE_BYTES = 65_536


class Journal:
    """One for each set of watched folders and of results. ``known``: path → file as it was answered in earlier runs.
    ``unsure``: a part of it cannot be read, so that nobody knows of the other files that are there at the start.

    Where it cannot be kept, the run goes on without it, and says so (:mod:`keeping`).
    """

    def __init__(self, state: Path, folders: Iterable[Path], results: Iterable[Path] = ()) -> None:
        places = [sorted(os.path.realpath(path) for path in paths) for paths in (folders, results)]
        name = hashlib.sha256(json.dumps(places).encode()).hexdigest()[:16]
        self._path = state / "watch" / f"{name}.jsonl"
        self._handle = self._lock = -1
        self.known: dict[str, Known] = {}
        self._begun: dict[str, Known] = {}
        self.unsure = False
        try:
            make_private_folder(self._path.parent)
            self._lock = locks.taken(self._path.with_suffix(".lock"))
            self._read()
            self._write_again()
        except BlockingIOError:
            self._refuse(KitError("another run keeps the same journal", "end it"))
        except (OSError, KitError) as error:
            self._refuse(error)

    def was_begun(self, path: str, file: Known) -> bool:
        """Whether an earlier run had begun with this very file, and did not end it."""
        return self._begun.get(path) == file

    def begin(self, path: str, file: Known) -> None:
        """Its result is about to be written."""
        self._add(_BEGUN, path, file)

    def done(self, path: str, file: Known) -> None:
        """Its result is written everywhere."""
        self._add(_DONE, path, file)

    def forget(self, gone: Collection[str]) -> None:
        """Files of earlier runs that are not there any more."""
        if gone:
            self.known = {path: file for path, file in self.known.items() if path not in gone}
            with contextlib.suppress(OSError, KitError):
                self._write_again()

    def close(self) -> None:
        """Make it durable. A second call does nothing."""
        for handle in (self._handle, self._lock):
            if handle >= 0:
                with contextlib.suppress(OSError):
                    os.fsync(handle)
                os.close(handle)
        self._handle = self._lock = -1

    def _add(self, word: str, path: str, file: Known) -> None:
        if self._handle < 0:
            return
        try:
            line = _line(word, path, file)
            if os.write(self._handle, line) < len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:
            self._refuse(error)

    def _refuse(self, error: OSError | KitError) -> None:
        keeping.refused(self._path.parent, error)
        self.close()

    def _read(self) -> None:
        try:
            data = read_regular(self._path, _MOST_BYTES, private=True)
        except FileNotFoundError:
            return
        except (OSError, KitError):
            self.unsure = True
            raise
        for line in data.split(b"\n")[:-1]:
            self._take(line)
        self.unsure = self.unsure or (data != b"" and not data.endswith(b"\n"))

    def _take(self, line: bytes) -> None:
        try:
            word, path, changed_ns, size = strictjson.loads(line, _LINE_BYTES)
            file = int(changed_ns), int(size)
        except (strictjson.JsonError, TypeError, ValueError):
            self.unsure = True  # damaged: what it said of which file, nobody knows
            return
        if word == _DONE:
            self.known[unescaped(path)] = file
            self._begun.pop(unescaped(path), None)
        else:
            self._begun[unescaped(path)] = file

    def _write_again(self) -> None:
        """Each file once, then go on from there."""
        lines = [_line(_DONE, path, file) for path, file in self.known.items()]
        lines += [_line(_BEGUN, path, file) for path, file in self._begun.items()]
        atomic.write_bytes(self._path, b"".join(lines), atomic.PRIVATE)
        if self._handle >= 0:
            os.close(self._handle)
        self._handle = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW)


def _line(word: str, path: str, file: Known) -> bytes:
    return json.dumps([word, escaped(path), *file]).encode() + b"\n"
