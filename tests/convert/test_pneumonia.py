"""The whole path on real data, with the recipe's epochs cut: what is checked here is the conversion."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

import pytest

from convert.verify import verify
from tests.convert.conftest import ROOT

DATA = ROOT.parent / "shared" / "data" / "pneumoniamnist.npz"
EPOCHS = 4

pytestmark = [
    pytest.mark.full,
    pytest.mark.skipif(not DATA.exists(), reason="PneumoniaMNIST is not beside this checkout"),
]


def python(*words: object) -> str:
    """One command of the kit; returns what it printed."""
    done = subprocess.run(
        [sys.executable, "-m", *map(str, words)], cwd=ROOT, capture_output=True, text=True, timeout=1800, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pneumonia")
    fit = ("--recipe", "recipes/pneumonia.toml", "--data", DATA, "--set", f"train.epochs={EPOCHS}")
    python("train", "fit", *fit, "--out", folder / "run")
    python("convert", "bundle", folder / "run", "--out", folder / "pneumonia.bundle")
    return folder / "pneumonia.bundle"


def test_int8_loses_little(bundle: Path) -> None:
    found = verify(bundle, DATA, "test", "auto")
    first, second = found.figures
    assert (first.precision, second.precision, first.n) == ("fp32", "int8-cpu", 624)
    assert first.auc is not None
    assert first.auc > 0.94
    assert second.auc_delta is not None
    assert second.auc_delta >= -0.002
    assert second.auc_delta_interval is not None
    assert found.broken == ()


def test_the_device_gives_the_probabilities_that_were_verified(bundle: Path, tmp_path: Path) -> None:
    python("convert", "verify", bundle, "--data", DATA, "--split", "test", "--predictions", tmp_path / "verified.csv")
    python("train", "export-images", DATA, "--split", "test", "--out", tmp_path / "images")
    python(
        "runtime", "classify", tmp_path / "images", "--bundle", bundle, "--precision", "fp32",
        "--json", tmp_path / "device.jsonl", "--state", tmp_path / "state",
    )  # fmt: skip
    with (tmp_path / "verified.csv").open() as file:
        wanted = {Path(row["image"]).name: row for row in csv.DictReader(file) if row["precision"] == "fp32"}
    lines = [json.loads(line) for line in (tmp_path / "device.jsonl").read_text().splitlines()]
    assert len(lines) == len(wanted) == 624
    for line in lines:
        row = wanted[Path(line["source"]).stem]
        for name, value in line["probabilities"].items():
            assert abs(float(row[name]) - value) <= 1e-5
