"""Whole curves of small networks on made data."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import pytest

from fieldlens.runtime.boundary import run_cli
from fieldlens.train.cli import main
from fieldlens.train.config import Config
from fieldlens.train.errors import RunError
from fieldlens.train.fitting import plots
from fieldlens.train.fitting.fit import fit_parts
from fieldlens.train.learning_curve import curve as module
from fieldlens.train.learning_curve.curve import CurveOptions, curve
from fieldlens.train.learning_curve.summary import CurveReport
from tests.train.conftest import make_config, make_table_data
from tests.train.small_network import take_small_networks

OPTIONS = CurveOptions((30, 50, 70), 3, more=20)
CONFIG = make_config(train={"epochs": 1, "batch_size": 16}, data={"test_fraction": 0.1})


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """And without a plot of each fit's two epochs, which takes longer than the fit."""
    take_small_networks(monkeypatch)
    monkeypatch.setattr(plots, "curves", lambda *_: b"")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_table_data(tmp_path_factory.mktemp("curve") / "data", subjects=40)


def fitted(monkeypatch: pytest.MonkeyPatch, stop_at: int = 0) -> list[str]:
    """The run folders that are trained into, from now on; the ``stop_at``-th fit is killed in its middle."""
    names: list[str] = []
    real = fit_parts

    def watched(config: Config, data: Any, parts: Any, run: Path, weights: str, **rest: Any) -> Any:
        names.append(run.name)
        found = real(config, data, parts, run, weights, **rest)
        if len(names) == stop_at:
            raise KeyboardInterrupt
        return found

    monkeypatch.setattr(module, "fit_parts", watched)
    return names


def made(data: Path, out: Path, options: CurveOptions = OPTIONS, config: Config = CONFIG) -> CurveReport:
    return curve(config, data, out, options)


def test_a_curve_and_all_that_is_asked_of_its_folder(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "curve"
    names = fitted(monkeypatch, stop_at=4)
    with pytest.raises(KeyboardInterrupt):
        made(data, out)
    assert len(list((out / "draws").iterdir())) == 3
    killed = names[-1]
    names = fitted(monkeypatch)
    found = made(data, out)
    assert names[0] == killed, "the one that was killed goes on"
    assert len(names) == 6, "the three that were judged are not done again"
    assert not (out / "fitting").exists()

    value = json.loads((out / "curve.json").read_text())
    assert value == found.value
    assert [row["size"] for row in value["sizes"]] == [30, 50, 70]
    assert value["judged_by"]["part"] == "kept apart"
    assert value["judged_by"]["test_looks"] == 0
    for row in value["sizes"]:
        assert row["auc"]["mean"] == pytest.approx(sum(row["auc"]["draws"]) / 3)
        assert row["accuracy"]["interval"][0] <= row["accuracy"]["mean"] <= row["accuracy"]["interval"][1]
        assert all(abs(images - row["size"]) <= 2 for images in row["images"])
    lines = str(found).splitlines()
    assert lines[0] == "tiny: 3 draws a size, judged by 24 images (kept apart)"
    assert sum(line.startswith("20 more images, ") for line in lines) == 2
    figure = cv2.imread(str(out / "curve.png"))
    assert figure is not None
    assert figure.shape[0] > 400
    assert figure.shape[1] > 1000

    names = fitted(monkeypatch)
    again = made(data, out)
    assert names == [], "a finished curve trains nothing"
    assert again.value == found.value
    itself = made(data, out, replace(OPTIONS, against=out))
    assert [gain["auc"]["value"] for gain in itself.value["against"]["gains"]] == [0, 0, 0]
    assert "against curve, 30 images, 3 draws in pairs: AUC +0.000 [+0.000, +0.000]" in str(itself)
    made(data, out, replace(OPTIONS, draws=4, sizes=(50, 70)))
    assert sorted(names) == ["size-000050-draw-04", "size-000070-draw-04"], "draws may be added"

    other = replace(CONFIG, train=replace(CONFIG.train, lr=0.5))
    with pytest.raises(RunError, match=r"other settings \(train\.lr\)"):
        made(data, out, config=other)
    table = data / "labels.csv"
    before = table.read_text()
    table.write_text(before.replace("s7,", "s8,", 1))
    try:
        with pytest.raises(RunError, match=r"other settings \(data"):
            made(data, out)
    finally:
        table.write_text(before)


def test_every_network_is_a_look_at_the_test_part(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """By the command line, whose recipe file says what CONFIG does."""
    recipe, out = tmp_path / "tiny.toml", tmp_path / "curve"
    recipe.write_text(
        '[recipe]\nname = "tiny"\n[data]\nval_fraction = 0.3\ntest_fraction = 0.1\n[preprocess]\nsize = 32\n'
        '[train]\nepochs = 1\nbatch_size = 16\nschedule = "constant"\ndevice = "cpu"\n',
        encoding="utf-8",
    )
    words = ["curve", "--recipe", recipe, "--data", data, "--out", out, "--sizes", "40", "--draws", "2"]
    assert run_cli(lambda: main([str(word) for word in (*words, "--test")])) == 0
    printed = capsys.readouterr().out
    assert "tiny: 2 draws a size, judged by 12 images (test part)" in printed
    assert "has been looked at 2 times" in printed
    assert "cannot say; a law needs 3 sizes" in printed
    value = json.loads((out / "curve.json").read_text())
    assert value["judged_by"] == {"part": "test part", "images": 12, "groups": 4, "test_looks": 2}
    assert run_cli(lambda: main([str(word) for word in words])) == 2
    assert "other settings (the images that judge: --test, --apart)" in capsys.readouterr().err


def test_a_folder_that_is_something_else_is_refused(data: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(RunError, match="is not a learning curve"):
        made(data, tmp_path)
