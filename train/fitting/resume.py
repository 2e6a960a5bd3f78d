"""A run folder in use: new, unfinished or finished; one fit at a time in it; and what must be the same to go on."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fieldlens.runtime.errors import KitError
from fieldlens.runtime.files.atomic import make_folder
from fieldlens.runtime.files.private_names import KEY_FILE
from fieldlens.train.checkpoint import LOCAL, read_checkpoint
from fieldlens.train.config import Config
from fieldlens.train.data.samples import DataSet
from fieldlens.train.data.splits import Split, split_hash
from fieldlens.train.errors import RunError, listing
from fieldlens.train.fitting.run_data import CACHE
from fieldlens.train.recipe import config_from_json

NEW, UNFINISHED, FINISHED = "new", "unfinished", "finished"

_EARLY = {"config.json", "split.csv", LOCAL, CACHE, KEY_FILE}
"""What a fit may have left that was killed before it wrote ``run.json``."""


def state_of(run: Path, resume: bool) -> str:
    """``new``, ``unfinished`` or ``finished``. Raises RunError: in use and not to be resumed, or not a run."""
    if not run.exists() or (run.is_dir() and not any(run.iterdir())):
        return NEW
    names = {path.name for path in run.iterdir() if not _temporary(path)} if run.is_dir() else {run.name}
    state = FINISHED if "operating-point.json" in names else UNFINISHED
    ours = run.is_dir() and "run.json" in names
    if resume and ours:
        return state
    if resume and run.is_dir() and names <= _EARLY:
        return NEW
    which = f", with {'a finished' if state == FINISHED else 'an unfinished'} run" if ours else ""
    hint = "go on with --resume, or " if ours and state == UNFINISHED else ""
    raise RunError(f"{run} exists and is not empty{which}", f"{hint}choose another --out, or remove the folder first")


def check_same(run: Path, config: Config, data: DataSet, parts: Split, weights: str) -> None:
    """Raises RunError that lists everything in which an unfinished run differs from what is asked now."""
    facts, before = _json(run / "run.json"), _json(run / "config.json")
    try:
        old = config_from_json(before).to_json()
        known = {"data": facts["data"]["hash"], "split": facts["data"]["split_hash"], "weights": facts["weights"]}
    except (KitError, KeyError, TypeError) as error:
        raise RunError(f"{run} was written by another version of the kit ({error})", "fit into a new folder") from error
    new = config.to_json()
    problems = [
        f"{section}.{key}: {old[section][key]!r} in the run, {value!r} now"
        for section, values in new.items() for key, value in values.items() if old[section][key] != value
    ]  # fmt: skip
    now = {"data": data.hash, "split": split_hash(parts), "weights": weights}
    for name, value in now.items():
        if known[name] != value:
            problems.append(f"{name}: {known[name][:12]} in the run, {value[:12]} now (SHA-256)")
    if problems:
        raise RunError(listing(f"{run} cannot be resumed: it was begun otherwise", problems), "fit into a new folder")


def last_state(run: Path) -> dict[str, Any] | None:
    """The state after the last whole epoch; None before the first. Raises RunError."""
    if not (run / "last.pt").exists():
        return None
    state = read_checkpoint(run / "last.pt")
    if missing := sorted({"epoch", "history", "optimizer"} - set(state)):
        raise RunError(f"{run / 'last.pt'} cannot be resumed: it has no {missing[0]}", "fit into a new folder")
    return state


@contextlib.contextmanager
def alone_in(run: Path) -> Iterator[None]:
    """Make the folder, lock it against a second fit while the block runs, and sweep what a kill has left.

    Raises RunError if another process trains into it. The lock is the folder's own and ends with the process.
    """
    make_folder(run)
    handle = os.open(run, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise RunError(f"another process is training into {run}", "wait for it, or choose another --out") from error
        except OSError:
            pass  # a network drive without locks
        for path in run.iterdir():
            if _temporary(path):
                path.unlink()
        yield
    finally:
        os.close(handle)


def _temporary(path: Path) -> bool:
    """A file of ``fieldlens.runtime.files.atomic`` that a kill has left."""
    return path.name.startswith(".") and path.name.endswith(".tmp") and path.is_file()


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RunError(f"{path} cannot be read: {error}", "fit into a new folder") from error
