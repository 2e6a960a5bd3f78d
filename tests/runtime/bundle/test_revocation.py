"""Revocation lists: what OpenSSH makes is counted, and one that revokes nobody is told from one that does."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from fieldlens.runtime.bundle import revocation

_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDnwA6sPEbcZMbtfHNZWtcvxCvHqxhmjTVtbrjJ2fbHk"


def test_the_lists_that_openssh_makes(tmp_path: Path) -> None:
    """Binary lists by ``ssh-keygen -k``: without a key, with one, with hashes, with certificates."""
    key = tmp_path / "key.pub"
    key.write_text(_KEY + "\n")
    sources = {
        "none": "", "key": _KEY, "sha1": f"sha1: {_KEY}", "sha256": f"sha256: {_KEY}", "serial": "serial: 1-5",
        "id": "id: somebody",
    }  # fmt: skip
    counts = {}
    for name, text in sources.items():
        (tmp_path / "source").write_text(text + "\n")
        made = tmp_path / name
        command = ["ssh-keygen", "-q", "-k", "-s", str(key), "-f", str(made), str(tmp_path / "source")]
        subprocess.run(command, check=True, capture_output=True)
        counts[name] = revocation.entries(made.read_bytes())
    assert counts == {"none": 0, "key": 1, "sha1": 1, "sha256": 1, "serial": 1, "id": 1}
    whole = (tmp_path / "key").read_bytes()
    for end in range(9, len(whole)):
        if end != len(whole) - len(_section(whole)):  # there it is a list without sections
            with pytest.raises(ValueError, match="cut short"):
                revocation.entries(whole[:end])


def _section(whole: bytes) -> bytes:
    """The one section of a list without a comment, as it ends the file."""
    return whole[8 + 4 + 3 * 8 + 4 + 4 :]


def test_lists_of_public_keys() -> None:
    assert revocation.entries(f"# gone\n{_KEY} who\n\n  {_KEY}\n".encode()) == 2
    for line in ("ssh-ed25519", "ssh-rsa AAAA", f"ssh-rsa {_KEY.split()[1]}", "SHA256:abc", "ssh-ed25519 !!!"):
        with pytest.raises(ValueError, match="line 1 is no public key"):
            revocation.entries(line.encode())
