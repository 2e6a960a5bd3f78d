"""The recipes as shipped, on their own data: minutes each."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from statistics import median
from typing import Any

import pytest
import torch

from fieldlens.convert.cli import main as convert
from fieldlens.train.demo_data.photographs import make_demo_data
from fieldlens.train.evaluation.crossval import crossval
from fieldlens.train.evaluation.evaluate import EvaluationOptions, Report, evaluate
from fieldlens.train.fitting.fit import fit
from fieldlens.train.recipe import load_recipe
from tests.train.ct_heads import EASY, make_heads

ROOT = Path(__file__).resolve().parents[2]
PNEUMONIA = ROOT.parent / "shared/data/pneumoniamnist.npz"
MOST_SECONDS = 12 * 60

pytestmark = pytest.mark.full


@pytest.fixture(autouse=True)
def all_threads() -> None:
    torch.set_num_threads(os.cpu_count() or 1)


def test_demo_reaches_95_percent_and_its_maps_point_at_the_marks(tmp_path: Path) -> None:
    """On held-out subjects; the maps also on 1,100 images of another seed, of which more than 300 are referred: of the
    run, and of its bundle in every precision that this machine can run."""
    make_demo_data(tmp_path / "data")
    fit(load_recipe(ROOT / "recipes/demo.toml"), tmp_path / "data", tmp_path / "run")
    print(evaluate(tmp_path / "run"))
    assert json.loads((tmp_path / "run/evaluation.json").read_text())["test"]["accuracy"] >= 0.95
    make_demo_data(tmp_path / "unseen", 1100, seed=1)
    found = evaluate(tmp_path / "run", tmp_path / "unseen", other_data=True)
    print(found)
    check_maps(found, {"fp32"})
    bundle = tmp_path / "demo.bundle"
    assert convert(["bundle", str(tmp_path / "run"), "--out", str(bundle), "--targets", "cpu"]) == 0
    options = EvaluationOptions(out=tmp_path / "bundle-report")
    found = evaluate(bundle, tmp_path / "unseen", other_data=True, options=options)
    print(found)
    check_maps(found, {"fp32", "int8"})


def check_maps(found: Report, precisions: set[str]) -> None:
    """The drawn maps point, on enough images (docs/heatmaps.md)."""
    pointing = json.loads(found.report.with_suffix(".json").read_text())["pointing"]
    assert precisions <= pointing.keys()
    for maps in (pointing[precision] for precision in precisions):
        assert maps["n"] >= 300
        assert maps["hit"] >= 0.8
        assert maps["inside"] >= 0.5
        assert maps["hit"] > maps["middle"] + 0.1, "better than a person who looks at the image's middle"


@pytest.mark.skipif(not PNEUMONIA.is_file(), reason="../shared/data/pneumoniamnist.npz is not here")
def test_pneumonia_beats_the_published_resnet_with_three_seeds(tmp_path: Path) -> None:
    """docs/results.md has the lines that this prints; nothing is chosen by them."""
    found: list[dict[str, Any]] = []
    for seed in range(3):
        run, began = tmp_path / f"seed-{seed}", time.monotonic()
        fit(load_recipe(ROOT / "recipes/pneumonia.toml", [f"train.seed={seed}"]), PNEUMONIA, run)
        seconds = time.monotonic() - began
        print(evaluate(run))
        found.append(json.loads((run / "evaluation.json").read_text())["test"])
        print(line_of_results(seed, found[-1], seconds))
        assert seconds <= MOST_SECONDS
    assert median(one["auc"] for one in found) >= 0.980
    assert median(one["accuracy"] for one in found) >= 0.935


def line_of_results(seed: int, test: dict[str, Any], seconds: float) -> str:
    """A row of docs/results.md."""
    decision = test["decision"]

    def cell(of: dict[str, Any], name: str) -> str:
        low, high = of[f"{name}_interval"]
        return f"{of[name]:.3f} [{low:.3f}, {high:.3f}]"

    cells = (cell(test, "auc"), cell(test, "accuracy"), cell(decision, "sensitivity"), cell(decision, "specificity"))
    return f"| ours, seed {seed} | {' | '.join(cells)} | {seconds:.0f} s |"


def test_head_ct_cross_validates_200_made_heads_within_15_minutes(tmp_path: Path) -> None:
    """Made heads (``ct_heads.EASY``) are nobody's: this shows that the recipe learns and how long it takes."""
    make_heads(tmp_path / "data", 200, EASY, seed=3)
    began = time.monotonic()
    print(crossval(load_recipe(ROOT / "recipes/head-ct.toml"), tmp_path / "data", tmp_path / "out"))
    seconds = time.monotonic() - began
    pooled = json.loads((tmp_path / "out/crossval.json").read_text())["pooled"]
    print(f"{seconds:.0f} s, pooled {pooled}")
    assert pooled["n"] == 200
    assert pooled["auc"] >= 0.75
    assert seconds <= 900
