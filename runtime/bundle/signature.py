"""Who made this bundle: OpenSSH signatures over the manifest (design, decision 7).

A policy file on the device makes a signature of a known signer the condition for looking into a bundle at all: it is
checked over the manifest's bytes before they are parsed. Signers' lines must name our namespace, so that a key trusted
for something else signs nothing here, and must carry no validity dates, because a clinic's clock may say 1970;
withdrawn keys go into a revocation list (``ssh-keygen -k``). Formats: ssh-keygen(1), ALLOWED SIGNERS.

Whatever keeps the policy from being read, or lets somebody else write it, refuses every bundle: "no policy" is only
what is certainly not there.
"""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from fieldlens.runtime.bundle import revocation
from fieldlens.runtime.errors import KitError
from fieldlens.runtime.fields import Unfit
from fieldlens.runtime.files import bounds, records, strictjson
from fieldlens.runtime.files.trusted import (
    UntrustedError,
    check_private_folder,
    check_way,
    read_guarded,
    read_linked,
    way_to,
)

NAMESPACE = "fieldlens-bundle"
RELEASE_NAMESPACE = "fieldlens-release"
"""Of the kit's own code: a key that may sign models need not sign programs."""
SYSTEM_POLICY = Path("/etc/fieldlens/policy.json")
POLICY_VARIABLE = "FIELDLENS_POLICY"
PROGRAMS = (Path("/usr/bin/ssh-keygen"), Path("/bin/ssh-keygen"), Path("/usr/local/bin/ssh-keygen"))
"""Where ``ssh-keygen`` is looked for. Not on PATH: whoever starts the program could put another one there."""
_PLAIN = {"LC_ALL": "C", "PATH": "/usr/bin:/bin"}
_SIGNING = ("HOME", "TERM", "DISPLAY", "SSH_AUTH_SOCK", "SSH_ASKPASS", "SSH_ASKPASS_REQUIRE")
"""What signing, on a host, takes from the environment: an agent, and how to ask for a passphrase."""
_TIMEOUT_S = 30.0
_RESTORE = "restore the file, owned by root and writable by nobody else"


class SignatureRefused(KitError):
    """A bundle without a signature, or with one that does not count here."""


@dataclass(frozen=True)
class Policy:
    """Whose signatures count, and which keys were withdrawn. ``override`` (hosts only) lets a flag pass unsigned.

    ``guarded``: nobody but root and us may be able to write the files. False where a person named them for one command.
    """

    allowed_signers: Path
    revoked: Path | None = None
    override: bool = False
    guarded: bool = True


def _names_a_file(name: str) -> None:
    if not name or "\0" in name:
        raise Unfit("names no file", "name one, relative to the policy's folder")


_FileName = Annotated[str, _names_a_file]


@dataclass(frozen=True)
class _PolicyForm:
    """A policy file."""

    allowed_signers: _FileName
    revoked: _FileName = ""
    override: bool = False


def device_policy() -> Policy | None:
    """The device's policy: the system's file, which nothing overrides, else the one named by $FIELDLENS_POLICY.

    A policy that cannot be read is an error and not the same as none. Raises SignatureRefused.
    """
    named = os.environ.get(POLICY_VARIABLE)
    if _is_there(SYSTEM_POLICY):
        return _read_policy(SYSTEM_POLICY)
    if named is None:
        return None
    if not named:
        raise SignatureRefused(f"${POLICY_VARIABLE} is set and empty", "name the policy's file, or unset it")
    return _read_policy(Path(named))


def _is_there(path: Path) -> bool:
    """False only where the system says that there is no such file, in a folder that we can search and that nobody else
    can empty. A link on the way (other than the first step, such as macOS's /etc) means that there should be one."""
    with _refusing(f"the signature policy {path}"):
        way = way_to(path)
        if way.end is not None:
            return True
        if further := set(way.links) - {Path(*path.absolute().parts[:2])}:
            raise UntrustedError(f"{max(further)} leads to a folder without it", "mount what the link leads to")
        if way.left == 0:
            check_private_folder(way.steps[-1][0])
    return False


def _read_policy(path: Path) -> Policy:
    with _refusing(f"the signature policy {path}"):
        value = strictjson.loads(read_guarded(path, bounds.POLICY_BYTES), bounds.POLICY_BYTES)
    form = records.read(_PolicyForm, value, str(path), SignatureRefused, hint="docs/trust.md shows the form")
    folder = path.parent
    return Policy(folder / form.allowed_signers, folder / form.revoked if form.revoked else None, form.override)


@contextlib.contextmanager
def _refusing(what: str) -> Iterator[None]:
    """Whatever keeps a file from being read is a refusal, with the reason."""
    try:
        yield
    except FileNotFoundError as error:
        raise SignatureRefused(f"{what} is missing", _RESTORE) from error
    except UntrustedError as error:
        raise SignatureRefused(f"{what} cannot be trusted: {error.message}", error.hint) from error
    except OSError as error:
        raise SignatureRefused(f"{what} cannot be read: {error.strerror or error}", _RESTORE) from error
    except ValueError as error:
        raise SignatureRefused(f"{what} cannot be read: {error}", _RESTORE) from error


def check_signature(manifest: bytes, signature: bytes | None, policy: Policy, namespace: str = NAMESPACE) -> str:
    """The signer's name, where ``signature`` is a valid one of ``manifest`` by an allowed, unrevoked key.

    Raises SignatureRefused: unsigned, altered, signed by a stranger or for another namespace, a revoked key, an
    unusable signers' file or revocation list, no ssh-keygen.
    """
    signers, revoked = read_lists(policy, namespace)
    if signature is None:
        raise SignatureRefused("the bundle is not signed", "fieldlens convert sign BUNDLE --key FILE, on the host")
    with _workplace(signature=signature, signers=signers, revoked=revoked) as folder:
        signer = _find_signer(folder, policy)
        command = ["verify", "-f", str(folder / "signers"), "-I", signer, "-n", namespace, "-s"]
        command.append(str(folder / "signature"))
        done = _ssh_keygen(command, manifest)
        if done.returncode != 0:
            raise SignatureRefused(f"the signature does not hold: {_words(done)}", _reason_hint(done, namespace))
        # A second call, because ssh-keygen gives a withdrawn key and a changed file the same words.
        if revoked and _ssh_keygen([*command, "-r", str(folder / "revoked")], manifest).returncode != 0:
            raise SignatureRefused(f"the key of {signer} was revoked", "have the bundle signed with another key")
    return signer


def read_lists(policy: Policy, namespace: str = NAMESPACE) -> tuple[bytes, bytes]:
    """The signers' file and the revocation list (empty where the policy names none), both checked.

    Raises SignatureRefused: missing, not to be trusted, a line that would surprise, a list that revokes nobody.
    """
    read = read_guarded if policy.guarded else read_linked
    with _refusing(f"{policy.allowed_signers}"):
        signers = read(policy.allowed_signers, bounds.SIGNERS_BYTES)
        _check_signers(signers.decode("utf-8"), policy.allowed_signers, namespace)
    if policy.revoked is None:
        return signers, b""
    with _refusing(f"{policy.revoked} (revoked keys)"):
        revoked = read(policy.revoked, bounds.SIGNERS_BYTES)
        count = revocation.entries(revoked)
    if count == 0:
        raise SignatureRefused(
            f"{policy.revoked} (revoked keys) revokes nobody: it is empty",
            "restore the list; where no key was ever withdrawn, remove `revoked` from the policy",
        )
    return signers, revoked


def _check_signers(text: str, path: Path, namespace: str) -> None:
    """Every line names the namespace and has no dates."""
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        where = f"{path}, line {number}"
        if not re.search(rf'\snamespaces="{namespace}"(\s|,)', line):
            raise SignatureRefused(f'{where}: it lacks namespaces="{namespace}"', f"write: {example_line(namespace)}")
        if "valid-after=" in line.lower() or "valid-before=" in line.lower():
            raise SignatureRefused(
                f"{where}: validity dates are not used here, the device's clock may be wrong",
                "remove them; withdraw keys with a revocation list (ssh-keygen -k)",
            )


def _find_signer(folder: Path, policy: Policy) -> str:
    command = ["find-principals", "-s", str(folder / "signature"), "-f", str(folder / "signers")]
    done = _ssh_keygen(command, b"")
    names = done.stdout.decode(errors="replace").split()
    if done.returncode != 0 or not names:
        raise SignatureRefused(
            f"the bundle is signed by nobody in {policy.allowed_signers} ({_words(done)})",
            "get the bundle from its maker, or add the maker's public key to that file",
        )
    return names[0].split(",")[0]


def example_line(namespace: str = NAMESPACE) -> str:
    """How a signer's line looks."""
    return f'name@clinic namespaces="{namespace}" ssh-ed25519 AAAA…'


def find_program() -> Path:
    """``ssh-keygen``, which only root (or we) can replace. Raises SignatureRefused."""
    reasons = []
    for path in PROGRAMS:
        try:
            way = way_to(path)
            if way.end is None:
                continue
            check_way(way)
        except (OSError, UntrustedError) as error:
            reasons.append(str(error))
            continue
        if os.access(way.end, os.X_OK):
            return way.end
        reasons.append(f"{path} may not be run")
    why = "; ".join(reasons) or f"it is not in {', '.join(str(path.parent) for path in PROGRAMS)}"
    raise SignatureRefused(f"ssh-keygen is not installed ({why})", "sudo apt-get install openssh-client")


def _ssh_keygen(
    arguments: list[str], stdin: bytes, environment: dict[str, str] = _PLAIN, timeout_s: float | None = _TIMEOUT_S
) -> subprocess.CompletedProcess[bytes]:
    command = [str(find_program()), "-Y", *arguments]
    try:
        return subprocess.run(
            command, input=stdin, capture_output=True, check=False, env=environment, timeout=timeout_s
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SignatureRefused(f"ssh-keygen cannot be used: {error}", "run `fieldlens doctor`") from error


@contextlib.contextmanager
def _workplace(**files: bytes) -> Iterator[Path]:
    """A folder of ours with the bytes that were checked, for a program that takes files. Raises SignatureRefused."""
    try:
        folder = tempfile.TemporaryDirectory(prefix="fieldlens-")
    except OSError as error:
        raise SignatureRefused(f"no folder for temporary files ({error.strerror})", "set TMPDIR to one") from error
    with folder as name:
        try:
            for file, data in files.items():
                Path(name, file).write_bytes(data)
        except OSError as error:
            raise SignatureRefused(f"{name} cannot be written ({error.strerror})", "make room there") from error
        yield Path(name)


def sign(manifest: bytes, key: Path, namespace: str = NAMESPACE) -> bytes:
    """An OpenSSH signature of ``manifest`` with the private key ``key`` (or, for an agent's, its public half).

    A passphrase is asked for on the terminal, which ssh-keygen opens itself. Raises SignatureRefused.
    """
    environment = {**_PLAIN, **{name: os.environ[name] for name in _SIGNING if name in os.environ}}
    with _workplace(manifest=manifest) as folder:
        file = folder / "manifest"
        done = _ssh_keygen(["sign", "-q", "-n", namespace, "-f", str(key), str(file)], b"", environment, None)
        if done.returncode != 0:
            raise SignatureRefused(f"ssh-keygen did not sign: {_words(done)}", "give an OpenSSH private key")
        return file.with_suffix(".sig").read_bytes()


def _words(done: subprocess.CompletedProcess[bytes]) -> str:
    lines = (done.stderr + b"\n" + done.stdout).decode(errors="replace").splitlines()
    return "; ".join(line.strip() for line in lines if line.strip()) or f"ssh-keygen ended with {done.returncode}"


def _reason_hint(done: subprocess.CompletedProcess[bytes], namespace: str) -> str:
    if "namespace" in _words(done).lower():
        return f"it was signed for another purpose: sign with -n {namespace}"
    return "the bundle was changed after it was signed: copy it again from its maker"
