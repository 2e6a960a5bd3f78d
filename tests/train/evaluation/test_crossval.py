from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn import metrics as theirs

from fieldlens.convert.origin.training_run import load_source
from fieldlens.runtime.terminal.reporter import Lines
from fieldlens.train.config import Config
from fieldlens.train.errors import DataError, RunError
from fieldlens.train.evaluation.crossval import crossval
from fieldlens.train.evaluation.evaluate import evaluate
from fieldlens.train.metrics import wilson
from tests.train.conftest import make_config, make_table_data, single_thread

FOLDS = 3


def recipe(**crossval: Any) -> Config:
    return make_config(train={"epochs": 1}, crossval={"folds": FOLDS, **crossval})


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished cross-validation of 36 images of 12 subjects in ``cv``; its data is beside it."""
    root = tmp_path_factory.mktemp("crossval")
    make_table_data(root / "data", subjects=12)
    with single_thread():
        text = str(crossval(recipe(), root / "data", root / "cv", reporter=Lines()))
    (root / "printed.txt").write_text(text)
    return root


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_the_figures_are_those_of_the_predictions(made: Path) -> None:
    found = json.loads((made / "cv/crossval.json").read_text())
    assert set(found) == {"pooled", "folds"}
    pooled, predictions = found["pooled"], rows(made / "cv/predictions.csv")
    assert pooled["n"] == len(predictions) == 36
    assert len({row["id"] for row in predictions}) == 36
    ill = np.array([row["label"] == "ill" for row in predictions])
    probability = np.array([float(row["ill"]) for row in predictions])
    assert pooled["auc"] == pytest.approx(theirs.roc_auc_score(ill, probability))
    assert pooled["accuracy"] == pytest.approx(((probability > 0.5) == ill).mean())
    assert pooled["accuracy_interval"] == pytest.approx(wilson(round(36 * pooled["accuracy"]), 36))
    reported = np.array([row["outcome"] != "no-sign-found" for row in predictions])
    assert pooled["uncertain_as_refer"]["sensitivity"] == pytest.approx(reported[ill].mean())
    assert pooled["uncertain_as_refer"]["specificity"] == pytest.approx((~reported[~ill]).mean())


def test_sensitivity_is_at_each_folds_own_threshold(made: Path) -> None:
    found = json.loads((made / "cv/crossval.json").read_text())
    predictions = rows(made / "cv/predictions.csv")
    hits = sum(
        float(row["ill"]) >= found["folds"][int(row["fold"]) - 1]["thresholds"]["ill"]
        for row in predictions
        if row["label"] == "ill"
    )
    assert found["pooled"]["sensitivity"] == pytest.approx(hits / 18)
    assert [fold["fold"] for fold in found["folds"]] == [1, 2, 3]
    assert sum(fold["n"] for fold in found["folds"]) == 36
    for fold in found["folds"]:
        point = json.loads((made / f"cv/fold-{fold['fold']}/operating-point.json").read_text())
        assert fold["temperature"] == point["temperature"]


def test_it_prints_and_reports(made: Path) -> None:
    text = (made / "printed.txt").read_text()
    pooled = json.loads((made / "cv/crossval.json").read_text())["pooled"]
    assert f"AUC {pooled['auc']:.4f}" in text
    report = json.loads((made / "cv/report.json").read_text())
    assert report["part"]["name"] == "out-of-fold"
    assert len(report["curves"]) == FOLDS
    assert "own figures, judged by a network that had not seen it" in (made / "cv/report.html").read_text()
    assert any("Cross-validation judges the recipe" in line for line in report["limits"])
    assert (made / "cv/curves.png").read_bytes().startswith(b"\x89PNG")
    assert (made / "cv/final/report.json").read_text() == (made / "cv/report.json").read_text()


def test_started_again_it_fits_only_what_is_not_finished(made: Path, tmp_path: Path) -> None:
    again = Path(shutil.copytree(made / "cv", tmp_path / "cv"))
    before = {path: path.stat().st_mtime_ns for path in again.glob("*/best.pt")}
    assert len(before) == FOLDS + 1
    shutil.rmtree(again / "fold-2")
    kept = again / "fold-1/out-of-fold.json"  # of another version: answered again, not fitted again
    kept.write_text(json.dumps({key: value for key, value in json.loads(kept.read_text()).items() if key != "ids"}))
    crossval(recipe(), made / "data", again)
    after = {path: path.stat().st_mtime_ns for path in again.glob("*/best.pt")}
    assert {path for path in after if after[path] != before[path]} == {again / "fold-2/best.pt"}
    assert (again / "crossval.json").read_text() == (made / "cv/crossval.json").read_text()


def test_a_folder_of_other_settings_or_of_something_else_is_refused(made: Path, tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"other settings \(config, folds\)"):
        crossval(recipe(seed=1), made / "data", made / "cv")
    with pytest.raises(RunError, match="not a cross-validation"):
        crossval(recipe(), made / "data", made / "data")
    (tmp_path / "old").mkdir()
    (tmp_path / "old/state.json").write_text('{"config": {}, "data": "x"}')
    with pytest.raises(RunError, match="'folds' is missing"):
        crossval(recipe(), made / "data", tmp_path / "old")
    few = make_table_data(tmp_path / "data", subjects=2)
    with pytest.raises(DataError, match="2 groups cannot be dealt to 3 folds"):
        crossval(recipe(), few, tmp_path / "cv")
    assert not (tmp_path / "cv").exists()


def test_the_final_run_is_fitted_on_everything_and_can_be_converted(made: Path) -> None:
    source = load_source(made / "cv/final", None)
    assert set(source.parts.values()) == {"train", "val"}
    assert len(source.parts) == 36


def test_a_fold_is_a_run_like_any_other(made: Path, tmp_path: Path) -> None:
    fold = Path(shutil.copytree(made / "cv/fold-2", tmp_path / "fold-2"))
    tested = {row["id"] for row in rows(made / "cv/predictions.csv") if row["fold"] == "2"}
    source = load_source(fold, made / "data")
    assert {name for name, part in source.parts.items() if part == "test"} == tested
    evaluate(fold)
    own = json.loads((made / "cv/crossval.json").read_text())["folds"][1]
    assert json.loads((fold / "evaluation.json").read_text())["test"]["auc"] == pytest.approx(own["auc"])


def test_the_best_fold_can_be_kept_instead(made: Path, tmp_path: Path) -> None:
    """Chosen by validation: the fold's own test has no say."""
    out = Path(shutil.copytree(made / "cv", tmp_path / "cv"))
    shutil.rmtree(out / "final")
    state = json.loads((out / "state.json").read_text())
    state["config"]["crossval"]["keep"] = "best"
    for path in [out / "state.json", *out.glob("fold-*/config.json")]:
        value = json.loads(path.read_text())
        (value["config"] if path.name == "state.json" else value)["crossval"]["keep"] = "best"
        path.write_text(json.dumps(value))
    crossval(recipe(keep="best"), made / "data", out)
    folds = json.loads((out / "crossval.json").read_text())["folds"]
    best = max(folds, key=lambda fold: fold["val_auc"])["fold"]
    assert (out / "final/best.pt").read_bytes() == (out / f"fold-{best}/best.pt").read_bytes()
    assert set(load_source(out / "final", None).parts.values()) == {"train", "val", "test"}
