"""What a device remembers of its updates: small JSON files, each written whole or not at all."""

from __future__ import annotations

import os
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TypeVar

from fieldlens.runtime.files import atomic, records
from fieldlens.runtime.files.printable import json_text
from fieldlens.runtime.updating.layout import DeviceFolders, InstalledVersion, UpdateRefused

T = TypeVar("T")
_CLOCK_IS_SET_S = 1_735_689_600.0
"""2025-01-01 UTC: an earlier clock was never set."""


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
    """Why ``refused`` was taken back. ``at_s``: this device's clock, which may be wrong, as a Unix time."""

    refused: InstalledVersion
    to: InstalledVersion | None
    reason: str
    detail: str
    at_s: float


def load(kind: type[T], path: Path) -> T | None:
    """A kept record; None where there is none. Raises UpdateRefused for one that is damaged."""
    if not path.exists():
        return None
    return records.read_file(kind, path, _damaged, "restore the file, or remove it and push the bundle again")


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
    """Add a line to the events. Nothing depends on its time: a clock in 1970 only looks odd there."""
    now = time.time()
    line = {
        "event": event, "version": asdict(version) if version else None, "reason": reason, "detail": detail,
        "at_s": now, "clock_is_set": clock_is_set(now), "by_uid": os.getuid(),
    }  # fmt: skip
    with layout.events.open("ab") as file:
        file.write((json_text(line) + "\n").encode())
        file.flush()
        os.fsync(file.fileno())


def clock_is_set(now: float | None = None) -> bool:
    """False where the clock shows a time before this software was written."""
    return (time.time() if now is None else now) >= _CLOCK_IS_SET_S


def _damaged(message: str, hint: str) -> UpdateRefused:
    return UpdateRefused("damaged-record", message, hint)
