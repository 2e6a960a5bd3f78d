"""Fixtures of the delivery's tests: a device on loopback, and signed versions of a tiny bundle for it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from fieldlens.convert.delivery import push
from fieldlens.convert.sign import sign_bundle
from tests.convert.delivery.loopback import SSHD, Loopback, loopback, quick_python
from tests.runtime.conftest import build_bundle, tiny_manifest
from tests.runtime.updating.device import three_versions


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Version 3 of a tiny bundle, unsigned."""
    return build_bundle(tmp_path_factory.mktemp("tiny") / "tiny.bundle", tiny_manifest())


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    """A line of the tests is there again as soon as it was cut."""
    monkeypatch.setattr(push, "_PAUSE_S", 0.1)


@pytest.fixture(scope="session")
def quick(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The Python of the devices here."""
    return str(quick_python(tmp_path_factory.mktemp("device python")))


@pytest.fixture(scope="session")
def provisioned(tmp_path_factory: pytest.TempPathFactory, quick: str) -> Path:
    """The folder of a device that `provision` has made, with nothing to serve yet. Devices are copies of it."""
    if SSHD is None:
        pytest.skip("no OpenSSH server here: apt install openssh-server")
    folder = tmp_path_factory.mktemp("provisioned")
    with loopback(folder, quick) as made:
        made.provision()
    return folder


@pytest.fixture(scope="module")
def device(provisioned: Path, tmp_path_factory: pytest.TempPathFactory, quick: str) -> Iterator[Loopback]:
    """Provisioned, with nothing to serve yet."""
    with loopback(tmp_path_factory.mktemp("device"), quick, provisioned) as made:
        yield made


@pytest.fixture(scope="module")
def bundles(device: Loopback, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``1``, ``2`` and ``3``, signed with a key that the device knows."""
    folder = three_versions(tmp_path_factory.mktemp("bundles"))
    for number in "123":
        sign_bundle(folder / number, device.keys.folder / "maker@test")
    return folder
