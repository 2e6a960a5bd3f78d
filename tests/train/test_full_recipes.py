"""The recipes as shipped, on their own data: minutes each."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest
import torch

from train.demo_data import make_demo_data
from train.evaluate import evaluate
from train.fit import fit
from train.recipe import load_recipe

ROOT = Path(__file__).resolve().parents[2]
PNEUMONIA = ROOT.parent / "shared/data/pneumoniamnist.npz"

pytestmark = pytest.mark.full


@pytest.fixture(autouse=True)
def all_threads() -> None:
    torch.set_num_threads(os.cpu_count() or 1)


def test_demo_reaches_95_percent_on_held_out_subjects(tmp_path: Path) -> None:
    make_demo_data(tmp_path / "data")
    fit(load_recipe(ROOT / "recipes/demo.toml"), tmp_path / "data", tmp_path / "run")
    print(evaluate(tmp_path / "run"))
    assert json.loads((tmp_path / "run/evaluation.json").read_text())["test"]["accuracy"] >= 0.95


@pytest.mark.skipif(not PNEUMONIA.is_file(), reason="../shared/data/pneumoniamnist.npz is not here")
def test_pneumonia_beats_the_published_resnet(tmp_path: Path) -> None:
    began = time.monotonic()
    fit(load_recipe(ROOT / "recipes/pneumonia.toml"), PNEUMONIA, tmp_path / "run")
    seconds = time.monotonic() - began
    print(evaluate(tmp_path / "run"))
    found = json.loads((tmp_path / "run/evaluation.json").read_text())["test"]
    assert found["auc"] >= 0.975
    assert found["accuracy"] >= 0.93
    assert seconds <= 600
