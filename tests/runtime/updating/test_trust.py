"""Keys that count on a device, changed from afar: by whom, to what, and what a power cut in the middle leaves."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import pytest

from fieldlens.convert.delivery.keys import KeyFolder
from fieldlens.runtime.bundle.open import SIGNATURE, read_manifest_bytes
from fieldlens.runtime.bundle.signature import POLICY_VARIABLE, RELEASE_NAMESPACE, sign
from fieldlens.runtime.files.printable import json_text
from fieldlens.runtime.updating import keylists, memory, store, trust
from fieldlens.runtime.updating.layout import DeviceFolders, UpdateRefused
from tests.runtime.updating.device import last_event, number, updater
from tests.runtime.updating.test_updater import killed

OLD, NEW = "old@clinic", "new@clinic"


@pytest.fixture
def keys(tmp_path: Path) -> KeyFolder:
    folder = KeyFolder(tmp_path / "keys")
    folder.new(OLD, passphrase=False)
    return folder


def sign_again(folder: Path, key: Path) -> None:
    """As on the host, which has no policy."""
    (folder / SIGNATURE).write_bytes(sign(read_manifest_bytes(folder), key))


@pytest.fixture
def device(layout: DeviceFolders, keys: KeyFolder, made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Provisioned with the old key, serving version 1, which it signed; the folder of the three signed versions."""
    layout.trust.mkdir(parents=True)
    lists = keys.lists()
    for name, data in {**lists.files, keylists.KEYS: lists.data}.items():
        (layout.trust / name).write_bytes(data)
    monkeypatch.setenv(POLICY_VARIABLE, str(layout.policy))
    bundles = Path(shutil.copytree(made, tmp_path / "bundles"))
    for name in "123":
        sign_again(bundles / name, keys.folder / OLD)
    updater(layout).install(bundles / "1")
    return bundles


def envelope(keys: KeyFolder, signer: Path, namespace: str = RELEASE_NAMESPACE, **changed: object) -> bytes:
    data = dataclasses.replace(keys.lists(), **changed).data  # type: ignore[arg-type]
    return json_text({"keys": data.decode(), "signature": sign(data, signer, namespace).decode()}).encode()


def refused(layout: DeviceFolders, sent: bytes) -> UpdateRefused:
    before = {path.name: path.read_bytes() for path in layout.trust.iterdir()}
    with pytest.raises(UpdateRefused) as failed:
        trust.take(layout, sent)
    assert {path.name: path.read_bytes() for path in layout.trust.iterdir()} == before
    assert failed.value.message.endswith("the service was not touched")
    assert failed.value.hint
    assert (last_event(layout)["event"], last_event(layout)["reason"]) == ("refused", failed.value.reason)
    return failed.value


def read(path: Path) -> bytes:
    return path.read_bytes() if path.exists() else b""


def renew(keys: KeyFolder, layout: DeviceFolders, bundles: Path) -> None:
    """The whole way from one key to the other, up to where the old one could be revoked."""
    keys.new(NEW, passphrase=False)
    trust.take(layout, envelope(keys, keys.folder / OLD))
    sign_again(bundles / "1", keys.folder / NEW)
    updater(layout).install(bundles / "1")


def test_a_new_key_comes_and_the_old_one_goes(layout: DeviceFolders, keys: KeyFolder, device: Path) -> None:
    keys.new(NEW, passphrase=False)
    planned = trust.take(layout, envelope(keys, keys.folder / OLD), dry_run=True)
    assert not (layout.trust / "keys.json.new").exists()
    assert trust.number_of(layout) == 1
    done = trust.take(layout, envelope(keys, keys.folder / OLD))
    assert (done.number, done.signer, done.lost) == (2, OLD, ())
    assert done == planned
    assert [step.partition(" (SHA256:")[0] for step in done.steps] == [NEW, NEW]
    assert last_event(layout)["event"] == "keys"
    assert f"number 2, signed by {OLD}: {NEW} (SHA256:" in last_event(layout)["detail"]
    assert trust.take(layout, envelope(keys, keys.folder / OLD)).there
    keys.revoke(OLD)
    failed = refused(layout, envelope(keys, keys.folder / NEW))
    assert failed.reason == "in-use"
    assert f"tiny version 1, which serves, would not count any more: the key of {OLD} was revoked" in failed.message
    sign_again(device / "1", keys.folder / NEW)
    updater(layout).install(device / "1")
    done = trust.take(layout, envelope(keys, keys.folder / NEW))
    assert (done.number, done.signer) == (3, NEW)
    assert "is revoked" in done.steps[0]
    serving = store.serving(layout)
    assert serving is not None
    assert store.fault(layout, serving) == ""
    assert refused(layout, envelope(keys, keys.folder / OLD, number=4)).reason == "signature"


def test_the_old_key_may_bring_the_new_one_and_go_in_one_step(
    layout: DeviceFolders, keys: KeyFolder, device: Path
) -> None:
    """A bundle that the new key signed as well is not there yet, so that this takes a second version."""
    keys.new(NEW, passphrase=False)
    trust.take(layout, envelope(keys, keys.folder / OLD))
    sign_again(device / "2", keys.folder / NEW)
    updater(layout).install(device / "2")
    keys.revoke(OLD)
    sent = envelope(keys, keys.folder / OLD)
    assert trust.take(layout, sent).lost == ("tiny version 1",), "the way back"
    assert trust.take(layout, sent).there, "a line that was lost after it: the same again is no failure"
    assert number(layout) == 2


def test_who_may_not_change_them(layout: DeviceFolders, keys: KeyFolder, device: Path, tmp_path: Path) -> None:
    stranger = KeyFolder(tmp_path / "elsewhere")
    stranger.new("stranger@elsewhere", passphrase=False)
    failed = refused(layout, envelope(stranger, stranger.folder / "stranger@elsewhere", number=9))
    assert failed.reason == "signature"
    assert "the keys are signed by nobody in" in failed.message
    keys.new(NEW, passphrase=False)
    for_bundles = envelope(keys, keys.folder / OLD, namespace="fieldlens-bundle")
    assert refused(layout, for_bundles).reason == "signature", "a signature of a bundle is none of keys"
    changed = envelope(keys, keys.folder / OLD).replace(NEW.encode(), b"bad@clinic")
    assert refused(layout, changed).reason == "signature"
    assert refused(layout, envelope(keys, keys.folder / OLD)[:-20]).reason == "damaged-transfer"
    (layout.trust / keylists.RELEASE_SIGNERS).unlink()
    assert refused(layout, envelope(keys, keys.folder / OLD)).reason == "no-signers"


def test_lists_that_a_device_must_not_take(layout: DeviceFolders, keys: KeyFolder, device: Path) -> None:
    renew(keys, layout, device)
    keys.revoke(OLD)
    good = keys.lists()
    trust.take(layout, envelope(keys, keys.folder / NEW))
    new = keys.folder / NEW
    assert refused(layout, envelope(keys, new, number=good.number - 1)).reason == "older"
    assert refused(layout, envelope(keys, new, revoked="")).reason == "same-number"
    later = good.number + 1
    for changed, words in (
        ({"revoked": ""}, "a revoked key would count again: SHA256:"),
        ({"revoked": "!"}, "no base64"),
        ({"allowed_signers": ""}, "nobody in allowed_signers would count any more"),
        ({"allowed_signers": "x ssh-ed25519 AAAA\n"}, 'it lacks namespaces="fieldlens-bundle"'),
        ({"release_signers": "# nobody\n"}, "nobody in release_signers would count any more"),
        ({"kind": "fieldlens-release"}, "are no keys"),
    ):
        failed = refused(layout, envelope(keys, new, number=later, **changed))
        assert failed.reason == "keys", words
        assert words in failed.message
        assert "/tmp" not in failed.message.replace(str(layout.root), "")


def test_only_this_device_has_edited_lists(layout: DeviceFolders, keys: KeyFolder, device: Path) -> None:
    """The same number with other files is put right by the same keys."""
    (layout.trust / keylists.SIGNERS).write_text("")
    assert not trust.take(layout, envelope(keys, keys.folder / OLD)).there
    assert (layout.trust / keylists.SIGNERS).read_bytes() == keys.signers.read_bytes()


def test_a_kill_before_every_change_on_the_disk(
    layout: DeviceFolders, keys: KeyFolder, device: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The old keys count or the new ones; what serves counts with both, and is never lost on the way."""
    renew(keys, layout, device)
    keys.revoke(OLD)
    old, new, sent = trust.number_of(layout), keys.lists(), envelope(keys, keys.folder / OLD)
    change, cut, seen = 0, True, list[int]()
    while cut:
        change += 1
        copy = DeviceFolders(Path(shutil.copytree(layout.root, tmp_path / "copy", symlinks=True)))
        monkeypatch.setenv(POLICY_VARIABLE, str(copy.policy))
        cut = killed(change, copy.root, lambda: trust.let_count(copy, new, "signed by somebody"))  # noqa: B023
        serving = store.serving(copy)
        assert serving is not None
        assert store.fault(copy, serving) == "", f"killed before change {change}"
        assert "half" not in trust.finish_before_start(copy)
        seen.append(trust.number_of(copy))
        whole = new.files == {name: read(copy.trust / name) for name in new.files}
        assert (seen[-1], whole) in ((old, False), (new.number, True)), f"killed before change {change}"
        audited = [event["event"] for event in memory.events(copy)].count("keys")
        assert audited >= (2 if whole else 1), f"killed before change {change}"
        assert not (copy.trust / "keys.json.new").exists()
        if cut:
            shutil.rmtree(copy.root)
    assert change > 10
    assert seen == sorted(seen)
    assert set(seen) == {old, new.number}
    assert trust.take(copy, sent).there


def test_what_provision_brought_since_is_not_taken_back(layout: DeviceFolders, keys: KeyFolder, device: Path) -> None:
    half = keys.lists()
    (layout.trust / "keys.json.new").write_bytes(half.data)
    assert not trust.finish(layout)
    (layout.trust / "keys.json.new").write_text("{")
    assert trust.finish_before_start(layout) == ""
    assert (layout.trust / "keys.json.new.damaged").exists()
