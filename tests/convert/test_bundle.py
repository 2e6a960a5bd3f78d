"""``convert bundle``, from the command line."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
import torch

from convert.__main__ import main
from convert.bundle import Options, golden_candidates, make
from convert.contract import check_graph
from convert.source import load_source
from runtime.bundle import open_bundle
from runtime.errors import KitError, run_cli
from tests.convert.conftest import PARTS, ROOT, Command, arrays


def test_the_bundle_is_whole(bundle_folder: Path) -> None:
    bundle = open_bundle(bundle_folder)
    manifest = bundle.manifest
    assert (manifest.name, manifest.version.number, manifest.version.label) == ("spots", 7, "spring")
    assert [(info.id, info.display) for info in manifest.classes] == [("clear", "clear"), ("spot", "A spot")]
    assert manifest.precisions == ("fp32", "int8-cpu")
    assert set(manifest.tolerances) == {"fp32", "int8-cpu"}
    assert (manifest.size, manifest.features, manifest.cam_size) == (64, 512, 2)
    assert {"card.md", "golden/golden.json", "golden/golden.npz"} <= set(manifest.files)
    assert not any(path.name.endswith(".tmp") for path in bundle_folder.parent.iterdir())


def test_operating_point_is_the_runs(bundle_folder: Path, run: Path) -> None:
    point = json.loads((run / "operating-point.json").read_text())
    manifest = open_bundle(bundle_folder).manifest
    assert manifest.temperature == point["temperature"]
    assert manifest.decision is not None
    assert manifest.decision.to_json() == point["decision"]


def test_every_precision_is_evaluated(bundle_folder: Path) -> None:
    manifest = open_bundle(bundle_folder).manifest
    assert set(manifest.evaluation) == {"fp32", "int8-cpu"}
    for value in manifest.evaluation.values():
        assert value["val"]["n"] == PARTS["val"]
        assert value["val"]["auc"] > 0.9
        assert value["val"]["decision"]["positives"] == PARTS["val"] // 2
    assert manifest.evaluation["fp32"]["val"]["agreement"] == 1.0


def test_provenance_names_what_it_was_made_from(bundle_folder: Path, run: Path, data: Path) -> None:
    facts = json.loads((run / "run.json").read_text())
    found = open_bundle(bundle_folder).manifest.provenance
    assert found["data"]["hash"] == facts["data"]["hash"]
    assert found["data"]["split_hash"] == facts["data"]["split_hash"]
    assert found["calibration"]["images"] == PARTS["train"]
    assert found["golden"] == {"images": 64, "from": "from the validation data, which may be shared"}
    assert {"torch", "onnx", "onnxruntime", "openvino"} <= set(found["converted_with"])
    text = (bundle_folder / "manifest.json").read_text()
    assert str(data.parent) not in text
    assert str(run.parent) not in text


@pytest.mark.parametrize("precision", ["fp32", "int8-cpu"])
def test_every_file_keeps_the_contract(bundle_folder: Path, precision: str) -> None:
    bundle = open_bundle(bundle_folder)
    shape = check_graph(onnx.load_from_string(bundle.model(precision)), 17)
    assert (shape.size, shape.classes) == (bundle.manifest.size, len(bundle.manifest.classes))


def test_same_run_same_model_files(bundle_folder: Path, run: Path, tmp_path: Path) -> None:
    again = open_bundle(make(run, tmp_path / "again.bundle", Options(version=7, label="spring"))).manifest
    first = open_bundle(bundle_folder).manifest
    for name in first.files:
        assert again.files[name] == first.files[name] or name == "card.md", name


def test_private_data_gives_synthetic_golden_images(broken_run: Path, data: Path, tmp_path: Path) -> None:
    facts = json.loads((broken_run / "run.json").read_text())
    facts["data"]["shareable"] = False
    (broken_run / "run.json").write_text(json.dumps(facts))
    private = open_bundle(make(broken_run, tmp_path / "private.bundle", Options())).manifest
    assert private.provenance["golden"]["from"].startswith("synthetic")
    (tmp_path / "public").mkdir()
    with np.load(data) as content:
        for index, image in enumerate(content["test_images"][:20]):
            cv2.imwrite(str(tmp_path / "public" / f"{index}.png"), image[..., ::-1])
    source = load_source(broken_run, None)
    candidates, origin = golden_candidates(source, [], Options(images=tmp_path / "public"))
    assert origin == "from a folder that was given"
    assert len(candidates) == 20
    candidates, origin = golden_candidates(source, [], Options(golden_from_data=True))
    assert origin == "from the validation data, by explicit consent"
    assert len(candidates) == PARTS["val"]


def test_an_int8_that_loses_too_much_is_left_out(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("convert.tolerance.LOGIT_SHARE", (0.0, 1e-6))
    manifest = open_bundle(make(run, tmp_path / "fp32-only.bundle", Options())).manifest
    assert manifest.precisions == ("fp32",)
    assert set(manifest.tolerances) == {"fp32"}
    said = manifest.evaluation["int8-cpu"]
    assert "largest logit difference" in said["refused"][0]
    assert len(said["attempts"]) == 1
    printed = capsys.readouterr().out
    assert printed.count("refused: int8-cpu: largest logit difference") == 2
    assert "left out: model.int8-cpu.onnx" in printed


def truncated_checkpoint(run: Path) -> None:
    data = (run / "best.pt").read_bytes()
    (run / "best.pt").write_bytes(data[: len(data) // 2])


def wrong_classes(run: Path) -> None:
    facts = json.loads((run / "run.json").read_text())
    facts["classes"].append({"id": "third", "display": "third"})
    (run / "run.json").write_text(json.dumps(facts))


def missing_split(run: Path) -> None:
    (run / "split.csv").unlink()


def unfinished(run: Path) -> None:
    (run / "operating-point.json").unlink()


def changed_data(run: Path) -> None:
    content = arrays(PARTS)
    content["val_labels"][0] = 1
    np.savez(run / "changed.npz", **content)  # type: ignore[arg-type]
    (run / "local.json").write_text(json.dumps({"data": str(run / "changed.npz")}))


def broken_data(run: Path) -> None:
    (run / "broken.npz").write_bytes(b"PK\x03\x04 no more")
    (run / "local.json").write_text(json.dumps({"data": str(run / "broken.npz")}))


FAULTS: list[tuple[Callable[[Path], None], str]] = [
    (truncated_checkpoint, "best.pt is truncated or corrupt"),
    (wrong_classes, "classes is ['clear', 'spot'], run.json says ['clear', 'spot', 'third']"),
    (missing_split, "split.csv is missing"),
    (unfinished, "operating-point.json is missing"),
    (changed_data, "is not the data that spots was trained on"),
    (broken_data, "broken.npz cannot be read"),
]


def refused(code: int, errors: str, message: str) -> None:
    assert code == 2, errors
    error, hint = errors.strip().splitlines()[-2:]
    assert error.startswith("error: ")
    assert message in error
    assert hint.startswith("hint: ")


@pytest.mark.parametrize(("spoil", "message"), FAULTS, ids=[fault.__name__ for fault, _ in FAULTS])
def test_a_broken_run_is_refused(
    spoil: Callable[[Path], None],
    message: str,
    broken_run: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    spoil(broken_run)
    code = run_cli(lambda: main(["bundle", str(broken_run), "--out", str(tmp_path / "out" / "no.bundle")]))
    refused(code, capsys.readouterr().err, message)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("spoil", "message"), [FAULTS[4]], ids=["data"])
def test_a_broken_run_is_refused_by_a_process(
    spoil: Callable[[Path], None], message: str, broken_run: Path, tmp_path: Path, command: Command
) -> None:
    spoil(broken_run)
    done = command("bundle", broken_run, "--out", tmp_path / "out" / "no.bundle")
    refused(done.returncode, done.stderr, message)
    assert not (tmp_path / "out").exists()


def test_weights_that_are_not_finite_are_refused(broken_run: Path, tmp_path: Path) -> None:
    checkpoint = torch.load(broken_run / "best.pt", weights_only=True)
    checkpoint["model"]["layer1.0.conv1.weight"][0, 0, 0, 0] = float("nan")
    torch.save(checkpoint, broken_run / "best.pt")
    with pytest.raises(KitError, match="not finite"):
        make(broken_run, tmp_path / "no.bundle", Options())


def test_too_few_training_images_are_refused(run: Path, tmp_path: Path) -> None:
    with pytest.raises(KitError, match="31 training images"):
        make(run, tmp_path / "no.bundle", Options(calibration_images=31))
    assert list(tmp_path.iterdir()) == []


def test_an_out_that_is_in_use_is_left_alone(run: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("keep")
    with pytest.raises(KitError, match="exists and is not empty"):
        make(run, tmp_path, Options())
    assert (tmp_path / "mine").read_text() == "keep"


@pytest.mark.skipif(not hasattr(signal, "SIGTERM") or os.name != "posix", reason="signals of POSIX")
def test_an_interrupted_run_leaves_nothing(run: Path, tmp_path: Path) -> None:
    out = tmp_path / "half.bundle"
    process = subprocess.Popen(
        [sys.executable, "-m", "convert", "bundle", str(run), "--out", str(out)],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob(".half.bundle.*.tmp/model.fp32.onnx")) and time.monotonic() < deadline:
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert "interrupted" in errors
    assert list(tmp_path.iterdir()) == []
