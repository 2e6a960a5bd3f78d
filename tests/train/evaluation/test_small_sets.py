"""``crossval`` on 200 images: sensitivity at the operating point by the rule of before and by ours, out of fold."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from fieldlens.runtime.bundle.decision import calibrated
from fieldlens.train.checkpoint import load_run
from fieldlens.train.config import Config
from fieldlens.train.data.cache import load_tensors
from fieldlens.train.data.load import load_data
from fieldlens.train.epoch.loop import predict
from fieldlens.train.evaluation.crossval import ANSWERS, crossval
from fieldlens.train.evaluation.pooled_point import validation_of
from fieldlens.train.metrics import wilson
from fieldlens.train.recipe import load_recipe
from tests.train.conftest import make_config
from tests.train.ct_heads import EASY, make_heads
from tests.train.decide.test_promise_kept import PNEUMONIA, rule_of_before
from tests.train.small_network import take_small_networks

ROOT = Path(__file__).resolve().parents[3]
SMALL = (
    "preprocess.size=64", "train.stages.0.epochs=20", "train.stages.1.epochs=8", "train.stages.0.lr=0.004",
    "train.stages.1.lr=0.004", "train.precision=fp32",
)  # fmt: skip


@pytest.fixture(autouse=True)
def small_network(monkeypatch: pytest.MonkeyPatch) -> None:
    take_small_networks(monkeypatch)


def before(config: Config, data_path: Path, out: Path) -> tuple[int, int, int, int]:
    """By each fold's own validation part and the rule of before: hits, positives, passes, negatives out of fold."""
    data = load_data(data_path, config.data, None)
    label, counts = {sample.id: sample.label for sample in data.samples}, np.zeros(4, int)
    place = data.classes.index(config.decision.positive[0])
    for fold in sorted(out.glob("fold-*")):
        run, answers = load_run(fold), json.loads((fold / ANSWERS).read_text())
        samples = validation_of(fold, data)
        own = predict(run.model, load_tensors(data, samples, run.preprocess, "validation").images)
        truth = np.array([sample.label == place for sample in samples])
        threshold = rule_of_before(_scores(own, place), truth)
        referred = _scores(np.array(answers["logits"]), place) >= threshold
        sick = np.array([label[name] == place for name in answers["ids"]])
        counts += [(referred & sick).sum(), sick.sum(), (~referred & ~sick).sum(), (~sick).sum()]
    hits, positives, passes, negatives = map(int, counts)
    return hits, positives, passes, negatives


def _scores(logits: npt.NDArray[Any], place: int) -> npt.NDArray[Any]:
    return calibrated(logits, 1.0, "multiclass")[:, place]


def compared(name: str, config: Config, data: Path, out: Path) -> tuple[float, float]:
    """Print the rows of docs/evaluation.md; sensitivity before and now."""
    report = crossval(config, data, out)
    pooled = json.loads((out / "crossval.json").read_text())["pooled"]
    hits, positives, passes, negatives = before(config, data, out)
    low, high = wilson(hits, positives)
    area = f"AUC {pooled['auc']:.3f}"
    print(f"\n{name}, {area}, before: {hits / positives:.3f} [{low:.3f}, {high:.3f}]; {passes / negatives:.3f}")
    low, high = pooled["sensitivity_interval"]
    print(f"{name}, {area}, now: {pooled['sensitivity']:.3f} [{low:.3f}, {high:.3f}]; {pooled['specificity']:.3f}")
    decision = report.figures.decision
    assert decision is not None
    print(decision["target"], decision["promise"], decision["outcomes"], pooled.get("carried_over"), sep="\n")
    return hits / positives, pooled["sensitivity"]


@pytest.mark.full
def test_two_hundred_made_heads(tmp_path: Path) -> None:
    config = load_recipe(ROOT / "recipes/head-ct.toml", SMALL)
    then, now = compared("made heads", config, make_heads(tmp_path / "heads", setting=EASY), tmp_path / "cv")
    assert now >= 0.9
    assert now >= then


@pytest.mark.full
@pytest.mark.skipif(not PNEUMONIA.is_file(), reason="../shared/data/pneumoniamnist.npz is not here")
def test_two_hundred_of_pneumoniamnist(tmp_path: Path) -> None:
    whole, random = np.load(PNEUMONIA), np.random.default_rng(0)
    chosen = random.choice(len(whole["train_images"]), 200, replace=False)
    labels = whole["train_labels"][chosen]
    # As one part, without a split of its own: crossval deals the folds.
    np.savez(tmp_path / "drawn.npz", train_images=whole["train_images"][chosen], train_labels=labels)
    config = make_config(
        data={"val_fraction": 0.2}, preprocess={"size": 32}, decision={"positive": ["1"]}, crossval={"folds": 5},
        train={"epochs": 15, "lr": 0.004, "batch_size": 16, "schedule": "one-cycle", "metric": "val_auc"},
        augment={"rotate_degrees": 8, "zoom": 0.1, "shift": 0.08, "flip_horizontal": False},
    )  # fmt: skip
    then, now = compared("PneumoniaMNIST", config, tmp_path / "drawn.npz", tmp_path / "cv")
    assert now >= 0.9
    assert now >= then
