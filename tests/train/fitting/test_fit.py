from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import cv2
import pytest
import torch

from fieldlens.runtime.errors import ConfigError
from fieldlens.runtime.files import atomic
from fieldlens.train.checkpoint import load_run, read_checkpoint
from fieldlens.train.config import Config
from fieldlens.train.data.load import load_data
from fieldlens.train.data.splits import split, split_hash
from fieldlens.train.errors import DataError, FitError, RunError
from fieldlens.train.evaluation.crossval import crossval
from fieldlens.train.fitting.fit import fit, fit_parts
from fieldlens.train.report.contents import read_curves

Configure = Callable[..., Config]


def test_the_run_folder_holds_what_the_converter_reads(shared_run: Path) -> None:
    names = {path.name for path in shared_run.iterdir()}
    assert names == {
        "config.json", "run.json", "split.csv", "local.json", "best.pt", "last.pt", "metrics.csv", "curves.png",
        "gate.json", "ood.npz", "operating-point.json",
    }  # fmt: skip
    newest = max(shared_run.iterdir(), key=lambda path: path.stat().st_mtime_ns)
    assert newest.name == "operating-point.json"
    facts = json.loads((shared_run / "run.json").read_text())
    assert facts["classes"] == [{"id": "healthy", "display": "healthy"}, {"id": "ill", "display": "ill"}]
    assert facts["preprocess"][-1] == {"step": "resize", "size": 32, "mode": "crop", "zoom": 1.0}
    assert str(shared_run.parent) not in json.dumps(facts)
    assert not any(path.stat().st_mode & 0o077 for path in (shared_run, *shared_run.iterdir()))  # it names patients
    assert cv2.imread(str(shared_run / "curves.png")) is not None


def test_a_second_fit_into_the_same_folder_is_told_at_once(tmp_path: Path, configure: Configure) -> None:
    with atomic.alone(tmp_path / "run"), pytest.raises(atomic.InUse, match="another process is making"):
        fit(configure(), tmp_path / "no data is read", tmp_path / "run")
    with atomic.alone(tmp_path / "all"), pytest.raises(atomic.InUse, match="another process is making"):
        crossval(configure(), tmp_path / "no data is read", tmp_path / "all")
    assert list(tmp_path.iterdir()) == []


def test_split_and_metrics_tables(shared_run: Path) -> None:
    with (shared_run / "split.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["image", "label", "split", "group", "site"]
    assert len({(row["group"], row["split"]) for row in rows}) == 20
    with (shared_run / "metrics.csv").open(encoding="utf-8", newline="") as file:
        assert [row["epoch"] for row in csv.DictReader(file)] == ["1", "2"]


def test_the_split_can_be_derived_again_from_data_and_configuration(shared_run: Path) -> None:
    run = load_run(shared_run)
    data = load_data(shared_run.parent / "data", run.config.data)
    assert data.hash == run.data.hash
    assert split_hash(split(data, run.config.data)) == run.data.split_hash


def test_the_same_seed_gives_the_same_weights(shared_run: Path, tmp_path: Path, configure: Configure) -> None:
    fit(configure(), shared_run.parent / "data", tmp_path / "again")
    fit(configure(train={"seed": 4}), shared_run.parent / "data", tmp_path / "other")
    first, again, other = (
        read_checkpoint(path / "last.pt")["model"] for path in (shared_run, tmp_path / "again", tmp_path / "other")
    )
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["fc.weight"], other["fc.weight"])


def test_grades_in_order_with_dropout_sgd_and_no_decision(npz_data: Path, tmp_path: Path, configure: Configure) -> None:
    options = {"metric": "val_kappa", "optimizer": "sgd", "lr": 0.05, "schedule": "one-cycle", "class_weights": "none"}
    labels = {"0": "normal", "1": "odd"}
    config = configure(
        data={"labels": labels, "ordinal": True}, decision={"positive": []}, model={"dropout": 0.2}, train=options
    )
    fit(config, npz_data, tmp_path / "run")
    run = load_run(tmp_path / "run")
    assert run.operating_point.decision is None
    assert run.dropout == 0.2
    assert run.data.path == "tiny.npz"
    with (tmp_path / "run/metrics.csv").open(encoding="utf-8", newline="") as file:
        assert all(-1 <= float(row["val_kappa"]) <= 1 for row in csv.DictReader(file))


def test_the_best_epoch_is_one_that_was_judged(npz_data: Path, tmp_path: Path, configure: Configure) -> None:
    labels = {"0": "normal", "1": "odd"}
    train = {"epochs": 4, "judge_from": 0.5}
    fit(configure(data={"labels": labels}, decision={"positive": []}, train=train), npz_data, tmp_path / "run")
    assert read_checkpoint(tmp_path / "run/best.pt")["epoch"] >= 3
    assert [row["judged"] for row in read_curves(tmp_path / "run/metrics.csv")] == [0, 0, 1, 1]


def test_several_findings_on_a_split_of_ones_own(table_data: Path, tmp_path: Path, configure: Configure) -> None:
    names = {"healthy": "mark", "ill": "mark|ill"}
    rows = ["image,label,group"]
    for number, line in enumerate((table_data / "labels.csv").read_text().splitlines()[1:]):
        image, label, group, _ = line.split(",")
        rows.append(f"{image},{names[label] if number % 5 else 'No Finding'},{group}")
    (table_data / "labels.csv").write_text("\n".join(rows) + "\n")
    config = configure(data={"task": "multilabel"}, train={"loss": "focal"})
    data = load_data(table_data, config.data)
    parts = {sample.id: ("train", "val")[int(sample.group[1:]) % 5 == 0] for sample in data.samples if sample.group}
    history = fit_parts(config, data, parts, tmp_path / "run")
    assert history.best.val_auc > 0.5
    run = load_run(tmp_path / "run")
    assert (run.task, run.class_ids) == ("multilabel", ("ill", "mark"))
    assert not (tmp_path / "run/local.json").exists()


def test_early_stopping(table_data: Path, tmp_path: Path, configure: Configure) -> None:
    options = {"epochs": 30, "patience": 1, "lr": 1e-8, "optimizer": "sgd", "metric": "val_accuracy"}
    history = fit(configure(train=options), table_data, tmp_path / "run")
    assert len(history.rows) < 30
    assert history.rows[-1].epoch - history.best.epoch == 1


def test_a_used_folder_is_refused_and_left_alone(finished_run: Path, table_data: Path, configure: Configure) -> None:
    before = (finished_run / "best.pt").read_bytes()
    with pytest.raises(RunError, match="not empty"):
        fit(configure(), table_data, finished_run)
    assert (finished_run / "best.pt").read_bytes() == before


def test_an_interrupted_run_is_told_as_such(finished_run: Path, table_data: Path, configure: Configure) -> None:
    (finished_run / "operating-point.json").unlink()
    with pytest.raises(RunError, match="unfinished"):
        fit(configure(), table_data, finished_run)


def test_unreadable_images_of_any_part_stop_before_training(
    table_data: Path, tmp_path: Path, configure: Configure
) -> None:
    for path in sorted((table_data / "images").iterdir()):
        path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(DataError, match=r"images that cannot be read") as caught:
        fit(configure(), table_data, tmp_path / "run")
    assert "more" in caught.value.message
    assert not (tmp_path / "run" / "best.pt").exists()


def test_wrong_positive_classes_stop_before_training(table_data: Path, tmp_path: Path, configure: Configure) -> None:
    with pytest.raises(ConfigError, match="'il'"):
        fit(configure(decision={"positive": ["il"]}), table_data, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_diverging_run_stops_with_names(table_data: Path, tmp_path: Path, configure: Configure) -> None:
    options = {"optimizer": "sgd", "lr": 10.0, "momentum": 0.99, "weight_decay": 1.0, "epochs": 60}
    with pytest.raises(FitError, match=r"the loss became (nan|inf) in epoch .* on images/"):
        fit(configure(train=options), table_data, tmp_path / "run")
    assert not (tmp_path / "run" / "operating-point.json").exists()
