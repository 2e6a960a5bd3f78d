"""The one way to write a file or folder that matters: whole, or not at all, and closed to others unless it is for them.

Results, reports and runs name patients, so a new file is 0600 and a new folder 0700; what is meant for everybody (a
bundle) says so with PUBLIC. The umask takes rights away from both. A file of the user's own that is replaced keeps the
rights that it had, and so does a folder that was there.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from fieldlens.runtime.errors import OutputError
from fieldlens.runtime.files.locks import abandoned, held, is_at, taken
from fieldlens.runtime.files.printable import json_text
from fieldlens.runtime.files.writable import is_stream

PRIVATE, PUBLIC = 0o600, 0o644
PRIVATE_FOLDER, PUBLIC_FOLDER = 0o700, 0o755
_TEMPORARY = ".fieldlens.tmp"
_OURS = re.compile(rf"\..+\.[0-9a-f]{{8}}{re.escape(_TEMPORARY)}")
_LONGEST_NAME = 200
_SWEPT: set[str] = set()
"""Folders from which this process has removed what killed ones left."""


def fsync_folder(folder: Path) -> None:
    """Make the names inside ``folder`` durable (a rename lives in its folder's entry, not in the file)."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def make_folder(folder: Path, mode: int = PRIVATE_FOLDER) -> None:
    """Make ``folder`` and what is missing above it, all with ``mode``; what exists stays as it is. Raises OSError."""
    if folder.is_dir():
        return
    if folder.parent != folder:
        make_folder(folder.parent, mode)
    folder.mkdir(mode, exist_ok=True)


def write_bytes(path: Path, data: bytes, mode: int = PRIVATE) -> None:
    """Write ``data`` to ``path`` by temporary file, fsync and rename. A kill leaves the old file or the new one.

    Temporary files that killed processes left in the same folder are removed first. A pipe or a device is written as it
    is. Raises OSError.
    """
    if is_stream(path):
        _write_stream(path, data)
        return
    make_folder(path.parent, PUBLIC_FOLDER if mode & 0o044 else PRIVATE_FOLDER)
    sweep(path.parent)
    handle, temporary = _new(path, lambda name: os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode))
    try:
        with os.fdopen(handle, "wb") as file:
            if (before := _own_mode(path)) is not None:
                os.fchmod(handle, before)
            file.write(data)
            file.flush()
            os.fsync(handle)
            temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    fsync_folder(path.parent)


def _write_stream(path: Path, data: bytes) -> None:
    try:
        with path.open("ab", buffering=0) as stream:
            while data:
                data = data[stream.write(data) or 0 :]
    except BrokenPipeError as error:
        raise OutputError(f"{path}: nobody reads it any more", "let its reader live until the command ends") from error


def _own_mode(path: Path) -> int | None:
    """The rights of a file of ours that is about to be replaced: its owner chose them."""
    try:
        found = path.lstat()
    except FileNotFoundError:
        return None
    ours = stat.S_ISREG(found.st_mode) and found.st_uid == os.geteuid()
    return stat.S_IMODE(found.st_mode) & 0o777 if ours else None


def write_text(path: Path, text: str, mode: int = PRIVATE) -> None:
    """UTF-8 text, as :func:`write_bytes`; a byte of a name that is not UTF-8 becomes ``\\udcXX``."""
    write_bytes(path, text.encode("utf-8", "backslashreplace"), mode)


def write_json(path: Path, value: Any, mode: int = PRIVATE) -> None:
    """Indented JSON with a final newline; refuses NaN and infinity, which are not JSON."""
    write_text(path, json_text(value, indent=2) + "\n", mode)


class InUse(OutputError):
    """Another process is making the same thing."""


@contextlib.contextmanager
def alone(target: Path, mode: int = PRIVATE_FOLDER) -> Iterator[None]:
    """Be the only process that makes ``target`` while the block runs: the lock is the file ``.NAME.lock`` beside it.

    Raises InUse at once where another process holds it, OutputError where nothing can be written there. A file system
    without locks, or an existing target in a folder that only others may write, goes without. Missing folders above
    it are made, and removed again where the block fails.
    """
    path = target.with_name(f".{target.name}.lock")
    made = [folder for folder in target.parents if not folder.exists()]
    try:
        make_folder(target.parent, mode)
        handle = taken(path)
    except BlockingIOError:
        raise InUse(f"another process is making {target}", "wait until it has ended, or choose another place") from None
    except OSError as error:
        if not target.is_dir():
            raise OutputError(f"{target}: cannot be written ({error.strerror})", "choose another place") from error
        handle = -1
    try:
        yield
    except BaseException:
        _let_go(path, handle)
        with contextlib.suppress(OSError):  # somebody else needs it by now
            for folder in made:
                folder.rmdir()
        raise
    _let_go(path, handle)


def _let_go(lock: Path, handle: int) -> None:
    """Remove a lock while it is held: whoever opened it meanwhile looks again."""
    if handle >= 0:
        lock.unlink(missing_ok=True)
        os.close(handle)


@contextlib.contextmanager
def folder(target: Path, mode: int = PRIVATE_FOLDER) -> Iterator[Path]:
    """Yield a temporary folder beside ``target`` that becomes ``target`` when the block ends well.

    Raises InUse at once where another process makes the same ``target``, FileExistsError if it exists and is not
    empty: a finished folder is never edited in place. What killed processes left beside it is removed first.
    """
    with alone(target, mode):
        if target.exists() and (not target.is_dir() or any(target.iterdir())):
            raise FileExistsError(target)
        sweep(target.parent, again=True)
        handle, temporary = _new(target, lambda name: _made(name, mode))
        try:
            yield from _filled(temporary, target, mode)
        finally:
            os.close(handle)


def _filled(temporary: Path, target: Path, mode: int) -> Iterator[Path]:
    """The caller's work, then everything durable, then the name."""
    try:
        yield temporary
        for path in sorted(temporary.rglob("*")):
            if mode == PRIVATE_FOLDER and not path.is_symlink():
                path.chmod(path.stat().st_mode & 0o700)
            if path.is_file():
                with path.open("rb") as file:
                    os.fsync(file.fileno())
            else:
                fsync_folder(path)
        fsync_folder(temporary)
        if target.exists():
            target.rmdir()
        temporary.replace(target)
        fsync_folder(target.parent)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


@contextlib.contextmanager
def scratch(kind: str) -> Iterator[Path]:
    """A folder for the block's own files where the system keeps temporary ones; gone afterwards, and where a process
    was killed, before the next one of the same ``kind``. Raises OSError where there is no such place."""
    place = Path(tempfile.gettempdir())
    sweep(place, again=True)
    handle, folder = _new(place / f"fieldlens-{kind}", lambda name: _made(name, PRIVATE_FOLDER))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(handle)


def sweep(folder: Path, *, again: bool = False) -> None:
    """Remove what killed processes left in ``folder``: temporary files and folders of ours that nobody holds.

    Once for each folder, unless ``again``. What belongs to other users, or to a living process, stays.
    """
    key = os.path.realpath(folder)
    if key in _SWEPT and not again:
        return
    _SWEPT.add(key)
    left: list[Path] = []
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        left = [Path(entry.path) for entry in entries if _OURS.fullmatch(entry.name)]
    for path in left:
        with contextlib.suppress(OSError), abandoned(path) as left_behind:
            if left_behind and path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            elif left_behind:
                path.unlink(missing_ok=True)


def _new(target: Path, make: Callable[[Path], int]) -> tuple[int, Path]:
    """Make a temporary neighbour of ``target`` and hold it, so that nobody sweeps it away; descriptor and path."""
    name = os.fsdecode(os.fsencode(target.name)[:_LONGEST_NAME])
    while True:
        path = target.with_name(f".{name}.{secrets.token_hex(4)}{_TEMPORARY}")
        try:
            handle = make(path)
        except FileExistsError:
            continue
        with contextlib.suppress(BlockingIOError):
            held(handle)
            if is_at(handle, path):
                return handle, path
        os.close(handle)  # swept away between the two calls


def _made(folder: Path, mode: int) -> int:
    folder.mkdir(mode)
    try:
        return os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except FileNotFoundError as error:  # swept away before it was held
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(folder)) from error
