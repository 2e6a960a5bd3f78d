"""Backups: one tar file with the records and the images, taken while the station runs; restored whole or not at all."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import sqlite3
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from fieldlens.runtime.audit import chain
from fieldlens.runtime.audit.chain import AuditEntry
from fieldlens.runtime.audit.key import KEY_FILE
from fieldlens.runtime.errors import KitError
from fieldlens.runtime.files import atomic
from fieldlens.runtime.files.printable import json_text
from fieldlens.runtime.station.records.audit_key import add_event
from fieldlens.runtime.station.records.database import DATABASE, copy_to, open_database, own_schemas, reading
from fieldlens.runtime.station.records.image_files import IMAGES
from fieldlens.runtime.station.records.sealing import SEALED, Recipient, sealed_file
from fieldlens.runtime.station.records.search import Filters, find_all
from fieldlens.runtime.station.records.table import table_lines

_CONTENTS = "backup.json"
COPY = ".records"
"""Ends the name of the copy that a backup is made of; it lies with the records, where nobody else can read it."""


@dataclass(frozen=True)
class BackupMade:
    """What is in it."""

    results: int
    images: int
    bytes: int


def make(data: Path, target: Path, recipient: Recipient | None = None) -> BackupMade:
    """Write ``target``: a tar whose last member lists the others with their SHA-256. Raises KitError.

    With ``recipient`` it is encrypted on its way to the disk: the stick never holds a readable byte.
    """
    source = _records_in(data)
    if target.exists():
        raise KitError(f"{target}: exists already", "choose another name; a backup never replaces one")
    copy = data / f".{target.name}{COPY}"
    add_event(data, AuditEntry("export", detail=f"backup{'' if recipient is None else ', encrypted'}"))
    try:
        with reading(source) as connection:
            copy_to(connection, copy)
        with sealed_file(target, recipient) as file:
            results, images = _write(file, copy, data)
    except (OSError, sqlite3.Error) as error:
        raise KitError(f"{target}: not written ({_text(error)})", f"make room: df -h '{target.parent}'") from error
    finally:
        copy.unlink(missing_ok=True)
    return BackupMade(results, images, target.stat().st_size)


def _write(file: IO[bytes], copy: Path, data_folder: Path) -> tuple[int, int]:
    """The records as they were copied, and the images that they name. One deleted meanwhile is left out with its row
    still there; restore tells. How many of each."""
    listed: dict[str, str] = {}
    images = data_folder / IMAGES
    with contextlib.closing(sqlite3.connect(copy)) as connection:
        results = int(connection.execute("SELECT count(*) FROM results").fetchone()[0])
        named = [(path, digest) for path, digest in connection.execute("SELECT path, sha256 FROM files ORDER BY path")]
    with tarfile.open(fileobj=file, mode="w|", format=tarfile.PAX_FORMAT) as archive:
        listed[DATABASE] = _add(archive, DATABASE, copy.read_bytes())
        listed[KEY_FILE] = _add(archive, KEY_FILE, (data_folder / KEY_FILE).read_bytes())
        for path, digest in named:
            data = (images / path).read_bytes() if (images / path).is_file() else b""
            if hashlib.sha256(data).hexdigest() == digest:
                listed[f"{IMAGES}/{path}"] = _add(archive, f"{IMAGES}/{path}", data)
        _add(archive, _CONTENTS, json_text({"format": 1, "files": listed}).encode())
    return results, len(listed) - 2


def _add(archive: tarfile.TarFile, name: str, data: bytes) -> str:
    """One member without owner and time; its SHA-256."""
    member = tarfile.TarInfo(name)
    member.size, member.mode = len(data), atomic.PRIVATE
    archive.addfile(member, io.BytesIO(data))
    return hashlib.sha256(data).hexdigest()


def restore(source: Path, data: Path) -> BackupMade:
    """Make ``data`` from a backup; it must be missing or empty. Every file is checked first. Raises KitError."""
    broken = KitError(f"{source}: not a whole backup", "take another one; this one was cut short or changed")
    if _is_sealed(source):
        raise KitError(
            f"{source}: is encrypted",
            f"decrypt it where the clinic's secret key is: age --decrypt -i KEY '{source}' > backup.tar, "
            f"or gpg --output backup.tar --decrypt '{source}'",
        )
    try:
        with tarfile.open(source, "r:") as archive, atomic.folder(data) as folder:
            listed = _extract(archive, folder)
            if listed is None:
                raise broken
            with contextlib.closing(open_database(folder / DATABASE, own_schemas())) as connection:
                results = int(connection.execute("SELECT count(*) FROM results").fetchone()[0])
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    except FileExistsError:
        raise KitError(f"{data}: is not empty", "give a new folder; records are never overwritten") from None
    except FileNotFoundError:
        raise KitError(f"{source}: there is no such file", "check the path") from None
    except (tarfile.TarError, EOFError, ValueError) as error:
        raise broken from error
    except OSError as error:
        raise KitError(f"{data}: cannot be written ({_text(error)})", f"make room: df -h '{data.parent}'") from error
    return BackupMade(results, listed, source.stat().st_size)


def _is_sealed(source: Path) -> bool:
    try:
        with source.open("rb") as file:
            first = file.read(32)
    except OSError:
        return False
    return first.startswith(SEALED)


def _extract(archive: tarfile.TarFile, folder: Path) -> int | None:
    """Ordinary files of our own names only, compared with the list at the end; the number of images, or None."""
    found: dict[str, str] = {}
    listed: dict[str, str] | None = None
    for member in archive:
        stream = archive.extractfile(member) if member.isreg() else None
        if stream is None:
            return None
        if member.name == _CONTENTS:
            listed = json.loads(stream.read())["files"]
            continue
        if member.name not in (DATABASE, KEY_FILE) and not _ours(member.name):
            return None
        data = stream.read()
        atomic.write_bytes(folder / member.name, data)
        found[member.name] = hashlib.sha256(data).hexdigest()
    whole = listed is not None and found == listed and DATABASE in found
    return sum(name.startswith(f"{IMAGES}/") for name in found) if whole else None


def _ours(name: str) -> bool:
    parts = name.split("/")
    return len(parts) == 3 and parts[0] == IMAGES and all(part.strip(".") == part and part for part in parts)


def export_table(data: Path, target: Path, recipient: Recipient | None = None) -> int:
    """Every result as a CSV file, encrypted where there is a ``recipient``; how many. Raises KitError."""
    count = 0
    source = _records_in(data)
    add_event(data, AuditEntry("export", detail=f"CSV{'' if recipient is None else ', encrypted'}"))
    with reading(source) as connection:
        classes = _classes(connection.execute)
        lines = list(table_lines(find_all(connection, Filters()), classes, str(chain.head(connection))))
        count = len(lines) - 1
    try:
        with sealed_file(target, recipient) as file:
            file.write("".join(lines).encode())
    except OSError as error:
        raise KitError(f"{target}: cannot be written ({_text(error)})", "choose another place") from error
    return count


def _classes(execute: Callable[[str], sqlite3.Cursor]) -> list[str]:
    """Every class that any result knows, in the order of their first use."""
    found: dict[str, None] = {}
    for row in execute("SELECT DISTINCT probabilities FROM results GROUP BY bundle_hash ORDER BY min(number)"):
        found.update(dict.fromkeys(json.loads(row[0])))
    return list(found)


def _records_in(data: Path) -> Path:
    path = data / DATABASE
    if not path.is_file():
        raise KitError(f"{data}: has no records", "give the --data of a station")
    return path


def _text(error: OSError | sqlite3.Error) -> str:
    return error.strerror if isinstance(error, OSError) and error.strerror else str(error)
