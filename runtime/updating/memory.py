"""What a device remembers of its updates: small JSON files, each written whole or not at all."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from fieldlens.runtime.files import atomic, bounds, records, strictjson
from fieldlens.runtime.files.printable import json_text
from fieldlens.runtime.updating.layout import DeviceFolders, InstalledVersion, UpdateRefused

T = TypeVar("T")
_CLOCK_IS_SET_S = 1_735_689_600.0
"""2025-01-01 UTC: an earlier clock was never set."""
EVENTS_BYTES = 4_000_000
"""Some 10,000 events, of which a device that is updated daily has four a day."""


@dataclass(frozen=True)
class Good:
    """``version`` passed its health check. ``before``: where ``rollback`` goes. ``highest``: name → number."""

    version: InstalledVersion
    before: InstalledVersion | None = None
    highest: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Pending:
    """An update that is being tried: ``to`` instead of ``since`` (None: nothing served before)."""

    to: InstalledVersion
    since: InstalledVersion | None
    going_back: bool = False


@dataclass(frozen=True)
class Starts:
    """Of the service, with the version that is being tried."""

    count: int


@dataclass(frozen=True)
class Returned:
    """Why ``refused`` was taken back (None: a record was damaged, and nobody knows what was being tried).

    ``to``: what serves since then. ``at_s``: this device's clock, which may be wrong, as a Unix time.
    """

    refused: InstalledVersion | None
    to: InstalledVersion | None
    reason: str
    detail: str
    at_s: float


def load(kind: type[T], path: Path) -> T | None:
    """A kept record; None where there is none. Raises UpdateRefused for one that is damaged."""
    if not path.exists():
        return None
    return records.read_file(kind, path, _damaged, "restore the file, or remove it and push the bundle again")


def look(kind: type[T], path: Path) -> tuple[T | None, str]:
    """A kept record, and what is wrong with it (empty where nothing is): what must go on looks, and does not stop."""
    try:
        return load(kind, path), ""
    except UpdateRefused as error:
        return None, error.message
    except OSError as error:  # the disk does not let it be read
        return None, f"{path} cannot be read: {error.strerror or error}"


def set_aside(path: Path) -> None:
    """Keep a damaged record beside its place, as ``NAME.damaged``, for whoever wants to know. Raises OSError."""
    path.replace(path.with_name(f"{path.name}.damaged"))
    atomic.fsync_folder(path.parent)


def save(path: Path, record: object) -> None:
    """Write a record whole or not at all. Raises OSError."""
    atomic.write_json(path, asdict(record))  # type: ignore[call-overload]


def forget(path: Path) -> None:
    """Remove a record for good. Raises OSError."""
    path.unlink(missing_ok=True)
    atomic.fsync_folder(path.parent)


def note(
    layout: DeviceFolders, event: str, version: InstalledVersion | None, reason: str = "", detail: str = ""
) -> None:
    """Add a line to the events. Nothing depends on its time: a clock in 1970 only looks odd there. Raises OSError.

    A file of EVENTS_BYTES becomes the old one, and the old one before goes.
    """
    now = time.time()
    line = {
        "event": event, "version": asdict(version) if version else None, "reason": reason, "detail": detail,
        "at_s": now, "clock_is_set": clock_is_set(now), "by_uid": os.getuid(),
    }  # fmt: skip
    with contextlib.suppress(FileNotFoundError):
        if layout.events.stat().st_size >= EVENTS_BYTES:
            layout.events.replace(layout.old_events)
    with layout.events.open("ab") as file:
        if file.tell() and not _ends_a_line(layout.events):
            file.write(b"\n")  # a power cut left half a line
        file.write((json_text(line) + "\n").encode())
        file.flush()
        os.fsync(file.fileno())


def _ends_a_line(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read() == b"\n"


def attempt(work: Callable[[], object]) -> str:
    """Do what must not keep the device from going back; why it failed, empty where it did not."""
    try:
        work()
    except OSError as error:
        return f"{error.filename or 'the disk'}: {error.strerror or error}"
    return ""


def events(layout: DeviceFolders) -> list[dict[str, Any]]:
    """What happened so far, oldest first. A line that cannot be read is left out."""
    text, found = "", []
    for path in (layout.old_events, layout.events):
        with contextlib.suppress(OSError):
            text += path.read_text(encoding="utf-8", errors="replace")
    for line in text.splitlines():
        with contextlib.suppress(strictjson.JsonError):
            value = strictjson.loads(line.encode(), bounds.RECORD_BYTES)
            if isinstance(value, dict):
                found.append(value)
    return found


def once_good(layout: DeviceFolders) -> list[InstalledVersion]:
    """Versions that the events call good, the newest event first."""
    found = []
    for event in reversed(events(layout)):
        if event.get("event") == "good":
            with contextlib.suppress(UpdateRefused):
                version = records.read(InstalledVersion, event.get("version"), "an event", _damaged)
                if version not in found:
                    found.append(version)
    return found


def clock_is_set(now: float | None = None) -> bool:
    """False where the clock shows a time before this software was written."""
    return (time.time() if now is None else now) >= _CLOCK_IS_SET_S


def _damaged(message: str, hint: str) -> UpdateRefused:
    return UpdateRefused("damaged-record", message, hint)
