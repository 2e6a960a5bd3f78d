"""Signatures with a real ssh-keygen: who may have made a bundle, and what a device refuses before parsing it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from fieldlens.runtime.bundle import signature
from fieldlens.runtime.bundle.open import MANIFEST, SIGNATURE, open_bundle
from fieldlens.runtime.bundle.signature import NAMESPACE, Policy, SignatureRefused, check_signature, sign
from fieldlens.runtime.errors import BundleError

ROOT = Path(__file__).parents[3]
DATA = b'{"a": "manifest"}'


def make_key(folder: Path, name: str) -> Path:
    command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", str(folder / name)]
    subprocess.run(command, check=True)
    return folder / name


def signer_line(key: Path, options: str = f'namespaces="{NAMESPACE}"') -> str:
    return f"{key.name}@clinic {options} {key.with_suffix('.pub').read_text()}"


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("keys")
    return {name: make_key(folder, name) for name in ("maker", "stranger")}


@pytest.fixture
def policy(tmp_path: Path, keys: dict[str, Path]) -> Policy:
    signers = tmp_path / "allowed signers"
    signers.write_text("# who may\n\n" + signer_line(keys["maker"]))
    return Policy(signers)


def test_the_makers_signature_counts(keys: dict[str, Path], policy: Policy) -> None:
    assert check_signature(DATA, sign(DATA, keys["maker"]), policy) == "maker@clinic"


def test_unsigned_is_refused(policy: Policy) -> None:
    with pytest.raises(SignatureRefused, match="is not signed"):
        check_signature(DATA, None, policy)


def test_a_changed_manifest_is_refused(keys: dict[str, Path], policy: Policy) -> None:
    with pytest.raises(SignatureRefused, match="does not hold") as caught:
        check_signature(DATA + b" ", sign(DATA, keys["maker"]), policy)
    assert "changed after it was signed" in caught.value.hint


def test_a_stranger_is_refused(keys: dict[str, Path], policy: Policy) -> None:
    with pytest.raises(SignatureRefused, match="signed by nobody in"):
        check_signature(DATA, sign(DATA, keys["stranger"]), policy)


def test_a_signature_for_another_purpose_is_refused(keys: dict[str, Path], policy: Policy) -> None:
    elsewhere = sign(DATA, keys["maker"], "file")
    with pytest.raises(SignatureRefused) as caught:
        check_signature(DATA, elsewhere, policy)
    assert "namespace" in caught.value.message + caught.value.hint


def test_a_revoked_key_is_refused(keys: dict[str, Path], policy: Policy, tmp_path: Path) -> None:
    revoked = tmp_path / "revoked.krl"
    subprocess.run(["ssh-keygen", "-q", "-k", "-f", str(revoked), f"{keys['maker']}.pub"], check=True)
    with pytest.raises(SignatureRefused, match=r"(?i)revoked"):
        check_signature(DATA, sign(DATA, keys["maker"]), Policy(policy.allowed_signers, revoked))
    with pytest.raises(SignatureRefused, match="is missing"):
        check_signature(DATA, sign(DATA, keys["maker"]), Policy(policy.allowed_signers, tmp_path / "none"))


@pytest.mark.parametrize("noise", [b"", b"not a signature", b"-----BEGIN SSH SIGNATURE-----\nAAAA\n"])
def test_what_is_no_signature_is_refused(policy: Policy, noise: bytes) -> None:
    with pytest.raises(SignatureRefused):
        check_signature(DATA, noise, policy)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("", 'lacks namespaces="fieldlens-bundle"'),
        ('namespaces="file"', "lacks namespaces"),
        (f'namespaces="{NAMESPACE}",valid-before="20300101"', "validity dates"),
        (f'valid-after="20200101",namespaces="{NAMESPACE}"', "namespaces|validity dates"),
    ],
)
def test_a_signers_line_that_would_surprise_is_refused(
    keys: dict[str, Path], tmp_path: Path, options: str, words: str
) -> None:
    signers = tmp_path / "signers"
    signers.write_text(signer_line(keys["maker"], options))
    with pytest.raises(SignatureRefused, match=words) as caught:
        check_signature(DATA, sign(DATA, keys["maker"]), Policy(signers))
    assert "line 1" in caught.value.message


def test_no_ssh_keygen_says_what_to_install(policy: Policy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signature, "PROGRAMS", (Path("/nowhere/ssh-keygen"),))
    with pytest.raises(SignatureRefused) as caught:
        check_signature(DATA, b"x", policy)
    assert "openssh-client" in caught.value.hint


@pytest.fixture
def strict_device(tmp_path: Path, policy: Policy, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine whose policy file asks for signatures."""
    file = tmp_path / "policy.json"
    file.write_text(json.dumps({"allowed_signers": policy.allowed_signers.name}))
    monkeypatch.setenv(signature.POLICY_VARIABLE, str(file))
    return file


def test_a_device_with_a_policy_opens_only_what_the_maker_signed(
    strict_device: Path, copy: Path, keys: dict[str, Path]
) -> None:
    with pytest.raises(SignatureRefused, match="is not signed"):
        open_bundle(copy)
    manifest = (copy / MANIFEST).read_bytes()
    (copy / SIGNATURE).write_bytes(sign(manifest, keys["stranger"]))
    with pytest.raises(SignatureRefused, match="signed by nobody"):
        open_bundle(copy)
    (copy / SIGNATURE).write_bytes(sign(manifest, keys["maker"]))
    assert open_bundle(copy).manifest.name == "tiny"


def test_the_signature_is_checked_before_anything_is_parsed(strict_device: Path, copy: Path) -> None:
    (copy / MANIFEST).write_text("this is not even JSON")
    with pytest.raises(SignatureRefused):
        open_bundle(copy)


def test_a_flag_overrides_only_where_the_policy_says_so(strict_device: Path, copy: Path) -> None:
    with pytest.raises(SignatureRefused):
        open_bundle(copy, allow_unsigned=True)
    policy = json.loads(strict_device.read_text())
    strict_device.write_text(json.dumps({**policy, "override": True}))
    assert open_bundle(copy, allow_unsigned=True).manifest.name == "tiny"
    with pytest.raises(SignatureRefused):
        open_bundle(copy)


def test_the_systems_policy_is_not_overridden_by_the_environment(
    tmp_path: Path, copy: Path, policy: Policy, monkeypatch: pytest.MonkeyPatch
) -> None:
    system = tmp_path / "system.json"
    system.write_text(json.dumps({"allowed_signers": policy.allowed_signers.name}))
    monkeypatch.setattr(signature, "SYSTEM_POLICY", system)
    monkeypatch.setenv(signature.POLICY_VARIABLE, str(tmp_path / "none.json"))
    with pytest.raises(SignatureRefused, match="is not signed"):
        open_bundle(copy)


@pytest.mark.parametrize("text", ["{", "[]", '{"allowed_signers": 1}', '{"allowed": "x"}'])
def test_a_policy_that_cannot_be_read_is_not_the_same_as_none(strict_device: Path, copy: Path, text: str) -> None:
    strict_device.write_text(text)
    with pytest.raises(SignatureRefused):
        open_bundle(copy)


def test_a_signature_that_is_a_link_is_refused(strict_device: Path, copy: Path, keys: dict[str, Path]) -> None:
    elsewhere = copy.parent / "sig"
    elsewhere.write_bytes(sign((copy / MANIFEST).read_bytes(), keys["maker"]))
    (copy / SIGNATURE).symlink_to(elsewhere)
    with pytest.raises(BundleError, match=r"manifest\.json\.sig"):
        open_bundle(copy)


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_the_two_commands(copy: Path, keys: dict[str, Path], policy: Policy) -> None:
    assert "not signed" in run("runtime", "verify", copy).stdout
    signed = run("convert", "sign", copy, "--key", keys["maker"])
    assert signed.returncode == 0, signed.stderr
    checked = run("runtime", "verify", copy, "--allowed-signers", policy.allowed_signers)
    assert checked.returncode == 0, checked.stderr
    assert "signed by maker@clinic" in checked.stdout
    (copy / "model.fp32.onnx").write_bytes(b"changed")
    refused = run("runtime", "verify", copy, "--allowed-signers", policy.allowed_signers)
    assert refused.returncode == 2
    assert "does not match its hash" in refused.stderr
    again = run("convert", "sign", copy, "--key", keys["maker"])
    assert again.returncode == 2
    assert run("convert", "sign", copy, "--key", copy / MANIFEST).returncode == 2
