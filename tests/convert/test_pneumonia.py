"""The whole path on real data, with the recipe's epochs cut: what is checked here is the conversion."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

import pytest

from fieldlens.convert.measure.verify import Verified, on_golden, verify
from fieldlens.runtime.bundle.open import open_bundle
from tests.convert.conftest import ALL, ROOT

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


@pytest.fixture(scope="module")
def verified(bundle: Path) -> Verified:
    return verify(bundle, DATA, "test", "auto")


def test_nothing_is_broken(verified: Verified) -> None:
    """Tolerances, and no golden image turned over, which ``verify`` always looks at."""
    assert verified.broken == ()
    assert [row.precision for row in verified.figures] == list(ALL)
    first = verified.figures[0]
    assert first.n == 624
    assert first.auc is not None
    assert first.auc > 0.94


@pytest.mark.parametrize(
    ("precision", "auc", "changed"),
    [("fp16", 0.0005, 0.01), ("int8", 0.002, 0.01), ("int8-trt8", 0.002, 0.01), ("int8-cpu", 0.002, 0.02)],
)
def test_precisions_lose_little(verified: Verified, precision: str, auc: float, changed: float) -> None:
    """``changed`` for the files that TensorRT runs: one decision in a hundred."""
    row = next(row for row in verified.figures if row.precision == precision)
    assert row.auc_delta is not None
    assert row.auc_delta >= -auc
    assert row.auc_delta_interval is not None
    assert row.decisions_changed <= changed


@pytest.mark.parametrize("precision", ALL[1:])
def test_no_golden_image_is_turned_over(bundle: Path, precision: str) -> None:
    row = next(row for row in on_golden(open_bundle(bundle), "auto").figures if row.precision == precision)
    assert (row.n, row.flips) == (64, 0)


@pytest.mark.parametrize("precision", ["int8", "int8-trt8", "int8-cpu"])
def test_calibrated_with_training_images_only(bundle: Path, precision: str) -> None:
    manifest = open_bundle(bundle).manifest
    assert manifest.provenance["calibration"]["images"] == 512
    assert manifest.provenance["calibration"]["split"] == "train"
    said = manifest.evaluation[precision]
    assert {said["calibration"], *(item["calibration"] for item in said["attempts"])} == {"MinMax", "Entropy"}


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
