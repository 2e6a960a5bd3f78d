"""Who made this bundle: OpenSSH signatures over the manifest (design, decision 7).

A policy file on the device makes a signature of a known signer the condition for looking into a bundle at all: it is
checked over the manifest's bytes before they are parsed. Signers' lines must name our namespace, so that a key trusted
for something else signs nothing here, and must carry no validity dates, because a clinic's clock may say 1970;
withdrawn keys go into a revocation list (``ssh-keygen -k``). Formats: ssh-keygen(1), ALLOWED SIGNERS.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from fieldlens.runtime.errors import KitError
from fieldlens.runtime.fields import Fields

NAMESPACE = "fieldlens-bundle"
SYSTEM_POLICY = Path("/etc/fieldlens/policy.json")
POLICY_VARIABLE = "FIELDLENS_POLICY"


class SignatureRefused(KitError):
    """A bundle without a signature, or with one that does not count here."""


@dataclass(frozen=True)
class Policy:
    """Whose signatures count, and which keys were withdrawn. ``override`` (hosts only) lets a flag pass unsigned."""

    allowed_signers: Path
    revoked: Path | None = None
    override: bool = False


def device_policy() -> Policy | None:
    """The device's policy: the system's file, which nothing overrides, else the one named by $FIELDLENS_POLICY.

    A policy that cannot be read is an error and not the same as none. Raises SignatureRefused.
    """
    named = os.environ.get(POLICY_VARIABLE)
    path = SYSTEM_POLICY if SYSTEM_POLICY.exists() else Path(named) if named else None
    if path is None:
        return None
    try:
        value = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise SignatureRefused(f"the signature policy {path} cannot be read: {error}", "restore the file") from error
    fields = Fields(value, str(path), SignatureRefused)
    policy = Policy(
        path.parent / fields.take("allowed_signers", str),
        path.parent / revoked if (revoked := fields.take("revoked", str, "")) else None,
        fields.take("override", bool, False),
    )
    fields.done()
    return policy


def check_signature(manifest: bytes, signature: bytes | None, policy: Policy) -> str:
    """The signer's name, where ``signature`` is a valid one of ``manifest`` by an allowed, unrevoked key.

    Raises SignatureRefused: unsigned, altered, signed by a stranger or for another namespace, a revoked key, an
    unusable signers' file, no ssh-keygen.
    """
    _check_signers(policy)
    if signature is None:
        raise SignatureRefused("the bundle is not signed", "python -m convert sign BUNDLE --key FILE, on the host")
    with tempfile.TemporaryDirectory(prefix="fieldlens-") as folder:
        file = Path(folder, "signature")
        file.write_bytes(signature)
        signer = _find_signer(file, policy)
        command = ["verify", "-f", str(policy.allowed_signers), "-I", signer, "-n", NAMESPACE, "-s", str(file)]
        done = _ssh_keygen(command, manifest)
        if done.returncode != 0:
            raise SignatureRefused(f"the signature does not hold: {_words(done)}", _reason_hint(done))
        # A second call, because ssh-keygen gives a withdrawn key and a changed file the same words.
        if policy.revoked and _ssh_keygen([*command, "-r", str(policy.revoked)], manifest).returncode != 0:
            raise SignatureRefused(f"the key of {signer} was revoked", "have the bundle signed with another key")
    return signer


def _find_signer(signature: Path, policy: Policy) -> str:
    done = _ssh_keygen(["find-principals", "-s", str(signature), "-f", str(policy.allowed_signers)], b"")
    names = done.stdout.decode(errors="replace").split()
    if done.returncode != 0 or not names:
        raise SignatureRefused(
            f"the bundle is signed by nobody in {policy.allowed_signers} ({_words(done)})",
            "get the bundle from its maker, or add the maker's public key to that file",
        )
    return names[0].split(",")[0]


def _check_signers(policy: Policy) -> None:
    """Every line names our namespace and has no dates."""
    try:
        lines = policy.allowed_signers.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise SignatureRefused(f"{policy.allowed_signers} cannot be read: {error}", "restore the file") from error
    if policy.revoked is not None and not policy.revoked.is_file():
        raise SignatureRefused(f"{policy.revoked} (revoked keys) is missing", "restore the file")
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        where = f"{policy.allowed_signers}, line {number}"
        if not re.search(rf'\snamespaces="{NAMESPACE}"(\s|,)', line):
            raise SignatureRefused(f'{where}: it lacks namespaces="{NAMESPACE}"', f"write: {example_line()}")
        if "valid-after=" in line or "valid-before=" in line:
            raise SignatureRefused(
                f"{where}: validity dates are not used here, the device's clock may be wrong",
                "remove them; withdraw keys with a revocation list (ssh-keygen -k)",
            )


def example_line() -> str:
    """How a signer's line looks."""
    return f'name@clinic namespaces="{NAMESPACE}" ssh-ed25519 AAAA…'


def _ssh_keygen(arguments: list[str], stdin: bytes) -> subprocess.CompletedProcess[bytes]:
    program = shutil.which("ssh-keygen")
    if program is None:
        raise SignatureRefused("ssh-keygen is not installed", "sudo apt-get install openssh-client")
    command = [program, "-Y", *arguments]
    environment = {**os.environ, "LC_ALL": "C"}
    return subprocess.run(command, input=stdin, capture_output=True, check=False, env=environment)


def sign(manifest: bytes, key: Path) -> bytes:
    """An OpenSSH signature of ``manifest`` with the private key ``key`` (or, for an agent's, its public half).

    A passphrase is asked for on the terminal, which ssh-keygen opens itself. Raises SignatureRefused.
    """
    with tempfile.TemporaryDirectory(prefix="fieldlens-") as folder:
        file = Path(folder, "manifest")
        file.write_bytes(manifest)
        done = _ssh_keygen(["sign", "-q", "-n", NAMESPACE, "-f", str(key), str(file)], b"")
        if done.returncode != 0:
            raise SignatureRefused(f"ssh-keygen did not sign: {_words(done)}", "give an OpenSSH private key")
        return file.with_suffix(".sig").read_bytes()


def _words(done: subprocess.CompletedProcess[bytes]) -> str:
    lines = (done.stderr + b"\n" + done.stdout).decode(errors="replace").splitlines()
    return "; ".join(line.strip() for line in lines if line.strip()) or f"ssh-keygen ended with {done.returncode}"


def _reason_hint(done: subprocess.CompletedProcess[bytes]) -> str:
    if "namespace" in _words(done).lower():
        return f"it was signed for another purpose: sign with -n {NAMESPACE}"
    return "the bundle was changed after it was signed: copy it again from its maker"
