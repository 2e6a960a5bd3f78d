"""The trainer's evaluation on a finished bundle, in every precision, and its report inside of a bundle."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from fieldlens.convert.card import report_files, text
from fieldlens.convert.measure.labelled import OriginError
from fieldlens.convert.measure.report import write_report
from fieldlens.convert.measure.verify import verify
from fieldlens.runtime.bundle.open import open_bundle
from fieldlens.runtime.errors import KitError
from fieldlens.train.errors import RunError
from fieldlens.train.evaluation.evaluate import EvaluationOptions, evaluate
from tests.convert.conftest import ALL, PARTS


@pytest.fixture(scope="module")
def evaluated(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the run with its report on the test part."""
    folder = Path(shutil.copytree(run, tmp_path_factory.mktemp("evaluated") / "spots"))
    evaluate(folder, options=EvaluationOptions(with_images=True))
    return folder


def test_a_bundle_is_judged_in_every_precision_that_runs_here(
    bundle_folder: Path, data: Path, evaluated: Path, tmp_path: Path
) -> None:
    before = open_bundle(bundle_folder).hash
    printed = str(evaluate(bundle_folder, data, options=EvaluationOptions(out=tmp_path / "out", prevalence=0.05)))
    report = json.loads((tmp_path / "out/report.json").read_text())
    assert list(report["precisions"]) == ["fp32", "int8"]
    trained = json.loads((evaluated / "report.json").read_text())
    ours, theirs = report["evaluation"], trained["evaluation"]
    assert ours["confusion"] == theirs["confusion"]
    assert ours["auc"] == pytest.approx(theirs["auc"], abs=1e-6)
    assert report["imageability"]["readable"] == pytest.approx(trained["imageability"]["readable"], abs=1)
    assert report["thresholds"]["prevalence"] == 0.05
    assert report["inference"]["total_mean_ms"] >= report["inference"]["mean_ms"] > 0
    assert "int8 on test" in printed
    assert "Every precision that was run" in (tmp_path / "out/report.html").read_text()
    assert open_bundle(bundle_folder).hash == before


def test_what_only_tensorrt_runs_is_judged_by_emulation(bundle_folder: Path, data: Path, tmp_path: Path) -> None:
    verified = verify(bundle_folder, data, "test", "auto")
    assert verified.source
    write_report(tmp_path / "out", verified.bundle, verified.source, verified.answers)
    report = json.loads((tmp_path / "out/report.json").read_text())
    assert set(report["precisions"]) == set(ALL)
    for row in verified.figures:
        assert report["precisions"][row.precision]["accuracy"] == pytest.approx(row.accuracy)
        assert report["precisions"][row.precision]["auc"] == pytest.approx(row.auc)
    assert report["evaluation"]["n"] == PARTS["test"]


def test_a_bundle_needs_its_data_and_a_place_for_the_report(bundle_folder: Path, data: Path, tmp_path: Path) -> None:
    for given, options, hint in (
        (data, EvaluationOptions(), "--out"),
        (None, EvaluationOptions(out=tmp_path / "out"), "--data"),
    ):
        with pytest.raises(RunError) as caught:
            evaluate(bundle_folder, given, options=options)
        assert hint in caught.value.hint
    with pytest.raises(KitError):
        evaluate(bundle_folder, data, options=EvaluationOptions(out=tmp_path / "out", precision="fp16"))


@pytest.fixture
def mistaken(run: Path, tmp_path: Path) -> Path:
    """A copy of the run whose threshold nobody reaches: every image with a spot is a mistake in its report."""
    folder = Path(shutil.copytree(run, tmp_path / "mistaken"))
    point = json.loads((folder / "operating-point.json").read_text())
    point["decision"] |= {"thresholds": 0.9999, "band": [0.9998, 0.9999]}
    (folder / "operating-point.json").write_text(json.dumps(point))
    evaluate(folder, options=EvaluationOptions(with_images=True))
    return folder


def test_the_report_that_travels_shows_and_names_no_image(mistaken: Path) -> None:
    own = (mistaken / "report.html").read_text()
    named = [row["id"] for row in json.loads((mistaken / "report.json").read_text())["mistakes"]]
    assert named, "the run's own report has images to lose"
    assert "image/jpeg" in own
    html = report_files(mistaken)["report.html"].decode()
    assert "image/jpeg" not in html
    assert not any(name in html for name in named)
    assert "Model card" in html


def test_without_a_report_none_travels_and_a_broken_one_is_told(evaluated: Path, run: Path, tmp_path: Path) -> None:
    assert report_files(run) == {}
    broken = Path(shutil.copytree(evaluated, tmp_path / "broken"))
    (broken / "report.json").write_text("{")
    with pytest.raises(OriginError) as caught:
        report_files(broken)
    assert "evaluate" in caught.value.hint


def test_the_card_says_on_what_it_was_measured(bundle_folder: Path, evaluated: Path, tmp_path: Path) -> None:
    manifest = open_bundle(bundle_folder).manifest
    assert "On the test split, FP32 in the trainer: AUC" in text(manifest, evaluated)
    folds = tmp_path / "final"
    folds.mkdir()
    figures = json.loads((evaluated / "evaluation.json").read_text())["test"]
    (folds / "evaluation.json").write_text(json.dumps({"out-of-fold": figures}))
    assert "By cross-validation of the recipe, not of this network" in text(manifest, folds)
