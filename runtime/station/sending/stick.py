"""Packages on a stick where there is no line; and the receipt that comes back, without which they stay in the queue."""

from __future__ import annotations

import hmac
import re
from pathlib import Path

from fieldlens.runtime.audit.chain import AuditEntry
from fieldlens.runtime.errors import KitError
from fieldlens.runtime.station.clock import CLOCK
from fieldlens.runtime.station.records import outbox
from fieldlens.runtime.station.records.audit_key import add_event, change
from fieldlens.runtime.station.records.database import DATABASE, reading
from fieldlens.runtime.station.records.image_files import IMAGES, ImageFiles
from fieldlens.runtime.station.records.sealing import Recipient, sealed_file
from fieldlens.runtime.station.records.search import find_one
from fieldlens.runtime.station.sending.package import Package, package_of

_LINE = re.compile(r"([0-9a-f]{64}) [ *](?:.*/)?([0-9a-f]{32})\.tar")
"""As sha256sum prints it."""
_LONGEST = 16_000_000


def write(data: Path, folder: Path, recipient: Recipient | None) -> tuple[int, int]:
    """Every package that waits, as ``ID.tar`` (``.age``, ``.gpg``), into ``folder``; those that are there are left.

    How many were written, and how many wait. It is logged before. Raises KitError.
    """
    waiting = [each.result_id for each in _unsent(data)]
    ending = "" if recipient is None else f".{Path(recipient.program).name}"
    add_event(data, AuditEntry("export", detail=f"packages{ending and ', encrypted'}: {len(waiting)} wait"))
    written = 0
    for id in waiting:
        target = folder / f"{id}.tar{ending}"
        package = None if target.exists() else _package(data, id)
        if package is None:
            continue
        try:
            with sealed_file(target, recipient) as file:
                file.write(package.data)
        except OSError as error:
            raise KitError(f"{target}: not written ({error.strerror})", f"make room: df -h '{folder}'") from error
        written += 1
    return written, len(waiting)


def received(data: Path, receipt: Path) -> tuple[int, int]:
    """Take out of the queue what the receiver's ``sha256sum *.tar`` names with the right hash.

    How many, and how many lines were of something else. Raises KitError.
    """
    try:
        with receipt.open("rb") as file:
            text = file.read(_LONGEST).decode("ascii", "replace")
    except OSError as error:
        raise KitError(f"{receipt}: cannot be read ({error.strerror})", "the receiver's sha256sum *.tar") from error
    lines = [line for line in text.splitlines() if line.strip()]
    waiting = {each.result_id for each in _unsent(data)}
    taken = 0
    for line in lines:
        found = _LINE.fullmatch(line.strip())
        if found is None or found[2] not in waiting:
            continue
        package = _package(data, found[2])
        if package is not None and hmac.compare_digest(package.sha256, found[1]):
            _sent(data, package.id)
            waiting.discard(package.id)
            taken += 1
    return taken, len(lines) - taken


def _sent(data: Path, id: str) -> None:
    entry = AuditEntry("send", about=id, detail="by a stick; receipt")
    change(data, lambda connection: outbox.sent(connection, id, CLOCK.stamp()), entry)


def _unsent(data: Path) -> list[outbox.Waiting]:
    if not (data / DATABASE).is_file():
        raise KitError(f"{data}: has no records", "give the --data of a station")
    with reading(data / DATABASE) as connection:
        return outbox.unsent(connection)


def _package(data: Path, id: str) -> Package | None:
    """None where the result was deleted meanwhile."""
    with reading(data / DATABASE) as connection:
        result = find_one(connection, id)
    if result is None:
        return None
    try:
        return package_of(result, ImageFiles(data / IMAGES))
    except OSError as error:
        raise KitError(f"{data / IMAGES}: an image cannot be read ({error})", "check the disk") from error
