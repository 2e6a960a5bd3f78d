"""Encryption to a key of the clinic's, done by age or GnuPG: no cryptography of our own, and no secret key here."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from fieldlens.runtime.errors import KitError
from fieldlens.runtime.files import atomic

FOLDERS = "/usr/bin:/bin:/usr/local/bin"
"""Where the programs are looked for. Not on PATH: whoever starts the command could put others there."""
SEALED = (b"age-encryption.org/v1", b"-----BEGIN AGE ENCRYPTED", b"-----BEGIN PGP MESSAGE", b"\x84", b"\x85", b"\xc1")
"""How encrypted files begin: age, armoured or not; OpenPGP (RFC 9580, public-key encrypted session key)."""
_LONGEST_KEY, _END_S = 65_536, 60.0
_AGE = re.compile(r"age1[02-9ac-hj-np-z]{58}|ssh-(ed25519|rsa) [A-Za-z0-9+/=]+( .*)?")
_SECRET = re.compile(r"AGE-SECRET-KEY|PRIVATE KEY")
_PGP = "-----BEGIN PGP PUBLIC KEY BLOCK-----"
_KINDS = "an age or SSH public key (age1…, ssh-ed25519 …), or an armoured OpenPGP public key"


@dataclass(frozen=True)
class Recipient:
    """A public key in a file, and the program that encrypts to it."""

    key: Path
    program: str


def recipient_of(key: Path) -> Recipient:
    """Whose public key ``key`` is. Raises KitError: no key, a secret one, or its program is not installed."""
    try:
        with key.open("rb") as file:
            text = file.read(_LONGEST_KEY + 1).decode("ascii", "replace")
    except OSError as error:
        raise KitError(f"{key}: the key cannot be read ({error.strerror})", f"give a file with {_KINDS}") from error
    if _SECRET.search(text):
        raise KitError(f"{key}: this is a secret key", "it must never come to a station; give its public half")
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]
    if len(text) <= _LONGEST_KEY and lines and all(_AGE.fullmatch(line) for line in lines):
        name = "age"
    elif _PGP in text:
        name = "gpg"
    else:
        raise KitError(f"{key}: not a public key", f"give a file with {_KINDS}")
    found = shutil.which(name, path=FOLDERS)
    if found is None:
        package = {"age": "age", "gpg": "gnupg"}[name]
        raise KitError(f"{name} is not installed, so nothing was written", f"sudo apt-get install {package}")
    return Recipient(key, found)


@contextlib.contextmanager
def sealed_file(target: Path, recipient: Recipient | None) -> Iterator[IO[bytes]]:
    """A file for its owner alone, whole or not there; what is written is encrypted before it reaches the disk.

    Raises KitError where the program fails, and OSError.
    """
    atomic.make_folder(target.parent)
    part = target.with_name(f".{target.name}.part")
    try:
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, atomic.PRIVATE), "wb") as file:
            if recipient is None:
                yield file
            else:
                with _encrypting(file, recipient) as plain:
                    yield plain
            file.flush()
            os.fsync(file.fileno())
        part.replace(target)
        atomic.fsync_folder(target.parent)
    finally:
        part.unlink(missing_ok=True)


@contextlib.contextmanager
def _encrypting(file: IO[bytes], recipient: Recipient) -> Iterator[IO[bytes]]:
    with tempfile.TemporaryDirectory() as home, tempfile.TemporaryFile() as said:
        process = subprocess.Popen(
            _command(recipient, Path(home)), stdin=subprocess.PIPE, stdout=file, stderr=said,
            env={"LC_ALL": "C", "PATH": FOLDERS, "HOME": home},
        )  # fmt: skip
        assert process.stdin is not None
        broken = False
        try:
            with process.stdin as plain:
                yield plain
        except BrokenPipeError:
            broken = True
        except BaseException:
            process.kill()
            raise
        finally:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_END_S)
        if broken or process.returncode != 0:
            process.kill()
            said.seek(0)
            words = said.read(2000).decode("utf-8", "replace").strip().splitlines()
            reason = words[-1] if words else f"exit code {process.returncode}"
            raise KitError(f"{recipient.key}: nothing was encrypted ({reason})", "check that the key is still good")


def _command(recipient: Recipient, home: Path) -> list[str]:
    if Path(recipient.program).name == "age":
        return [recipient.program, "--encrypt", "--recipients-file", str(recipient.key)]
    return [
        recipient.program, "--batch", "--no-tty", "--no-options", "--homedir", str(home), "--trust-model", "always",
        "--recipient-file", str(recipient.key), "--encrypt", "--output", "-",
    ]  # fmt: skip
