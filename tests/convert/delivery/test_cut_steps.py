"""`provision` and `release`, cut at every step in turn: the device serves what it served, and the same again completes.

`provision` at CI_STEPS steps in CI, the last one among them; both at all steps with --full.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from fieldlens.convert.delivery import release as releases
from fieldlens.convert.delivery.provision import Provision
from fieldlens.convert.delivery.remote import DeliveryFailed
from fieldlens.runtime.updating import trust
from fieldlens.runtime.updating.status import status_of
from tests.convert.delivery.loopback import Loopback

CI_STEPS = 2
BUILD = releases.build_release


@pytest.fixture(scope="module")
def serving(device: Loopback, bundles: Path) -> Loopback:
    """Version 1 serves."""
    device.push(bundles / "1")
    return device


@pytest.fixture
def every(request: pytest.FixtureRequest) -> bool:
    return bool(request.config.getoption("--full"))


def other_release(number: int) -> releases.Release:
    """This checkout's code and one more file."""
    files = {**BUILD().files, "lib/fieldlens/other.py": f"number = {number}\n".encode()}
    hashes = {name: hashlib.sha256(data).hexdigest() for name, data in sorted(files.items())}
    name = f"0.1.0-test{number}"
    return releases.Release(name, files, json.dumps({"format": 1, "name": name, "files": hashes}).encode())


def cut_at_every_step(serving: Loopback, work: Callable[[int], object], *, every: bool) -> int:
    """Do ``work`` once to see its sessions, then cut it in one after the other; the number of the last work.

    Each time it is another work, so that every step has something to do. The last one is done again.
    """
    chance, line, number = random.Random(17), serving.line, 0
    line.sessions = []
    work(number)
    clean = list(line.sessions)
    last = len(clean) - 1
    steps = range(len(clean)) if every else [*sorted(chance.sample(range(last), CI_STEPS - 1)), last]
    for number, step in enumerate(steps, 1):
        line.sessions = []
        line.cut_in[step] = int(chance.uniform(0.6, 0.95) * clean[step])
        with pytest.raises(DeliveryFailed) as cut:
            work(number)
        assert cut.value.reason == "connection", step
        assert not line.cut_in, "it was cut"
        serving.wait(lambda: status_of(serving.layout)["update"] == "none", f"cut in step {step}")
        status = status_of(serving.layout)
        assert status["current"]["number"] == 1, step
        assert status["service"].get("as_linked") is True, step
        assert status["faults"] == [], step
    work(number)
    assert status_of(serving.layout)["service"]["as_linked"] is True
    return number


def test_provision(serving: Loopback, every: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """New settings are tried at once, and version 1 serves with them or with those before."""

    def provision(number: int) -> None:
        monkeypatch.setattr(releases, "build_release", lambda: other_release(number))
        serving.keys.new(f"signer-{number}@test", passphrase=False)
        dataclasses.replace(serving, setup=dataclasses.replace(serving.setup, site=f"site {number}")).provision()

    last = cut_at_every_step(serving, provision, every=every)
    assert serving.layout.code.readlink().name == f"0.1.0-test{last}"
    assert json.loads(serving.layout.settings.read_text())["site"] == f"site {last}"
    assert f"signer-{last}@test" in (serving.layout.trust / "allowed_signers").read_text()
    assert trust.number_of(serving.layout) == serving.keys.lists().number


@pytest.mark.full
def test_release(serving: Loopback, every: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last step is the device's own: it goes on when nobody listens any more."""

    def release(number: int) -> None:
        monkeypatch.setattr(releases, "build_release", lambda: other_release(100 + number))
        key = serving.keys.folder / "maker@test"
        Provision(serving.remote, serving.keys, python=serving.python, key=key).release()

    last = cut_at_every_step(serving, release, every=every)
    assert serving.layout.code.readlink().name == f"0.1.0-test{100 + last}"
    assert not serving.layout.pending_release.exists()
