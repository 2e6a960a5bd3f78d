"""Libraries for another machine: every one a wheel for it, but pycuda, whose sdist travels with what builds it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from fieldlens.convert.delivery.wheelhouse import BUILT_THERE, Wheelhouse, WheelTarget, check_complete, make_wheelhouse
from fieldlens.runtime.errors import KitError

BOARDS = (WheelTarget("3.10", "aarch64", "2.35", jetson=True), WheelTarget("3.12", "aarch64", "2.39", jetson=True))

PLAIN = (WheelTarget("3.10", "aarch64", "2.35"), WheelTarget("3.12", "aarch64", "2.35"))


def test_tags_are_those_that_run_there() -> None:
    target = WheelTarget("3.10", "aarch64", "2.35")
    assert target.tags[0] == "manylinux_2_17_aarch64"
    assert "manylinux_2_35_aarch64" in target.tags
    assert "manylinux_2_36_aarch64" not in target.tags
    assert target.uv_platform == "aarch64-manylinux_2_35"


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    house = Wheelhouse(tmp_path, BOARDS[0])
    house.requirements.write_text("numpy==1.26.4 \\\n    --hash=sha256:0\nsimple-jpeg==1.9.0\n")
    (tmp_path / "numpy-1.26.4-cp310-cp310-manylinux2014_aarch64.whl").touch()
    with pytest.raises(KitError, match="simple-jpeg is missing"):
        check_complete(house)
    (tmp_path / "simple_jpeg-1.9.0.tar.gz").touch()
    check_complete(house)


@pytest.mark.full
@pytest.mark.parametrize(
    "target", [*BOARDS, WheelTarget("3.10", "aarch64", "2.35"), WheelTarget("3.12", "aarch64", "2.35")]
)
def test_a_board_gets_everything_as_wheels(target: WheelTarget, tmp_path: Path) -> None:
    house = make_wheelhouse(target, tmp_path)
    sources = [path.name for path in house.files if not path.name.endswith(".whl")]
    assert [name.partition("-")[0] for name in sources] == ([BUILT_THERE] if target.jetson else [])
    foreign = [path.name for path in house.files if "x86_64" in path.name or "win" in path.name]
    assert not foreign
    print(f"{target.name}: {len(house.files)} files, {house.size_bytes / 1e6:.1f} MB")


@pytest.mark.full
def test_an_installation_without_a_network(tmp_path: Path) -> None:
    """This machine's own platform; the proxy leads nowhere."""
    import platform

    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    target = WheelTarget(version, platform.machine(), platform.libc_ver()[1])
    house = make_wheelhouse(target, tmp_path)
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "env"], check=True)
    python = tmp_path / "env/bin/python"
    nowhere = {"HTTPS_PROXY": "http://127.0.0.1:9", "HTTP_PROXY": "http://127.0.0.1:9", "PATH": "/usr/bin:/bin"}
    words = f"-m pip install --quiet --no-index --find-links {house.folder} --require-hashes -r {house.requirements}"
    command = [str(python), *words.split()]
    done = subprocess.run(command, env=nowhere, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    code = "import cv2, fastapi, numpy, openvino, simplejpeg"
    assert subprocess.run([python, "-c", code], env=nowhere, check=False).returncode == 0
