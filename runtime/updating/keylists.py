"""The lists of those whose signatures count on a device, and what can be asked of them. Formats: ssh-keygen(1)."""

from __future__ import annotations

import base64
import binascii
import contextlib
import hashlib
import re
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from fieldlens.runtime.bundle.signature import Policy, find_program
from fieldlens.runtime.files import records
from fieldlens.runtime.files.printable import json_text
from fieldlens.runtime.updating.layout import UpdateRefused

SIGNERS, RELEASE_SIGNERS, REVOKED, KEYS = "allowed_signers", "release_signers", "revoked.krl", "keys.json"
KIND = "fieldlens-keys"
PROVISION = "./deploy.sh provision HOST brings the keys as its administrator"
_KEY = re.compile(r"(?:^|\s)((?:ssh|ecdsa|sk)-[A-Za-z0-9@.-]+\s+[A-Za-z0-9+/]+={0,3})(?=\s|$)")


@dataclass(frozen=True)
class KeyLists:
    """What travels. ``number`` grows with each change; ``revoked``: OpenSSH's revocation list, in base64, or empty."""

    kind: str
    number: int
    allowed_signers: str
    release_signers: str
    revoked: str = ""

    @property
    def data(self) -> bytes:
        """What is signed."""
        return json_text(asdict(self)).encode()

    @property
    def files(self) -> dict[str, bytes]:
        """Name → bytes, in an order in which each step leaves lists that let the serving bundle count.

        Raises UpdateRefused.
        """
        found = {SIGNERS: self.allowed_signers.encode(), RELEASE_SIGNERS: self.release_signers.encode()}
        policy = {"allowed_signers": SIGNERS}
        if self.revoked:
            try:
                found[REVOKED] = base64.b64decode(self.revoked, validate=True)
            except binascii.Error as error:
                raise unfit(f"the revocation list is no base64 ({error})", "send the keys again") from error
            policy["revoked"] = REVOKED
        return {**found, "policy.json": (json_text(policy) + "\n").encode()}


def read_lists_file(place: Path) -> KeyLists:
    """Raises UpdateRefused."""
    return records.read_file(KeyLists, place, damaged_list, PROVISION)


@contextlib.contextmanager
def laid_out(lists: KeyLists) -> Iterator[Path]:
    """The lists as files, to be looked at."""
    with tempfile.TemporaryDirectory(prefix="fieldlens-") as name:
        for file, data in lists.files.items():
            Path(name, file).write_bytes(data)
        yield Path(name)


def policy_in(folder: Path, signers: str, *, guarded: bool = True) -> Policy:
    """Reads one of the lists in ``folder``, and the revocation list there. ``guarded``: see :class:`Policy`."""
    revoked = folder / REVOKED
    return Policy(folder / signers, revoked if revoked.exists() else None, guarded=guarded)


def keys_of(path: Path) -> dict[str, str]:
    """Public key → whose it is."""
    found = {}
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else []:
        if not line.lstrip().startswith("#") and (match := _KEY.search(line)):
            found[" ".join(match[1].split())] = line.split()[0]
    return found


def titled(key: str, names: dict[str, str]) -> str:
    """For people."""
    return f"{names[key]} ({fingerprint_of(key)})"


def fingerprint_of(key: str) -> str:
    """As ssh-keygen -l shows it."""
    try:
        digest = hashlib.sha256(base64.b64decode(key.split()[1])).digest()
    except binascii.Error:
        return f"{key[:40]}…, which is no key"
    return f"SHA256:{base64.b64encode(digest).decode().rstrip('=')}"


def is_revoked(public: str, revoked: Path) -> bool:
    """``ssh-keygen -Q`` ends with 1 for a key that is on the list. False where there is no list."""
    if not revoked.exists():
        return False
    command: list[Any] = [find_program(), "-Q", "-f", revoked, "/dev/stdin"]
    done = subprocess.run(command, input=f"{public}\n", capture_output=True, text=True, check=False, timeout=60)
    return done.returncode != 0


def damaged_list(message: str, hint: str) -> UpdateRefused:
    """What is kept cannot be read."""
    return UpdateRefused("damaged-record", message, hint)


def unfit(message: str, hint: str) -> UpdateRefused:
    """Lists that a device must not take."""
    return UpdateRefused("keys", message, hint)
