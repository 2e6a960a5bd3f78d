"""The audit's key: a file of its own beside the records, that only the station's user can read."""

from __future__ import annotations

import secrets
from pathlib import Path

from fieldlens.runtime.errors import KitError
from fieldlens.runtime.files import atomic

KEY_FILE = "audit.key"
_BYTES = 32


def read_key(folder: Path) -> bytes:
    """The key of the log in ``folder``. Raises KitError where it is missing or no key."""
    path = folder / KEY_FILE
    try:
        key = path.read_bytes()
    except OSError as error:
        raise KitError(
            f"{path}: the audit's key cannot be read ({error.strerror})", "restore it from a backup of the station"
        ) from error
    if len(key) != _BYTES:
        raise KitError(f"{path}: not an audit key", "restore it from a backup of the station")
    return key


def make_key(folder: Path) -> bytes:
    """A new key. Raises OSError."""
    key = secrets.token_bytes(_BYTES)
    atomic.write_bytes(folder / KEY_FILE, key)
    return key
