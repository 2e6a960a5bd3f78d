"""The device's requirements alone, in an empty environment without torch: the runtime works, and starts quickly."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.device_files import lay_device_files
from tests.runtime.environments import make_environment

ROOT = Path(__file__).parents[2]
HELP_LIMIT_S = 0.4
FIRST_IMAGE_LIMIT_S = 2.0


@pytest.fixture(scope="session")
def device(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout with the device's files only, and an environment made from the device's lock."""
    place = tmp_path_factory.mktemp("the device")
    lay_device_files(place)
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    make_environment(place / "env", "-r", ROOT / "locks" / f"device-py{version}.txt")
    return place


def python(device: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    clean = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    command = [str(device / "env/bin/python"), *map(str, arguments)]
    return subprocess.run(command, cwd=device, env=clean, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("name", ["torch", "torchvision", "onnx", "sklearn", "matplotlib", "PIL"])
def test_the_environment_has_no_host_library(device: Path, name: str) -> None:
    assert python(device, "-c", f"import {name}").returncode == 1


def test_classify_works_there(device: Path, bundle_folder: Path, pictures: Path, tmp_path: Path) -> None:
    outputs = ("--report", tmp_path / "r.html", "--overlays", tmp_path / "maps", "--state", tmp_path / "state")
    done = python(device, "-m", "runtime", "classify", pictures, "--bundle", bundle_folder, *outputs)
    assert done.returncode == 0, done.stderr
    assert "7 images" in done.stdout
    assert "openvino" in done.stdout


def test_engine_help_works_there(device: Path) -> None:
    assert python(device, "-m", "convert", "engine", "--help").returncode == 0


def median_s(device: Path, *arguments: object) -> float:
    """Median of five fresh processes, after one that warms the file cache."""
    times = []
    for _ in range(6):
        start = time.perf_counter()
        assert python(device, *arguments).returncode == 0
        times.append(time.perf_counter() - start)
    return statistics.median(times[1:])


def test_help_answers_at_once(device: Path) -> None:
    assert median_s(device, "-m", "runtime", "--help") <= HELP_LIMIT_S


def test_a_fresh_process_answers_within_two_seconds(
    device: Path, bundle_folder: Path, pictures: Path, tmp_path: Path
) -> None:
    picture = pictures / "scene-0.jpg"
    arguments = ("-m", "runtime", "classify", picture, "--bundle", bundle_folder, "--state", tmp_path)
    assert median_s(device, *arguments) <= FIRST_IMAGE_LIMIT_S
