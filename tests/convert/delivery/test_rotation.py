"""Keys that change on a device over SSH: signed by one that it knows, and never so that its bundle counts no more."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from fieldlens.cli import main
from fieldlens.convert.delivery import operate
from fieldlens.convert.delivery.keys import KeyFolder
from fieldlens.convert.delivery.remote import DeliveryFailed
from fieldlens.convert.sign import sign_bundle
from fieldlens.runtime.boundary import run_cli
from fieldlens.runtime.updating import memory
from fieldlens.runtime.updating.recovery import is_updating
from tests.convert.delivery.loopback import Loopback

OLD, NEW = "maker@test", "new@test"


def rotate(device: Loopback, key: str, **options: Any) -> dict[str, Any]:
    return operate.rotate(device.remote, device.keys, device.keys.folder / key, **options)


def refused(device: Loopback, keys: KeyFolder, key: Path) -> DeliveryFailed:
    with pytest.raises(DeliveryFailed) as failed:
        operate.rotate(device.remote, keys, key)
    assert "the service was not touched" in failed.value.message
    assert memory.events(device.layout)[-1]["reason"] == failed.value.reason
    return failed.value


def test_from_one_key_to_the_next_while_the_service_goes_on(
    device: Loopback, bundles: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    device.push(bundles / "1")
    served = (device.layout.run / "service").read_text()
    stranger = KeyFolder(tmp_path / "elsewhere")
    stranger.new("stranger@elsewhere", passphrase=False)
    assert refused(device, stranger, stranger.folder / "stranger@elsewhere").reason == "signature"

    device.keys.new(NEW, passphrase=False)
    assert rotate(device, OLD, dry_run=True)["dry_run"] is True
    device.line.bytes_up, device.line.cuts_at = 0, [3_000]
    with pytest.raises(DeliveryFailed) as cut:
        rotate(device, OLD)
    assert cut.value.reason == "connection"
    device.wait(lambda: not is_updating(device.layout), "what had arrived whole is carried out there")
    assert rotate(device, OLD)["number"] == 2
    event = next(each for each in reversed(memory.events(device.layout)) if each["event"] == "keys")
    assert f"number 2, signed by {OLD}: {NEW} (SHA256:" in event["detail"]
    assert rotate(device, OLD)["there"] is True

    device.keys.revoke(OLD)
    failed = refused(device, device.keys, device.keys.folder / NEW)
    assert failed.reason == "in-use"
    assert "sign that bundle again" in failed.hint
    assert (device.layout.run / "service").read_text() == served, "the service was never touched"
    answer = device.answer()
    assert answer is not None
    assert answer.ready

    same = Path(shutil.copytree(bundles / "1", tmp_path / "same"))
    sign_bundle(same, device.keys.folder / NEW)
    device.push(same)
    words = ["deploy", "rotate", "device", "--root", str(device.layout.root), "--ssh-config", str(device.remote.config),
             "--keys", str(device.keys.folder), "--json"]  # fmt: skip
    assert run_cli(lambda: main(words)) == 0
    reported = json.loads(capsys.readouterr().out)
    assert (reported["ok"], reported["signer"]) == (True, NEW)
    assert f"{OLD} (SHA256:" in reported["steps"][0]
    assert device.status()["keys"] == 3

    device.keys.new("third@test", passphrase=False)
    failed = refused(device, device.keys, device.keys.folder / OLD)
    assert failed.reason == "signature"
    assert f"the key of {OLD} was revoked" in failed.message
    with pytest.raises(DeliveryFailed) as old_bundle:
        device.push(bundles / "2")
    assert old_bundle.value.reason == "signature"
    assert device.status()["service"]["as_linked"] is True
