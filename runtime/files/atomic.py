"""The one way to write a file or folder that matters: whole, or not at all."""

from __future__ import annotations

import contextlib
import fcntl
import glob
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any


def fsync_folder(folder: Path) -> None:
    """Make the names inside ``folder`` durable (a rename lives in its folder's entry, not in the file)."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_bytes(path: Path, data: bytes, mode: int = 0o644) -> None:
    """Write ``data`` to ``path`` by temporary file, fsync and rename. A kill leaves the old file or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as file:
            os.fchmod(file.fileno(), mode)  # mkstemp makes 0600: a report is for others to read, too
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    fsync_folder(path.parent)


def write_text(path: Path, text: str) -> None:
    """UTF-8 text, as :func:`write_bytes`."""
    write_bytes(path, text.encode("utf-8"))


def write_json(path: Path, value: Any) -> None:
    """Indented JSON with a final newline; refuses NaN and infinity, which are not JSON."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


@contextlib.contextmanager
def folder(target: Path) -> Iterator[Path]:
    """Yield a temporary folder beside ``target`` that becomes ``target`` when the block ends well.

    What a killed process left of the same target is removed first; how that is known: nobody holds its lock (flock(2)).
    Raises FileExistsError if ``target`` exists and is not empty: a finished folder is never edited in place.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise FileExistsError(target)
    for left in target.parent.glob(f".{glob.escape(target.name)}.*.tmp"):
        with contextlib.suppress(OSError), _locked(left) as owned:  # it may be another user's
            if owned:
                shutil.rmtree(left, ignore_errors=True)
    temporary = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}.", suffix=".tmp"))
    with _locked(temporary):
        yield from _filled(temporary, target)


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[bool]:
    """Hold the folder's lock; False where another process has it, or the file system knows no locks."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        owned = True
    except OSError:
        owned = False
    try:
        yield owned
    finally:
        os.close(handle)


def _filled(temporary: Path, target: Path) -> Iterator[Path]:
    """The caller's work, then everything durable, then the name."""
    try:
        yield temporary
        temporary.chmod(0o755)
        for path in sorted(temporary.rglob("*")):
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
