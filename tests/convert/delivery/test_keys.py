"""Keys of signers: made with OpenSSH's own tools, never replaced, withdrawn for good."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from fieldlens.convert.delivery.keys import KeyFolder
from fieldlens.convert.sign import sign_bundle
from fieldlens.runtime.bundle.open import open_bundle
from fieldlens.runtime.bundle.signature import Policy, SignatureRefused
from fieldlens.runtime.errors import ConfigError


@pytest.fixture
def keys(tmp_path: Path) -> KeyFolder:
    folder = KeyFolder(tmp_path / "keys")
    folder.new("maker@clinic", passphrase=False)
    return folder


def policy_of(keys: KeyFolder) -> Policy:
    return Policy(keys.signers, keys.revoked if keys.revoked.exists() else None, guarded=False)


def test_a_new_key_signs_what_a_device_takes(keys: KeyFolder, tiny_folder: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(tiny_folder, tmp_path / "copy.bundle"))
    sign_bundle(copy, keys.folder / "maker@clinic")
    assert open_bundle(copy, signers=policy_of(keys)).signer == "maker@clinic"
    keys.new("other@clinic", passphrase=False)
    assert open_bundle(copy, signers=policy_of(keys)).signer == "maker@clinic"
    assert keys.revoke("maker@clinic").revoked
    with pytest.raises(SignatureRefused, match="was revoked"):
        open_bundle(copy, signers=policy_of(keys))
    sign_bundle(copy, keys.folder / "other@clinic")
    assert open_bundle(copy, signers=policy_of(keys)).signer == "other@clinic"


def test_a_key_is_used_and_never_replaced(keys: KeyFolder) -> None:
    private = keys.folder / "maker@clinic"
    before, lines = private.read_bytes(), keys.signers.read_text()
    keys.new("maker@clinic", passphrase=False)
    assert (private.read_bytes(), keys.signers.read_text()) == (before, lines)
    assert private.stat().st_mode & 0o077 == 0


def test_a_key_that_exists_elsewhere(keys: KeyFolder, tmp_path: Path) -> None:
    other = KeyFolder(tmp_path / "elsewhere")
    made = other.new("a", passphrase=False)
    taken = keys.new("agent@clinic", existing=other.folder / "a.pub")
    assert (taken.fingerprint, taken.private) == (made.fingerprint, None)
    with pytest.raises(ConfigError, match="another key"):
        keys.new("maker@clinic", existing=other.folder / "a.pub")
    with pytest.raises(ConfigError, match="no public key"):
        keys.new("b@clinic", existing=other.folder / "a")


def test_revoking_twice_and_more(keys: KeyFolder) -> None:
    keys.new("other@clinic", passphrase=False)
    keys.revoke("maker@clinic")
    keys.revoke("maker@clinic")
    assert [(key.name, key.revoked) for key in keys.all()] == [("maker@clinic", True), ("other@clinic", False)]
    keys.revoke("other@clinic")
    assert all(key.revoked for key in keys.all())


@pytest.mark.parametrize("name", ["", "a b", "../x", "-x", 'x"'])
def test_names_that_are_none(keys: KeyFolder, name: str) -> None:
    with pytest.raises(ConfigError):
        keys.new(name, passphrase=False)
    with pytest.raises(ConfigError, match="there is no key"):
        keys.revoke(name)


def test_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from fieldlens.cli import main

    folder = ["--keys", str(tmp_path / "keys")]
    assert main(["keys", "show", *folder]) == 0
    assert "no keys in" in capsys.readouterr().out
    assert main(["keys", "new", "maker@clinic", "--no-passphrase", *folder]) == 0
    assert "fieldlens convert sign NAME.bundle --key" in capsys.readouterr().out
    assert main(["keys", "revoke", "maker@clinic", *folder]) == 0
    assert "no key counts any more" in capsys.readouterr().out
    assert main(["keys", "show", *folder]) == 0
    assert "REVOKED" in capsys.readouterr().out
