"""The device's requirements alone, in an empty environment without torch: the runtime works, and starts quickly."""

from __future__ import annotations

import json
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


# ---------------------------------------------------------------- the benchmarks, without torch, onnx and Matplotlib

QUIET = "from fieldlens.benchmarks.device.machine.quiet import Quiet; Quiet.doubts = lambda self: []\n"
"""A test machine is never quiet; that the verdict is kept to has tests of its own."""
SHORT = ("--rounds", 2, "--per-round", 2, "--starts", 0, "--settle", 0, "--threads", 1)


def bench(device: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    code = f"{QUIET}from fieldlens.benchmarks.cli import main\nfrom fieldlens.runtime.boundary import run_cli\n"
    return python(device, "-c", f"{code}import sys\nsys.exit(run_cli(main))", *arguments)


def test_compare_leaves_out_what_needs_the_host(device: Path, bundle_folder: Path, tmp_path: Path) -> None:
    names = "fieldlens-openvino-fp32,opencv-openvino-fp32,documents,torch-compile"
    words = ("--bundle", bundle_folder, "--peers", names, "--out", tmp_path / "run", "--state", tmp_path / "state")
    done = bench(device, "compare", *words, *SHORT)
    assert done.returncode == 0, done.stderr
    rows = {row["contender"]: row for row in map(json.loads, done.stdout.splitlines()[-5:])}
    for name in ("fieldlens-openvino-int8", "fieldlens-openvino-fp32", "opencv-openvino-fp32"):
        assert rows[name]["p50_ms"] > 0
    for name in ("documents", "torch-compile"):
        assert rows[name]["note"].startswith("not installed (torch, torchvision, PIL)")
    assert "left out: bars.png belongs to the host: " in done.stdout
    assert (tmp_path / "run/compare.jsonl").exists()
    assert not (tmp_path / "run/bars.png").exists()


def test_a_made_network_is_the_hosts(device: Path) -> None:
    done = bench(device, "compare", "--random", "resnet18", *SHORT)
    assert done.returncode == 2
    assert "\nerror: --random, which makes a network, belongs to the host: " in done.stderr
    assert "fieldlens[host]" in done.stderr


def test_record_says_which_parts_it_left_out(device: Path, bundle_folder: Path, tmp_path: Path) -> None:
    words = ("--bundle", bundle_folder, "--results", tmp_path, "--name", "here", "--power-mode", "15 W")
    less = ("--peers", "fieldlens-openvino-int8", "--without", "roofline")
    done = bench(device, "record", *words, *less, *SHORT)
    assert done.returncode == 0, done.stderr
    for part in ("training", "conversion"):
        assert f"recorded without {part}: {part} belongs to the host: " in done.stdout
    assert {path.name for path in (tmp_path / "here").iterdir()} == {
        "table.txt", "compare.jsonl", "conditions.json", "raw.json",
    }  # fmt: skip


def test_roofline_works_there(device: Path, bundle_folder: Path) -> None:
    done = bench(device, "roofline", "--bundle", bundle_folder, "--repeats", 2, "--settle", 0, "--threads", 1)
    assert done.returncode == 0, done.stderr
    assert "this machine at best" in done.stdout


@pytest.fixture
def gated_bundle(copy: Path) -> Path:
    """The bundle with a quality gate that wants brighter images than the test scenes are."""
    manifest = json.loads((copy / "manifest.json").read_text())
    quality = {"limits": {"brightness": [200, None]}, "bounds": {"brightness": [10, 250]}}
    (copy / "manifest.json").write_text(json.dumps({**manifest, "quality": quality}))
    return copy


def test_gate_works_there(device: Path, gated_bundle: Path, pictures: Path, tmp_path: Path) -> None:
    """Of seven images: the table is what counts here, not its figures."""
    words = ("--bundle", gated_bundle, "--images", pictures, "--limit", 2, "--state", tmp_path)
    done = bench(device, "gate", *words, "--json", tmp_path / "gate.json")
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "gate.json").read_text())


@pytest.mark.parametrize("command", ["training", "conversion"])
def test_what_is_the_hosts_says_so(device: Path, command: str) -> None:
    done = bench(device, command)
    assert done.returncode == 2
    assert f"bench {command} belongs to the host" in done.stderr
    assert "Traceback" not in done.stderr
