from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from fieldlens.runtime.errors import ConfigError
from fieldlens.train.checkpoint import data_of, read_split
from fieldlens.train.config import Config
from fieldlens.train.errors import DataError, RunError
from fieldlens.train.evaluation.evaluate import EvaluationOptions, evaluate
from fieldlens.train.fitting.fit import fit


def test_figures_are_printed_and_stored(finished_run: Path) -> None:
    result = evaluate(finished_run)
    text = str(result)
    assert result.report == finished_run / "report.html"
    assert result.report.is_file()
    stored = json.loads((finished_run / "evaluation.json").read_text())["test"]
    expected = list(read_split(finished_run).values()).count("test")
    assert stored["n"] == expected
    assert f"{expected} images of {stored['groups']} groups" in text
    assert result.figures["fp32"].accuracy == stored["accuracy"]
    assert f"accuracy {stored['accuracy']:.4f}" in text
    assert f"AUC {stored['auc']:.4f}" in text
    assert stored["auc_interval"][0] <= stored["auc"] <= stored["auc_interval"][1]
    assert sum(map(sum, stored["confusion"])) == expected
    assert stored["classes"]["ill"]["support"] == stored["decision"]["positives"]
    assert sum(stored["decision"]["outcomes"].values()) == expected
    assert len(stored["decision"]["sensitivity_interval"]) == 2
    assert cv2.imread(str(finished_run / "confusion-test.png")) is not None


def test_uncertain_counts_as_refer_can_only_find_more(finished_run: Path) -> None:
    evaluate(finished_run)
    decision = json.loads((finished_run / "evaluation.json").read_text())["test"]["decision"]
    assert decision["uncertain_as_refer"]["sensitivity"] >= decision["sensitivity"]
    assert decision["uncertain_as_refer"]["specificity"] <= decision["specificity"]


def test_parts_are_kept_side_by_side_and_looks_are_counted(finished_run: Path) -> None:
    for part in ("test", "val", "test"):
        evaluate(finished_run, part=part)
    stored = json.loads((finished_run / "evaluation.json").read_text())
    assert {part: stored[part]["opened"] for part in stored} == {"test": 2, "val": 1}


def test_the_data_may_have_moved_but_not_changed(finished_run: Path, shared_run: Path, tmp_path: Path) -> None:
    moved = Path(shutil.copytree(shared_run.parent / "data", tmp_path / "data"))
    evaluate(finished_run, moved)
    (moved / "labels.csv").write_text((moved / "labels.csv").read_text().replace("00-0.png,healthy", "00-0.png,ill"))
    with pytest.raises(DataError, match="hash differs") as caught:
        evaluate(finished_run, moved)
    assert "--other-data" in caught.value.hint
    text = evaluate(finished_run, moved, other_data=True).table
    assert "60 images" in text
    assert "other:data" in json.loads((finished_run / "evaluation.json").read_text())


def test_data_that_is_gone_is_asked_for(finished_run: Path) -> None:
    (finished_run / "local.json").unlink()
    with pytest.raises(RunError) as caught:
        evaluate(finished_run)
    assert "--data" in caught.value.hint


def test_another_set_may_lack_a_class(table_data: Path, tmp_path: Path, configure: Callable[..., Config]) -> None:
    """A run of three classes, judged on a set of two: no AUC of the third, and no crash."""
    table = table_data / "labels.csv"
    lines = table.read_text().splitlines()
    third = [line.replace(",ill,", ",odd,") if int(line[7:9]) % 4 == 3 else line for line in lines[1:]]
    table.write_text("\n".join([lines[0], *third]))
    fit(configure(train={"epochs": 1}), table_data, tmp_path / "run")
    table.write_text("\n".join([lines[0], *(line for line in third if ",odd," not in line)]))
    assert "45 images" in evaluate(tmp_path / "run", table_data, other_data=True).table
    stored = json.loads((tmp_path / "run/evaluation.json").read_text())["other:table data"]
    assert stored["classes"]["odd"]["support"] == 0


def test_other_classes_are_refused(finished_run: Path, folder_data: Path) -> None:
    with pytest.raises(DataError, match="unknown label"):
        evaluate(finished_run, folder_data, other_data=True)


def test_the_report_shows_images_only_when_asked(finished_run: Path) -> None:
    evaluate(finished_run)
    report = json.loads((finished_run / "report.json").read_text())
    page = (finished_run / "report.html").read_text()
    assert "data:image/jpeg" not in page
    assert report["evaluation"]["n"] == json.loads((finished_run / "evaluation.json").read_text())["test"]["n"]
    assert report["imageability"]["n"] == report["evaluation"]["n"]
    assert report["inference"]["mean_ms"] > 0
    assert len(report["curves"][0]["epochs"]) == 2
    evaluate(finished_run, options=EvaluationOptions(with_images=True))
    page = (finished_run / "report.html").read_text()
    assert page.count("data:image/jpeg") == len(report["mistakes"])
    again = json.loads((finished_run / "report.json").read_text())
    assert again["part"]["opened"] == report["part"]["opened"] + 1
    assert any("looked at 2 times" in line for line in again["limits"])


def test_another_part_does_not_take_the_tests_place(finished_run: Path) -> None:
    evaluate(finished_run)
    before = (finished_run / "report.html").read_bytes()
    evaluate(finished_run, part="val")
    assert (finished_run / "report.html").read_bytes() == before
    flattering = json.loads((finished_run / "report-val.json").read_text())
    assert any("flatters" in line for line in flattering["limits"])


def test_the_report_may_go_elsewhere(finished_run: Path, tmp_path: Path) -> None:
    evaluate(finished_run, options=EvaluationOptions(out=tmp_path / "out", prevalence=0.02))
    report = json.loads((tmp_path / "out/report.json").read_text())
    assert report["thresholds"]["prevalence"] == 0.02
    assert not (finished_run / "report.html").exists()
    with pytest.raises(ConfigError, match="--prevalence"):
        evaluate(finished_run, options=EvaluationOptions(prevalence=1.5))


def test_maps_are_those_of_the_network(finished_run: Path) -> None:
    """The mean of a class's map and the head's bias are its logit: so the map is what the network decided by."""
    import numpy as np

    from fieldlens.train.checkpoint import load_run
    from fieldlens.train.data.cache import load_tensors
    from fieldlens.train.data.load import load_data
    from fieldlens.train.scoring.answers import of_run

    run = load_run(finished_run)
    data = load_data(Path(json.loads((finished_run / "local.json").read_text())["data"]), run.config.data)
    tensors = load_tensors(data, data.samples[:6], run.preprocess, "decoding")
    answers = of_run(run, data, tensors, None, with_maps=True)
    assert answers.maps is not None
    bias = run.model.state_dict()["fc.bias"].numpy()
    logits = answers.logits[np.arange(6), answers.explained]
    assert answers.maps.mean(axis=(1, 2)) + bias[answers.explained] == pytest.approx(logits, abs=1e-4)
    assert answers.findings is None


def test_marked_findings_judge_the_heat_maps(finished_run: Path, tmp_path: Path) -> None:
    """In the table, in report.json and on the page, beside Grad-CAM++ and chance; at 32 px nobody would see the map."""
    found = data_of(finished_run)
    assert found is not None
    data = tmp_path / "data"
    shutil.copytree(found if found.is_dir() else found.parent, data)
    for path in [path for path in data.rglob("*") if path.suffix in (".png", ".jpg")]:
        shape = cv2.imread(str(path)).shape[:2]  # type: ignore[union-attr]
        mask = np.zeros(shape, np.uint8)
        mask[:, : shape[1] // 2] = 255
        (data / "masks").mkdir(exist_ok=True)
        cv2.imwrite(str(data / "masks" / f"{path.stem}.png"), mask)
    config = json.loads((finished_run / "config.json").read_text())
    config["data"]["mask_folder"] = "masks"
    (finished_run / "config.json").write_text(json.dumps(config))
    report = evaluate(finished_run, data if found.is_dir() else data / found.name)
    maps = json.loads((finished_run / "report.json").read_text())["pointing"]
    assert list(maps) == ["fp32", "fp32, Grad-CAM++"]
    assert maps["fp32"]["chance"] == pytest.approx(0.5, abs=0.02)
    assert maps["fp32"]["n"] == report.figures["fp32"].decision["outcomes"]["refer"]  # type: ignore[index]
    page = report.report.read_text(encoding="utf-8")
    assert "<h2>Heat maps</h2>" in page
    assert "1x1 cells are too coarse" in page
    assert "brightest point inside" in str(report)
