"""The first line of a command, and what is known before anything heavy is imported: can its paths be used at all?

A mistyped path must not cost the half minute that torch takes to load. Progress goes to standard error; standard output
is for results.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import stat
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from fieldlens.runtime.errors import BundleError, ConfigError, KitError, OutputError
from fieldlens.runtime.files.printable import json_text, printable
from fieldlens.runtime.files.writable import check_file, check_folder

_MANIFEST = "manifest.json"
_ABSENT, _FILE, _FOLDER, _UNKNOWN = "absent", "file", "folder", "unknown"
_SHORTEST_S = 0.1
"""What loads quicker is not reported."""


def leads() -> bool:
    """Whether this process speaks for the command: of several that torchrun started, the first."""
    return os.environ.get("RANK", "0") == "0"


def say(text: str) -> None:
    """One line on standard error, at once. That nobody can read it is no reason to stop."""
    if sys.stderr is not None and leads():
        with contextlib.suppress(OSError, ValueError):
            print(printable(text), file=sys.stderr, flush=True)


@contextlib.contextmanager
def loading(what: str) -> Iterator[None]:
    """Say that a library is being imported; when it took long enough to wait for, say how long."""
    say(f"loading {what} …")
    began = time.perf_counter()
    yield
    if (seconds := time.perf_counter() - began) > _SHORTEST_S:
        say(f"loaded {what} in {seconds:.1f} s")


def exists(path: Path) -> bool:
    """Whether something is there, or may be: what cannot be looked at is left to whoever opens it, who says why."""
    return _kind(path) != _ABSENT


def is_folder(path: Path) -> bool:
    """Whether it is a folder, or may be one."""
    return _kind(path) in (_FOLDER, _UNKNOWN)


def _kind(path: Path) -> str:
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return _ABSENT
    except OSError:
        return _UNKNOWN
    return _FOLDER if stat.S_ISDIR(mode) else _FILE


def bundle(path: Path) -> None:
    """Raises BundleError where ``path`` can neither be a bundle nor hold one."""
    hint = "give the folder NAME.bundle that `fieldlens convert bundle` made"
    if not exists(path):
        raise BundleError(f"{path} does not exist", hint)
    if not is_folder(path):
        raise BundleError(f"{path} is not a folder", hint)
    if not exists(path / _MANIFEST) and not (path / _MANIFEST).is_symlink() and not any(path.glob(f"*/{_MANIFEST}")):
        raise BundleError(f"{path.name}: {_MANIFEST} is missing", hint)


def folder(path: Path | None, option: str) -> None:
    """Raises ConfigError where a folder that an option names is none."""
    if path is not None and not is_folder(path):
        what = "is not a folder" if exists(path) else "does not exist"
        raise ConfigError(f"{option} {path} {what}", "give a folder that is there")


def file(path: Path | None, option: str) -> None:
    """Raises ConfigError where a file that an option names is none."""
    if path is not None and _kind(path) not in (_FILE, _UNKNOWN):
        what = "is not a file" if exists(path) else "does not exist"
        raise ConfigError(f"{option} {path} {what}", "give a file that is there")


def port(number: int | None, option: str) -> None:
    """Raises ConfigError for what is no port of a machine elsewhere, which nobody can look up there."""
    if number is not None and not 1 <= number <= 65535:
        raise ConfigError(f"{option} {number} is not a port", "give 1 to 65535, for example 8080")


def also_as_json(begin: Callable[[argparse.Namespace], str]) -> Callable[[argparse.Namespace], str]:
    """The same first line; with ``--json``, what it refuses is an object on standard output, too, as later failures."""

    def wrapped(arguments: argparse.Namespace) -> str:
        try:
            return begin(arguments)
        except KitError as error:
            if arguments.json:
                print(json_text({"ok": False, "reason": "usage", "message": error.message, "hint": error.hint}))
            raise

    return wrapped


def new_folder(path: Path, why: str = "") -> None:
    """Raises OutputError where a folder to be written is in use, or cannot be made. ``why``: the hint's beginning."""
    if in_use(path):
        raise OutputError(f"{path} exists and is not empty", f"{why}choose another --out")
    outputs([], [path.parent])


def outputs(files: Iterable[Path | None], folders: Iterable[Path | None] = ()) -> None:
    """Raises OutputError where what a command will write at its end cannot be written, or made, there."""
    for check, paths in ((check_file, files), (check_folder, folders)):
        for path in filter(None, paths):
            try:
                check(path)
            except OSError as error:
                raise OutputError(f"{path}: cannot be written ({error.strerror})", "choose another place") from error


def in_use(path: Path) -> bool:
    """Whether there is something where a new folder is to be written."""
    try:
        return path.exists() and not (path.is_dir() and not any(path.iterdir()))
    except OSError as error:
        raise OutputError(f"{path}: cannot be written ({error.strerror})", "choose another --out") from error


def sources(words: list[str]) -> None:
    """Raises KitError where no source can be answered: all are plain paths, and nothing is there."""
    plain = [word for word in words if not _may_be_there(word)]
    if len(plain) < len(words) or any(os.path.lexists(word) for word in plain):
        return
    hint = "a camera's address begins with rtsp:// or http://"
    first = f"{words[0]}: there is no such file"
    raise KitError(f"no input could be classified (of {len(words)}); the first: {first}", hint)


def _may_be_there(word: str) -> bool:
    """Standard input, an address, a pattern, a device: what a look at the disk does not decide."""
    return word == "-" or "://" in word or word.startswith("/dev/") or bool(set(word) & set("*?["))
