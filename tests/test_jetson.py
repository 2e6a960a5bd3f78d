"""The Jetson's page against what it names: the requirements, the targets, and the order of the steps."""

from __future__ import annotations

import re
from pathlib import Path

from fieldlens.runtime.bundle.precision import TARGETS

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs/jetson.md").read_text(encoding="utf-8")
REQUIREMENTS = (ROOT / "runtime/requirements-jetson.txt").read_text(encoding="utf-8")
JETPACK = {"6.0": "8.6.2", "6.1, 6.2": "10.3", "7.0, 7.1": "10.13", "7.2": "10.16", "7.2.2": "11"}


def test_no_wheel_hides_jetpacks_opencv_or_tensorrt() -> None:
    packages = [re.split(r"[<>=~ ]", line)[0] for line in REQUIREMENTS.splitlines() if line and line[0] != "#"]
    assert packages == ["numpy", "simplejpeg", "pycuda"]


def test_each_jetpack_has_its_tensorrt_and_its_target() -> None:
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in PAGE.splitlines() if line.startswith("| ")]
    found = {row[0]: row for row in rows[1:]}
    assert set(found) == set(JETPACK)
    for jetpack, version in JETPACK.items():
        assert found[jetpack][2].split(",")[0] == version
        target = found[jetpack][5].strip("`")
        assert target in TARGETS
        assert target == ("tensorrt8" if version.startswith("8") else "tensorrt10")


def test_the_steps_come_in_an_order_that_works() -> None:
    steps = (
        "fieldlens convert slim", "wheel --no-deps", "scp -r", "--system-site-packages ~/fieldlens",
        "pip install -r requirements-jetson.txt", "pip install --no-deps fieldlens-", "fieldlens doctor",
        "fieldlens convert engine", "fieldlens classify photo.jpg",
    )  # fmt: skip
    places = [PAGE.index(step) for step in steps]
    assert places == sorted(places)
