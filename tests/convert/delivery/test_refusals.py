"""What a device refuses or takes back: each with its own words and reason, and the version before goes on serving."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fieldlens.convert.delivery.keys import KeyFolder
from fieldlens.convert.delivery.remote import DeliveryFailed
from fieldlens.convert.sign import sign_bundle
from fieldlens.runtime.bundle.manifest import Version
from fieldlens.runtime.bundle.open import open_bundle
from fieldlens.runtime.errors import KitError
from fieldlens.runtime.updating import memory, store
from tests.convert.delivery.loopback import Loopback
from tests.runtime.conftest import seal


@pytest.fixture(scope="module")
def serving(device: Loopback, bundles: Path) -> Loopback:
    """Version 2 serves."""
    device.push(bundles / "2")
    return device


@pytest.fixture(autouse=True)
def untouched(serving: Loopback) -> Iterator[None]:
    """Whatever a test does, the same process goes on serving version 2, unless the test says otherwise."""
    before = (serving.layout.run / "service").read_text()
    yield
    answer = serving.answer()
    assert answer is not None
    assert answer.ready
    current = store.serving(serving.layout)
    assert current is not None
    assert (current.number, current.hash) == (2, answer.bundle_hash)
    assert (serving.layout.run / "service").read_text() == before


def refused(serving: Loopback, bundle: Path) -> DeliveryFailed:
    with pytest.raises(DeliveryFailed) as failed:
        serving.push(bundle)
    assert failed.value.hint
    assert failed.value.message.startswith("device: ")
    return failed.value


def changed(bundles: Path, folder: Path, number: int, change: Callable[[Path], None]) -> Path:
    copy = Path(shutil.copytree(bundles / "3", folder / "changed"))
    change(copy)
    manifest = open_bundle(copy, check_files=False).manifest
    seal(copy, dataclasses.replace(manifest, version=Version(number, f"{number}.0")))
    return copy


def test_an_older_version(serving: Loopback, bundles: Path) -> None:
    failed = refused(serving, bundles / "1")
    assert failed.reason == "older"
    assert "tiny version 1 is older than 2" in failed.message


def test_one_changed_byte_is_seen_here(serving: Loopback, bundles: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(bundles / "3", tmp_path / "copy"))
    model = copy / "model.fp32.onnx"
    model.write_bytes(model.read_bytes()[:-1] + b"\xff")
    with pytest.raises(KitError, match="does not match its hash"):
        serving.push(copy)


def test_one_changed_byte_of_the_manifest_is_seen_there(serving: Loopback, bundles: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(bundles / "3", tmp_path / "copy"))
    manifest = copy / "manifest.json"
    manifest.write_bytes(manifest.read_bytes().replace(b'"temperature": 1.5', b'"temperature": 1.4'))
    failed = refused(serving, copy)
    assert failed.reason == "signature"
    assert "the signature does not hold" in failed.message


def test_a_strangers_signature(serving: Loopback, bundles: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(bundles / "3", tmp_path / "copy"))
    KeyFolder(tmp_path / "keys").new("stranger@elsewhere", passphrase=False)
    sign_bundle(copy, tmp_path / "keys/stranger@elsewhere")
    failed = refused(serving, copy)
    assert failed.reason == "signature"
    assert "signed by nobody in" in failed.message


def test_unsigned(serving: Loopback, bundles: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(bundles / "3", tmp_path / "copy"))
    (copy / "manifest.json.sig").unlink()
    assert refused(serving, copy).reason == "signature"


def test_a_failing_self_test(serving: Loopback, bundles: Path, tmp_path: Path) -> None:
    """A model whose answers are not those of the golden images."""

    def swap(copy: Path) -> None:
        import numpy as np

        golden = np.load(copy / "golden/golden.npz")["logits"]
        np.savez(copy / "golden/golden.npz", logits=golden + np.float32(3))

    copy = changed(bundles, tmp_path, 4, swap)
    sign_bundle(copy, serving.keys.folder / "maker@test")
    failed = refused(serving, copy)
    assert failed.reason == "self-test"
    assert "the self-test failed" in failed.message
    assert "the service was not touched" in failed.message
    assert memory.events(serving.layout)[-1]["reason"] == "self-test"


def test_a_full_disk(serving: Loopback, bundles: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The device counts what is free, and the host what it would send."""
    import fieldlens.convert.delivery.push as push_module

    talk = push_module._Line.ask

    def full(line: push_module._Line, step: str, *words: object) -> dict[str, object]:
        answer = talk(line, step, *words)  # type: ignore[arg-type]
        return {**answer, "free": 100, "have": {}} if "have" in answer else answer

    monkeypatch.setattr(push_module._Line, "ask", full)
    failed = refused(serving, bundles / "3")
    assert failed.reason == "disk-full"
    assert "MB are free" in failed.message


def test_a_host_without_the_kit(serving: Loopback, bundles: Path) -> None:
    bare = dataclasses.replace(serving, remote=dataclasses.replace(serving.remote, root="/nowhere"))
    failed = refused(bare, bundles / "3")
    assert failed.reason == "not-provisioned"
    assert "./deploy.sh provision" in failed.hint


def test_the_command_line_gives_the_reason(
    serving: Loopback, bundles: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from fieldlens.cli import main
    from fieldlens.runtime.boundary import run_cli

    words = ["deploy", "push", "device", str(bundles / "1"), "--root", str(serving.layout.root), "--json",
             "--ssh-config", str(serving.remote.config)]  # fmt: skip
    assert run_cli(lambda: main(words)) == 2
    reported = capsys.readouterr()
    assert json.loads(reported.out)["reason"] == "older"
    assert "error: device: offering the bundle: tiny version 1 is older" in reported.err
    assert run_cli(lambda: main([*words[:3], str(bundles / "3"), *words[4:], "--dry-run"])) == 0
    assert json.loads(capsys.readouterr().out)["dry_run"] is True
