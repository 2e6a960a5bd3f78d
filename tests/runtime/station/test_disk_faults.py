"""A full disk and a dying one: ENOSPC and EIO from write, fsync and rename, SQLite's own calls included."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.runtime.station.made_results import check_whole

ROOT = Path(__file__).parents[3]
HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """disk_faults.c, compiled here."""
    compiler = shutil.which("cc")
    if compiler is None or sys.platform != "linux":
        pytest.skip("needs Linux and a C compiler (Debian: apt install gcc libc6-dev)")
    library = tmp_path_factory.mktemp("shim") / "disk_faults.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", library, HERE / "disk_faults.c", "-ldl"], check=True)
    return library


def test_every_fault_is_reported_and_nothing_is_half_there(shim: Path, tmp_path: Path) -> None:
    environment = {**os.environ, "LD_PRELOAD": str(shim), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, HERE / "faulty_station.py", tmp_path / "data"],
        env=environment, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    assert seen["wrong"] == []
    assert seen["refusals"] > 100, "the disk did refuse"
    assert check_whole(tmp_path / "data", seen["acknowledged"]) >= len(seen["acknowledged"])
