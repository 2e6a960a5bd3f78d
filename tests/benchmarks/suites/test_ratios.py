"""The suites: collected by ``pytest benchmarks``, compared by ratios."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from fieldlens.benchmarks.device.compare.lane import ROOT
from fieldlens.benchmarks.suites import ratios
from fieldlens.runtime.errors import KitError


def test_a_change_is_a_percentage(tmp_path: Path) -> None:
    ratios.store(tmp_path / "r.json", {"decode": 0.2, "gone": 1.0})
    lines = ratios.compare({"decode": 0.25, "fresh": 3.0}, ratios.load(tmp_path / "r.json"))
    assert "+25.0%" in lines[0]
    assert "new" in lines[1]
    assert "gone" in lines[2]


def test_another_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "r.json").write_text("[1, 2]")
    with pytest.raises(KitError, match="no ratios"):
        ratios.load(tmp_path / "r.json")


def test_the_suites_run_and_are_no_part_of_the_tests() -> None:
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-q", "--benchmark-only"]
    one = [
        "benchmarks/suites/bench_gate.py",
        "-k",
        "probabilities",
        "--benchmark-max-time=0.01",
        "--benchmark-min-rounds=2",
    ]
    done = subprocess.run([*command, *one], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert "1 passed" in done.stdout
    assert "median divided by the reference loop's" in done.stdout
    assert 'testpaths = ["tests"]' in (ROOT / "pyproject.toml").read_text()
