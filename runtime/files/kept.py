"""What this device makes itself and trusts later: bound to what it was made from, and to a hash over its bytes.

Compiled models, self-test results, records of engines, camera limits and timing caches are read once, compared, and
used from those same bytes. What is damaged, or was made from something else, is never used: its maker makes it again,
and says so.

A file is one line of JSON (format, identity, SHA-256, size), then the payload. A hash finds damage. It does not stop a
program of the same user, which can write a file and its hash: the folder's owner and mode do (``trusted``).
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, TypeVar

from fieldlens.runtime.errors import KitError
from fieldlens.runtime.files import atomic, records, strictjson
from fieldlens.runtime.files.bounds import RECORD_BYTES
from fieldlens.runtime.files.trusted import check_private_folder, make_private_folder, read_regular

FORMAT = 1
MAX_BYTES = 4 * 2**30
"""No compiled model or engine of this kit comes near; a larger file is not one of them."""
_HEADER_BYTES = 65_536
_AGAIN = "nothing to do: it is made again"

Identity = dict[str, Any]
T = TypeVar("T")


class DamagedError(KitError):
    """A kept file that is not what was written: damaged, cut short, or made from something else."""


def save(path: Path, identity: Identity, payload: bytes) -> None:
    """Keep ``payload`` (file 0600, new folders 0700). Raises OSError, and UntrustedError for a folder of others."""
    make_private_folder(path.parent)
    head = {"format": FORMAT, "identity": identity, "sha256": _hash(identity, payload), "size": len(payload)}
    line = json.dumps(head, sort_keys=True, ensure_ascii=True, allow_nan=False).encode()
    if len(line) >= _HEADER_BYTES:
        raise ValueError(f"{path.name}: an identity of {len(line)} bytes")
    atomic.write_bytes(path, line + b"\n" + payload, 0o600)


def load(path: Path, identity: Identity, limit: int = MAX_BYTES) -> bytes | None:
    """The payload kept for exactly ``identity``, from a file of at most ``limit`` bytes; None where there is none.

    Raises DamagedError, and UntrustedError for a file or folder that is not ours alone.
    """
    found = load_any(path, limit)
    if found is None:
        return None
    kept, payload = found
    if kept != json.loads(json.dumps(identity)):  # tuples are lists in JSON
        raise DamagedError(f"{path.name} was made from something else", _AGAIN)
    return payload


def hidden(path: Path) -> bool:
    """Whether the folders above a file keep this user from seeing whether it is there: a state that is not ours."""
    try:
        path.lstat()
    except PermissionError:
        return True
    except OSError:
        return False
    return False


def load_any(path: Path, limit: int = MAX_BYTES) -> tuple[Identity, bytes] | None:
    """The identity and payload of a file that is whole, for a caller that judges the identity; None: no such file."""
    try:
        path.lstat()
        check_private_folder(path.parent)
        data = read_regular(path, limit, private=True)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise DamagedError(f"{path.name} cannot be read ({error.strerror})", _AGAIN) from error
    line = data[:_HEADER_BYTES].partition(b"\n")[0]
    payload = data[len(line) + 1 :]
    try:
        head = strictjson.loads(line, _HEADER_BYTES)
        kept = head["identity"]
        sound = head["format"] == FORMAT and head["size"] == len(payload) and head["sha256"] == _hash(kept, payload)
    except (strictjson.JsonError, TypeError, KeyError):
        sound = False
    if not sound:
        raise DamagedError(f"{path.name} is damaged, or from another version of this kit", _AGAIN)
    return kept, payload


def record(kind: type[T], payload: bytes, where: str) -> T:
    """A payload that is one record as JSON. Raises DamagedError for another version's, too."""
    try:
        value = strictjson.loads(payload, RECORD_BYTES)
    except strictjson.JsonError as error:
        raise DamagedError(f"{where} cannot be read: {error}", _AGAIN) from error
    return records.read(kind, value, where, DamagedError, renew=_AGAIN)


def _hash(identity: Identity, payload: bytes) -> str:
    """SHA-256 over the identity, then the payload: neither can be swapped for another file's."""
    digest = hashlib.sha256(json.dumps(identity, sort_keys=True, ensure_ascii=True).encode() + b"\n")
    digest.update(payload)
    return digest.hexdigest()
