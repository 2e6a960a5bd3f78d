"""``convert bundle``, from the command line."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import onnx
import pytest
import torch

from fieldlens.convert.assembly import bundle as make_bundle
from fieldlens.convert.graph.contract import check_graph
from fieldlens.convert.measure.answer import load_lane
from fieldlens.convert.origin.origin import BundleOptions, Origin
from fieldlens.convert.origin.sharing import STATISTICS
from fieldlens.convert.origin.training_run import from_run
from fieldlens.convert.precisions import make_precisions, write_manifest
from fieldlens.runtime.backends import onnxruntime, openvino
from fieldlens.runtime.backends.base import LoadOptions
from fieldlens.runtime.bundle.open import open_bundle
from fieldlens.runtime.terminal.reporter import Lines
from tests.convert.conftest import ALL, PARTS, real_like
from tests.fakes.onnx_rules import complaints


def test_the_bundle_is_whole(bundle_folder: Path) -> None:
    bundle = open_bundle(bundle_folder)
    manifest = bundle.manifest
    assert (manifest.name, manifest.version.number, manifest.version.label) == ("spots", 7, "spring")
    assert [(info.id, info.display) for info in manifest.classes] == [("clear", "clear"), ("spot", "A spot")]
    assert manifest.precisions == ALL
    assert set(manifest.tolerances) == set(ALL)
    assert (manifest.size, manifest.features, manifest.cam_size) == (64, 512, 2)
    assert {"card.md", "golden/golden.json", "golden/golden.npz"} <= set(manifest.files)
    assert not any(path.name.endswith((".tmp", ".lock")) for path in bundle_folder.parent.iterdir())
    umask = os.umask(0)
    os.umask(umask)
    closed = [path for path in bundle_folder.rglob("*") if path.stat().st_mode & 0o044 != 0o044 & ~umask]
    assert not closed  # a device may run it as another user


def test_operating_point_is_the_runs(bundle_folder: Path, run: Path) -> None:
    point = json.loads((run / "operating-point.json").read_text())
    manifest = open_bundle(bundle_folder).manifest
    assert manifest.temperature == point["temperature"]
    assert manifest.decision is not None
    assert manifest.decision.to_json() == point["decision"]


def test_every_precision_is_evaluated(bundle_folder: Path) -> None:
    manifest = open_bundle(bundle_folder).manifest
    assert set(manifest.evaluation) == set(ALL)
    for value in manifest.evaluation.values():
        assert value["val"]["n"] == PARTS["val"]
        assert value["val"]["auc"] > 0.9
        assert value["val"]["decision"]["positives"] == PARTS["val"] // 2
    assert manifest.evaluation["fp32"]["val"]["agreement"] == 1.0
    for name in ("fp16", "int8", "int8-trt8"):
        assert 0 < manifest.evaluation[name]["val"]["peak"] < 32_000


@pytest.mark.parametrize("precision", ["int8", "int8-trt8", "int8-cpu"])
def test_both_calibrations_are_tried_and_the_better_is_kept(bundle_folder: Path, precision: str) -> None:
    said = open_bundle(bundle_folder).manifest.evaluation[precision]
    tried = [said, *said["attempts"]]
    assert {item["calibration"] for item in tried} == {"MinMax", "Entropy"}
    assert all("auc" in item["val"] for item in tried)
    assert said["refused"] == []
    group = [item for item in tried if item["recipe"] == said["recipe"] and not item["refused"]]

    def loss(item: dict[str, Any]) -> tuple[float, float]:
        return round(max(0.0, -item["val"]["auc_delta"]), 3), item["val"]["rms_logit_difference"]

    assert min(group, key=loss) is said


def test_provenance_names_what_it_was_made_from(bundle_folder: Path, run: Path, data: Path) -> None:
    facts = json.loads((run / "run.json").read_text())
    found = open_bundle(bundle_folder).manifest.provenance
    assert found["data"]["hash"] == facts["data"]["hash"]
    assert found["data"]["split_hash"] == facts["data"]["split_hash"]
    assert found["calibration"]["images"] == PARTS["train"]
    assert found["golden"] == {"images": 64, "from": STATISTICS}
    assert {"torch", "onnx", "onnxruntime", "openvino"} <= set(found["converted_with"])
    text = (bundle_folder / "manifest.json").read_text()
    assert str(data.parent) not in text
    assert str(run.parent) not in text


@pytest.mark.parametrize("precision", ALL)
def test_every_file_keeps_the_contract(bundle_folder: Path, precision: str) -> None:
    """With onnx.checker's full check."""
    bundle = open_bundle(bundle_folder)
    shape = check_graph(onnx.load_from_string(bundle.model(precision)), 19 if precision == "int8" else 17)
    assert (shape.size, shape.classes) == (bundle.manifest.size, len(bundle.manifest.classes))


@pytest.mark.parametrize("library", [onnxruntime, openvino])
@pytest.mark.parametrize("precision", ALL)
def test_every_file_runs_in_both_libraries(bundle_folder: Path, precision: str, library: ModuleType) -> None:
    bundle = open_bundle(bundle_folder)
    images = real_like(12)
    with load_lane(bundle, "fp32", "onnxruntime") as lane:
        wanted = lane.infer(images).logits.copy()
    word = "int8" if "int8" in precision else "fp32"
    with library.load(bundle.model(precision), word, LoadOptions()) as lane:
        found = lane.infer(images)
        assert found.cam.shape == (12, 2, 2, 2)
        assert np.abs(found.logits - wanted).max() < 0.25 * np.abs(wanted).max()


@pytest.mark.parametrize("precision", ALL[:-1])
def test_tensorrts_parsers_take_every_file(bundle_folder: Path, precision: str) -> None:
    """By the rules that the fake TensorRT knows."""
    model = open_bundle(bundle_folder).model(precision)
    for major in (10, 11) if precision in ("fp16", "int8") else (8, 10, 11):
        assert complaints(model, major) == []


@pytest.fixture(scope="module")
def origin(run: Path) -> Origin:
    """Few images: what is made is looked at, not how good it is."""
    found = from_run(run, BundleOptions(calibration_images=32))
    return replace(found, judging=replace(found.judging, tensors=found.judging.tensors[:16], labels=None))


@pytest.mark.parametrize(
    ("target", "files", "rows"),
    [
        ("cpu", ("fp32", "int8-cpu"), {"fp32", "int8-cpu"}),
        ("tensorrt8", ("fp32", "int8-trt8"), {"fp32", "fp16", "int8-trt8"}),
        ("tensorrt10", ("fp32", "fp16", "int8"), {"fp32", "fp16", "int8"}),
    ],
)
def test_targets_limit_what_is_made(
    target: str, files: tuple[str, ...], rows: set[str], origin: Origin, bundle_folder: Path, tmp_path: Path
) -> None:
    """TensorRT 8.6 builds FP16 from FP32's file: it is measured and has a tolerance, and no file."""
    data = (bundle_folder / "model.fp32.onnx").read_bytes()
    (tmp_path / "model.fp32.onnx").write_bytes(data)
    draft = replace(origin.draft, features=512, cam_size=2)
    reference = onnx.load_from_string(data)
    made = make_precisions(tmp_path, draft, reference, origin.calibration, origin.judging, (target,))
    assert set(made.tolerances) == set(made.evaluation) == rows
    write_manifest(tmp_path, made)
    assert open_bundle(tmp_path, check_files=False).manifest.precisions == files  # unfinished: without ood.npz


def test_same_run_same_model_files(bundle_folder: Path, run: Path, tmp_path: Path) -> None:
    again = make_bundle(run, tmp_path / "again.bundle", BundleOptions(version=7, label="spring")).manifest
    first = open_bundle(bundle_folder).manifest
    for name in first.files:
        assert again.files[name] == first.files[name] or name == "card.md", name


def test_an_int8_that_loses_too_much_is_left_out(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("fieldlens.convert.measure.tolerance.LOGIT_SHARE", dict.fromkeys(("fp16", "int8"), (0.0, 1e-6)))
    manifest = make_bundle(run, tmp_path / "fp32-only.bundle", BundleOptions(targets=("cpu",)), Lines()).manifest
    assert manifest.precisions == ("fp32",)
    assert set(manifest.tolerances) == {"fp32"}
    said = manifest.evaluation["int8-cpu"]
    assert "largest logit difference" in said["refused"][0]
    assert len(said["attempts"]) == 3
    printed = capsys.readouterr().out
    assert printed.count("refused: int8-cpu: largest logit difference") == 4
    assert "left out: int8-cpu" in printed


def test_activations_beyond_fp16_are_refused(
    broken_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same function in FP32, with one activation thirty thousand times as large."""
    checkpoint = torch.load(broken_run / "best.pt", weights_only=True)
    for name in ("weight", "bias"):
        checkpoint["model"][f"layer1.0.bn1.{name}"] *= 3e4
    checkpoint["model"]["layer1.0.conv2.weight"] *= 1 / 3e4
    torch.save(checkpoint, broken_run / "best.pt")
    manifest = make_bundle(broken_run, tmp_path / "loud.bundle", BundleOptions(calibration_images=40), Lines()).manifest
    assert manifest.precisions == ("fp32", "int8-cpu")
    printed = capsys.readouterr().out
    for name in ("fp16", "int8", "int8-trt8"):
        assert name not in manifest.tolerances
        assert any(
            "layer1.0/conv1" in why and "FP16 ends at 65504" in why for why in manifest.evaluation[name]["refused"]
        )
        assert f"left out: {name}\n" in printed
    assert manifest.evaluation["fp32"]["val"]["auc"] > 0.9
