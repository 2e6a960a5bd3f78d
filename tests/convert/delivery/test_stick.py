"""An update on a stick: whole or not at all, read back, and nothing that is there is overwritten silently."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import pytest

from fieldlens.convert.delivery.keys import KeyFolder
from fieldlens.convert.delivery.stick import HOW, write_stick
from fieldlens.convert.sign import sign_bundle
from fieldlens.runtime.bundle.open import SIGNATURE, open_bundle
from fieldlens.runtime.errors import BundleError, OutputError
from tests.runtime.conftest import seal, tiny_manifest


@pytest.fixture
def stick(tmp_path: Path) -> Path:
    folder = tmp_path / "stick"
    folder.mkdir()
    return folder


def test_a_copy_that_a_station_can_take(stick: Path, tiny_folder: Path) -> None:
    made = write_stick(stick, tiny_folder)
    assert made.path == stick / "tiny-3.bundle"
    assert open_bundle(made.path).hash == open_bundle(tiny_folder).hash
    assert "fieldlens update /media/STICK/tiny-3.bundle" in (stick / HOW).read_text()
    assert write_stick(stick, tiny_folder).there


def test_only_what_a_device_needs(stick: Path, tiny_folder: Path) -> None:
    made = write_stick(stick, tiny_folder, ("cpu",))
    assert made.bundle.absent == ("model.fp32.onnx",)
    assert made.bundle.hash == open_bundle(tiny_folder).hash


def test_a_copy_that_was_cut_short_is_made_again(stick: Path, tiny_folder: Path) -> None:
    made = write_stick(stick, tiny_folder)
    (made.path / "model.fp32.onnx").write_bytes(b"\x08")
    assert not write_stick(stick, tiny_folder).there
    open_bundle(made.path)


def test_another_bundle_with_the_same_number(stick: Path, tiny_folder: Path, tmp_path: Path) -> None:
    write_stick(stick, tiny_folder)
    other = Path(shutil.copytree(tiny_folder, tmp_path / "other.bundle"))
    seal(other, dataclasses.replace(tiny_manifest(), temperature=2.0))
    with pytest.raises(OutputError, match="another bundle with the same number"):
        write_stick(stick, other)


def test_the_same_bundle_signed_since(stick: Path, tiny_folder: Path, tmp_path: Path) -> None:
    """As a station takes it: the copy that lies there would be refused."""
    copy = Path(shutil.copytree(tiny_folder, tmp_path / "copy.bundle"))
    made = write_stick(stick, copy)
    keys = KeyFolder(tmp_path / "keys")
    keys.new("maker@test", passphrase=False)
    sign_bundle(copy, keys.folder / "maker@test")
    again = write_stick(stick, copy)
    assert not again.there
    assert (made.path / SIGNATURE).read_bytes() == (copy / SIGNATURE).read_bytes()
    assert write_stick(stick, copy).there


def test_a_full_stick(stick: Path, tiny_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 1000}))
    with pytest.raises(OutputError, match="MB free; the bundle needs"):
        write_stick(stick, tiny_folder)
    assert list(stick.iterdir()) == []


def test_a_damaged_bundle_is_not_written(stick: Path, tiny_folder: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(tiny_folder, tmp_path / "copy.bundle"))
    (copy / "model.fp32.onnx").write_bytes(b"\x08")
    with pytest.raises(BundleError):
        write_stick(stick, copy)
    assert list(stick.iterdir()) == []
