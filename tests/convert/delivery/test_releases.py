"""The kit's own code on a device: checked by the code that runs, tried, and taken back."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from fieldlens.convert.delivery.provision import Provision
from fieldlens.convert.delivery.remote import DeliveryFailed
from fieldlens.runtime.updating import memory, releases
from fieldlens.runtime.updating.layout import UpdateRefused
from tests.convert.delivery.loopback import Loopback


@pytest.fixture(scope="module")
def running(device: Loopback, bundles: Path) -> str:
    """The release that serves version 1 of the bundle."""
    device.push(bundles / "1", allow_downgrade=True)
    return device.layout.code.readlink().name


def release(device: Loopback, key: Path | None) -> str:
    return Provision(device.remote, device.keys, python=device.python, key=key).release().release


def test_a_release_is_checked_repaired_and_adopted(device: Loopback, running: str) -> None:
    folder = device.layout.releases / running
    shutil.rmtree(folder / "lib/fieldlens/benchmarks")
    with pytest.raises(DeliveryFailed, match="the release is not signed") as failed:
        release(device, None)
    assert failed.value.reason == "signature"
    assert release(device, device.keys.folder / "maker@test") == running
    assert (folder / "lib/fieldlens/benchmarks").is_dir()
    assert memory.events(device.layout)[-1]["event"] == "release"
    (folder / "lib/fieldlens/extra.py").write_text("")
    with pytest.raises(UpdateRefused, match=r"extra\.py is missing or not listed"):
        releases.check_release(device.layout, folder)
    (folder / "lib/fieldlens/extra.py").unlink()
    answer = device.answer()
    assert answer is not None
    assert answer.ready


def test_an_interrupted_trial_ends_before_the_service_starts(device: Loopback, running: str) -> None:
    layout = device.layout
    memory.save(layout.pending_release, releases.PendingRelease("0.2.0-broken", running))
    releases.point_code(layout, "0.2.0-broken")
    assert releases.end_interrupted(layout) == running
    assert layout.code.readlink().name == running
    assert not layout.pending_release.exists()
    assert releases.end_interrupted(layout) is None


def test_old_releases_go_after_a_good_one(device: Loopback, running: str) -> None:
    """What ran before stays, so that there is a way back."""
    layout = device.layout
    older = layout.releases / "0.0.9-older"
    older.mkdir()
    before = shutil.copytree(layout.releases / running, layout.releases / "0.1.0-before")
    releases.point_code(layout, before.name)
    assert release(device, device.keys.folder / "maker@test") == running
    assert sorted(path.name for path in layout.releases.iterdir()) == sorted([before.name, running])


def test_a_full_disk_is_seen_before_anything_is_sent(
    device: Loopback, running: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = device.line.bytes_up
    monkeypatch.setattr("fieldlens.convert.delivery.provision.SPARE_BYTES", 10**15)
    with pytest.raises(DeliveryFailed, match="the release needs") as failed:
        release(device, device.keys.folder / "maker@test")
    assert failed.value.reason == "disk-full"
    assert device.line.bytes_up - sent < 20_000
    assert device.layout.code.readlink().name == running
