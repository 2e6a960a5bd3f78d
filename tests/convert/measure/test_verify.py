"""``convert verify``, from the command line and by hand."""

from __future__ import annotations

import csv
import json
import shutil
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from fieldlens.convert.measure.verify import to_table, verify, write_predictions
from fieldlens.runtime.backends.base import LoadOptions
from fieldlens.runtime.backends.select import cpu_backend, load_backend
from fieldlens.runtime.bundle.open import MANIFEST, manifest_bytes, open_bundle
from fieldlens.runtime.classifier import Classifier
from fieldlens.runtime.errors import KitError
from fieldlens.train.data.load import load_data
from fieldlens.train.recipe import config_from_json
from tests.convert.conftest import ALL, PARTS, Command


@pytest.fixture
def strict(bundle_folder: Path, tmp_path: Path) -> Path:
    """The bundle with tolerances that INT8 cannot keep to."""
    folder = Path(shutil.copytree(bundle_folder, tmp_path / "strict.bundle"))
    manifest = open_bundle(folder).manifest
    tight = replace(manifest.tolerances["int8-cpu"], logit=1e-6)
    changed = replace(manifest, tolerances={**manifest.tolerances, "int8-cpu": tight})
    (folder / MANIFEST).write_bytes(manifest_bytes(changed))
    return folder


def test_labelled_data(bundle_folder: Path, data: Path, tmp_path: Path, command: Command) -> None:
    figures, predictions = tmp_path / "figures.json", tmp_path / "predictions.csv"
    done = command(
        "verify", bundle_folder, "--data", data, "--split", "test", "--json", figures, "--predictions", predictions
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr.startswith("verify: every precision of ")
    assert not [line for line in done.stderr.splitlines()[1:] if not line.startswith("load")]
    assert "spots spring: spots.npz, test split, n = 60" in done.stdout
    assert "all tolerances of the manifest hold" in done.stdout
    value = json.loads(figures.read_text())
    assert list(value) == list(ALL)
    assert value["int8"]["backend"] == "emulation"
    assert value["int8"]["worst_image"].startswith("test/")
    assert "worst image" in done.stdout
    assert value["fp32"]["n"] == PARTS["test"]
    assert {"auc", "accuracy", "auc_delta_interval", "decisions_changed", "ece", "latency_p50_ms"} <= set(value["fp32"])
    with predictions.open() as file:
        rows = list(csv.DictReader(file))
    assert [row["precision"] for row in rows] == [name for name in ALL for _ in range(60)]
    assert [row["image"] for row in rows[:60]] == [f"test/{index:05d}" for index in range(60)]
    right = [row["label"] == ("spot" if float(row["spot"]) > 0.5 else "clear") for row in rows[:60]]
    assert np.mean(right) == pytest.approx(value["fp32"]["accuracy"])


def test_golden_images_alone(bundle_folder: Path) -> None:
    found = verify(bundle_folder, None, "test", "auto")
    assert found.what == "64 golden images against the stored reference"
    assert found.broken == ()
    first = found.figures[0]
    assert all(first.max_logit_difference < 1e-3 < row.max_logit_difference for row in found.figures[2:])
    assert [row.precision for row in found.figures] == list(ALL)
    assert found.names[first.worst_index].startswith("golden/")
    assert first.accuracy is None
    assert "AUC" not in to_table(found.figures)


def test_both_libraries_keep_the_tolerances(bundle_folder: Path, data: Path) -> None:
    for backend in ("openvino", "onnxruntime"):
        found = verify(bundle_folder, data, "val", backend)
        assert found.broken == ()
        assert {row.backend for row in found.figures} == {backend, "emulation"}


def test_a_broken_tolerance_ends_with_2(strict: Path, data: Path, tmp_path: Path, command: Command) -> None:
    done = command("verify", strict, "--data", data, "--json", tmp_path / "figures.json")
    assert done.returncode == 2
    error, hint = done.stderr.strip().splitlines()[-2:]
    assert error.startswith("error: broken tolerances: int8-cpu: ")
    assert "allowed 0.0000" in error
    assert "(n = 60)" in error
    assert hint.startswith("hint: ")
    assert "precision" in done.stdout, "the table is printed all the same"
    assert (tmp_path / "figures.json").exists()


def test_predictions_are_the_devices_own(bundle_folder: Path, data: Path, tmp_path: Path) -> None:
    """To the last bit or so: the same backend, the same batch size, the same function."""
    found = verify(bundle_folder, data, "test", "auto")
    write_predictions(tmp_path / "predictions.csv", found)
    with (tmp_path / "predictions.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["precision"] == "fp32"]
    bundle = open_bundle(bundle_folder)
    settings = config_from_json({"data": bundle.manifest.provenance["data"]["config"]}).data
    pixels = load_data(data, settings)
    content = {sample.id: sample for sample in pixels.samples}
    with Classifier(bundle, load_backend(bundle, cpu_backend(), "fp32", LoadOptions())) as classifier:
        for row in rows[:20]:
            png = cv2.imencode(".png", np.asarray(pixels.read(content[row["image"]]))[..., ::-1])[1].tobytes()
            answered = classifier.classify_bytes(png, row["image"])
            for name, value in answered.probabilities.items():
                assert float(row[name]) == pytest.approx(value, abs=1e-6)


def test_an_altered_bundle_is_refused(bundle_folder: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(bundle_folder, tmp_path / "altered.bundle"))
    with (folder / "model.fp32.onnx").open("r+b") as file:
        file.seek(1000)
        file.write(b"\0\0\0\0")
    with pytest.raises(KitError, match="does not match its hash"):
        verify(folder, None, "test", "auto")
