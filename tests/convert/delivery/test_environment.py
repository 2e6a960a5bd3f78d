"""Libraries for a device without internet: sent once, installed there from the files alone."""

from __future__ import annotations

import base64
import hashlib
import subprocess
import zipfile
from pathlib import Path

import pytest

from fieldlens.convert.delivery import environment
from fieldlens.convert.delivery.environment import DeviceEnvironment, probe
from fieldlens.convert.delivery.wheelhouse import Wheelhouse, WheelTarget
from tests.convert.delivery.loopback import Loopback


def small_wheel(folder: Path) -> str:
    """A library of one line; its line in the requirements."""
    info = "onelib-1.0.dist-info"
    files = {
        "onelib.py": b"answer = 42\n",
        f"{info}/METADATA": b"Metadata-Version: 2.1\nName: onelib\nVersion: 1.0\n",
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nGenerator: a test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    lines = [
        f"{name},sha256={base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode().rstrip('=')},{len(data)}"
        for name, data in files.items()
    ]
    path = folder / "onelib-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        for name, data in files.items():
            wheel.writestr(name, data)
        wheel.writestr(f"{info}/RECORD", "\n".join([*lines, f"{info}/RECORD,,"]))
    return f"onelib==1.0 --hash=sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}\n"


def test_an_environment_from_files_alone(device: Loopback, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[WheelTarget] = []

    def make(target: WheelTarget, _: Path) -> Wheelhouse:
        asked.append(target)
        house = Wheelhouse(tmp_path, target)
        house.requirements.write_text(small_wheel(tmp_path))
        return house

    monkeypatch.setattr(environment, "make_wheelhouse", make)
    found = probe(device.remote)
    made = DeviceEnvironment(device.remote, found, "", offline=True)
    made.make()
    place = device.layout.root / "opt/fieldlens/environments" / made.name
    done = subprocess.run([place / "bin/python", "-c", "import onelib; print(onelib.answer)"], capture_output=True)
    assert done.stdout.strip() == b"42"
    assert (asked[0].machine, asked[0].python) == (found.machine, made.version)
    assert (place / "ready").exists()

    sent = next((device.layout.root / "opt/fieldlens/wheels").rglob("*.whl"))
    before = (sent.stat().st_ino, place.stat().st_ino)
    made.make()
    assert (sent.stat().st_ino, place.stat().st_ino) == before, "nothing is sent or made twice"
    sent.write_bytes(b"cut")
    made.make()
    assert sent.stat().st_size > 100, "a file that was cut short is sent again"
