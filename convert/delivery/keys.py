"""Keys of those who vouch for bundles and releases: OpenSSH keys, signers' files, a revocation list.

Everything is in OpenSSH's own formats (ssh-keygen(1): ALLOWED SIGNERS, KEY REVOCATION LISTS), in one folder, and a key
that exists is used and never replaced.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from fieldlens.runtime.bundle import revocation
from fieldlens.runtime.bundle.signature import NAMESPACE, RELEASE_NAMESPACE, find_program
from fieldlens.runtime.errors import ConfigError, KitError
from fieldlens.runtime.files import atomic
from fieldlens.runtime.updating.keylists import KIND, RELEASE_SIGNERS, REVOKED, SIGNERS, KeyLists

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.@+-]{0,99}")
_NUMBER = "number.json"
_FILES = {SIGNERS: NAMESPACE, RELEASE_SIGNERS: RELEASE_NAMESPACE}


def default_folder() -> Path:
    """``$XDG_CONFIG_HOME/fieldlens/keys``, else the same below ``~/.config``."""
    base = os.environ.get("XDG_CONFIG_HOME") or str(Path.home() / ".config")
    return Path(base) / "fieldlens/keys"


@dataclass(frozen=True)
class SignerKey:
    """One key: who it belongs to, its public half, its fingerprint. ``private``: where we have the other half."""

    name: str
    public: str
    fingerprint: str
    revoked: bool
    private: Path | None = None


class KeyFolder:
    """The keys, signers' files and revocation list in ``folder``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def signers(self) -> Path:
        """Whose bundles count."""
        return self.folder / SIGNERS

    @property
    def releases(self) -> Path:
        """Whose releases of this kit count."""
        return self.folder / RELEASE_SIGNERS

    @property
    def revoked(self) -> Path:
        """Keys that were withdrawn; not there as long as none was."""
        return self.folder / REVOKED

    def new(self, name: str, *, existing: Path | None = None, passphrase: bool = True) -> SignerKey:
        """Make a key for ``name``, or take the public half ``existing``; both signers' files name it from now on.

        A key of this name that is there is used as it is. Raises ConfigError, KitError.
        """
        if not _NAME.fullmatch(name):
            raise ConfigError(f"{name!r} cannot be a signer's name", "for example maker@clinic")
        public_file = self.folder / f"{name}.pub"
        atomic.make_folder(self.folder)
        if existing is not None:
            self._adopt(existing, public_file)
        elif not public_file.exists():
            words = ["-q", "-t", "ed25519", "-C", name, "-f", str(self.folder / name)]
            run_keygen([*words, *([] if passphrase else ["-N", ""])], ask=passphrase)
        public = " ".join(public_file.read_text(encoding="utf-8").split()[:2])
        for file, namespace in _FILES.items():
            self._add_line(self.folder / file, f'{name} namespaces="{namespace}" {public}', public)
        return next(key for key in self.all() if key.name == name)

    def lists(self) -> KeyLists:
        """What devices get: every list, and a number that grows whenever one has changed. Raises ConfigError."""
        revoked = base64.b64encode(self.revoked.read_bytes()).decode() if self.revoked.exists() else ""
        signers, releases = (path.read_text(encoding="utf-8") for path in (self.signers, self.releases))
        now = hashlib.sha256("\0".join((signers, releases, revoked)).encode()).hexdigest()
        number, before = self._numbered()
        if now != before:
            number += 1
            atomic.write_json(self.folder / _NUMBER, {"number": number, "sha256": now}, atomic.PUBLIC)
        return KeyLists(KIND, number, signers, releases, revoked)

    def _numbered(self) -> tuple[int, str]:
        """The last number, and the SHA-256 of the lists that had it."""
        path = self.folder / _NUMBER
        if not path.exists():
            return 0, ""
        try:
            value = json.loads(path.read_text(encoding="utf-8"))
            return int(value["number"]), str(value["sha256"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ConfigError(
                f"{path} cannot be read ({error})", "write the number that `fieldlens device status` shows as "
                '{"number": N, "sha256": ""}',
            ) from error  # fmt: skip

    def all(self) -> list[SignerKey]:
        """Every key that the signers' file names."""
        if not self.signers.exists():
            return []
        found = []
        for line in self.signers.read_text(encoding="utf-8").splitlines():
            words = line.split()
            if len(words) >= 4 and not line.startswith("#"):
                private = self.folder / words[0]
                public = " ".join(words[2:4])
                found.append(
                    SignerKey(
                        words[0], public, self._fingerprint(public), self._is_revoked(public),
                        private if private.exists() else None,
                    )
                )  # fmt: skip
        return found

    def revoke(self, name: str) -> SignerKey:
        """Put a key on the revocation list; doing it twice changes nothing. Raises ConfigError."""
        key = next((each for each in self.all() if each.name == name), None)
        if key is None:
            names = ", ".join(each.name for each in self.all()) or "none"
            raise ConfigError(f"there is no key of {name} in {self.folder}", f"there are: {names}")
        if not key.revoked:
            update = ["-u"] if self.revoked.exists() else []
            run_keygen(["-k", *update, "-f", str(self.revoked), "-"], f"key: {key.public}\n")
            if revocation.entries(self.revoked.read_bytes()) == 0:
                raise KitError(
                    f"{self.revoked} revokes nobody after ssh-keygen wrote it", "look at it: ssh-keygen -Q -l"
                )
        return next(each for each in self.all() if each.name == name)

    def _adopt(self, existing: Path, public_file: Path) -> None:
        try:
            text = existing.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(
                f"--from {existing} cannot be read ({error})", "give the public half, NAME.pub"
            ) from error
        if "PRIVATE KEY" in text or len(text.split()) < 2:
            raise ConfigError(f"--from {existing} is no public key", "give the public half, NAME.pub")
        self._fingerprint(" ".join(text.split()[:2]))
        if public_file.exists() and public_file.read_text(encoding="utf-8").split()[:2] != text.split()[:2]:
            raise ConfigError(f"{public_file} is another key", "a key is never replaced: choose another name")
        atomic.write_text(public_file, text, atomic.PUBLIC)

    def _add_line(self, path: Path, line: str, public: str) -> None:
        before = path.read_text(encoding="utf-8") if path.exists() else ""
        if public not in before:
            atomic.write_text(path, f"{before}{line}\n", atomic.PUBLIC)

    def _fingerprint(self, public: str) -> str:
        return run_keygen(["-l", "-f", "-"], f"{public}\n").split()[1]

    def _is_revoked(self, public: str) -> bool:
        """ssh-keygen -Q ends with 1 for a key that is on the list."""
        if not self.revoked.exists():
            return False
        done = _keygen(["-Q", "-f", str(self.revoked), "/dev/stdin"], f"{public}\n")
        return done.returncode != 0


def run_keygen(words: list[str], given: str = "", *, ask: bool = False) -> str:
    """What ssh-keygen prints. ``ask``: it may ask for a passphrase on the terminal. Raises KitError."""
    done = _keygen(words, None if ask else given)
    if done.returncode != 0:
        said = " ".join((done.stderr or done.stdout or "").split()) or f"it ended with {done.returncode}"
        raise KitError(f"ssh-keygen: {said}", "check the file; `ssh-keygen -l -f FILE` shows what it is")
    return done.stdout or ""


def _keygen(words: list[str], given: str | None) -> subprocess.CompletedProcess[str]:
    command = [str(find_program()), *words]
    if given is None:
        return subprocess.run(command, check=False, text=True, stdout=subprocess.PIPE)
    return subprocess.run(command, input=given, capture_output=True, text=True, check=False, timeout=60)
