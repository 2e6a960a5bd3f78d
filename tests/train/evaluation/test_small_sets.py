"""``crossval`` on 200 images: sensitivity at the operating point by the rule of before and by ours, out of fold.

With the small network, in minutes; test_full_recipes.py has made heads with the recipe as shipped.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fieldlens.train.recipe import load_recipe
from tests.train.conftest import make_config
from tests.train.ct_heads import EASY, make_heads
from tests.train.decide.test_promise_kept import PNEUMONIA
from tests.train.evaluation.before_and_now import Found, both
from tests.train.small_network import take_small_networks

ROOT = Path(__file__).resolve().parents[3]
SMALL = (
    "preprocess.size=64", "train.stages.0.epochs=20", "train.stages.1.epochs=8", "train.stages.0.lr=0.004",
    "train.stages.1.lr=0.004", "train.precision=fp32",
)  # fmt: skip
DRAWS = 10
"""Of PneumoniaMNIST: in one, two or three of the sick decide which rule looks better."""


@pytest.fixture(autouse=True)
def small_network(monkeypatch: pytest.MonkeyPatch) -> None:
    take_small_networks(monkeypatch)


@pytest.mark.full
def test_two_hundred_made_heads(tmp_path: Path) -> None:
    config = load_recipe(ROOT / "recipes/head-ct.toml", SMALL)
    then, now = both("made heads", config, make_heads(tmp_path / "heads", setting=EASY), tmp_path / "cv")
    assert now.sensitivity >= 0.95
    assert now.sensitivity > then.sensitivity


@pytest.mark.full
@pytest.mark.skipif(not PNEUMONIA.is_file(), reason="../shared/data/pneumoniamnist.npz is not here")
def test_two_hundred_of_pneumoniamnist(tmp_path: Path) -> None:
    """Ten draws of 200 of its training images; the promise is 0.95 in nine of ten, so their mean has to keep it."""
    config = make_config(
        data={"val_fraction": 0.2}, preprocess={"size": 32}, decision={"positive": ["1"]}, crossval={"folds": 5},
        train={"epochs": 15, "lr": 0.004, "batch_size": 16, "schedule": "one-cycle", "metric": "val_auc"},
        augment={"rotate_degrees": 8, "zoom": 0.1, "shift": 0.08, "flip_horizontal": False},
    )  # fmt: skip
    whole = np.load(PNEUMONIA)
    then = now = Found(0, 0, 0, 0)
    for draw in range(DRAWS):
        chosen = np.random.default_rng(draw).choice(len(whole["train_images"]), 200, replace=False)
        # As one part, without a split of its own: crossval deals the folds.
        drawn = {f"train_{name}": whole[f"train_{name}"][chosen] for name in ("images", "labels")}
        np.savez(tmp_path / f"{draw}.npz", **drawn)
        found = both(f"PneumoniaMNIST, draw {draw}", config, tmp_path / f"{draw}.npz", tmp_path / f"cv-{draw}")
        then, now = then + found[0], now + found[1]
    print(then.row(f"{DRAWS} draws, before"), now.row(f"{DRAWS} draws, now"), sep="\n")
    assert now.sensitivity >= 0.95
    assert now.sensitivity > then.sensitivity
