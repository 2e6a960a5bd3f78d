"""Hashed locks for every device's Python, and nothing installed that they do not know."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from fieldlens.convert.delivery import locks
from fieldlens.convert.delivery.environment import BUILDERS, LOCK, DeviceEnvironment, ProbedDevice
from fieldlens.convert.delivery.locks import DeviceLock, blocks, normal, pinned
from fieldlens.convert.delivery.remote import Remote
from fieldlens.runtime.errors import KitError

STATIONS = [DeviceLock(version) for version in ("3.10", "3.11", "3.12", "3.13")]
BOARDS = [DeviceLock(version, jetson=True, build=build) for version in ("3.10", "3.12") for build in (False, True)]


@pytest.mark.parametrize("lock", [*STATIONS, *BOARDS], ids=lambda lock: lock.name)
def test_a_lock_has_all_that_it_is_for_with_hashes(lock: DeviceLock) -> None:
    (path,) = lock.files
    text = path.read_text(encoding="utf-8")
    assert all("--hash=sha256:" in block for block in blocks(text))
    wanted = {
        normal(re.split(r"[>=<!~ ]", line)[0])
        for source in lock.sources
        for line in source.read_text(encoding="utf-8").splitlines()
        if line and not line.startswith("#")
    }
    assert wanted <= set(pinned(text))
    lock.check(text)


def test_a_board_installs_what_it_compiles_against() -> None:
    """pycuda is compiled against the very NumPy that runs there, and JetPack's OpenCV needs NumPy 1."""
    for version in ("3.10", "3.12"):
        found = {
            block.split()[0]
            for build in (False, True)
            for block in blocks(DeviceLock(version, jetson=True, build=build).files[0].read_text(encoding="utf-8"))
            if block.startswith("numpy==")
        }
        assert len(found) == 1
        assert found.pop().startswith("numpy==1.")


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DeviceLock:
    (tmp_path / "locks").mkdir()
    (tmp_path / "locks/station-py3.12.txt").write_text(
        "# by ./deploy.sh lock\nnumpy==2.1 \\\n    --hash=sha256:aa \\\n    --hash=sha256:bb\n    # via x\n"
    )
    monkeypatch.setattr(locks, "checkout", lambda: tmp_path)
    return DeviceLock("3.12")


def test_what_the_lock_does_not_know_is_not_sent(small: DeviceLock) -> None:
    small.check("numpy==2.1 \\\n    --hash=sha256:bb\n")
    for text in (
        "numpy==2.1 --hash=sha256:cc",
        "numpy==2.1 --hash=sha256:aa --hash=sha256:cc",
        "numpy==2.2 --hash=sha256:aa",
        "other==1.0 --hash=sha256:aa",
    ):
        with pytest.raises(KitError, match=r"is not what locks/station-py3\.12\.txt has"):
            small.check(text)


def device(jetson: bool, python: str) -> ProbedDevice:
    return ProbedDevice(
        0, "aarch64", "Linux", "glibc 2.35", {"/usr/bin/python3": [python, True]}, jetson, True, 10**11, 2e9, True,
        False, True,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("jetson", "python", "lines"),
    [
        (False, "3.12", [f'--require-hashes -r "$E/{LOCK}"']),
        (True, "3.10", [f'--require-hashes -r "$E/{BUILDERS}"',
                        f'--require-hashes --no-build-isolation -r "$E/{LOCK}"']),
        (False, "3.14", ['-r "$E/ranges-runtime.txt" -r "$E/ranges-station.txt"']),
    ],
)  # fmt: skip
def test_an_online_device_installs_with_hashes(
    jetson: bool, python: str, lines: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    scripts: list[str] = []
    monkeypatch.setattr(DeviceEnvironment, "_must", lambda _, script, *rest: scripts.append(script))
    made = DeviceEnvironment(Remote("device"), device(jetson, python), "", offline=False)
    made.make()
    (script,) = scripts
    found = re.findall(r"pip install --quiet --disable-pip-version-check +(.*) >&2", script)
    assert found == lines
    assert ("without hashes" in made.title) == (python == "3.14")
