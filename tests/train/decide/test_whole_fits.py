"""Twenty whole fits with a known truth: what choosing the epoch costs on top, and how pooled thresholds carry over.

A simulation of scores cannot show either. Here the data is made (as much of it as is wanted), a network of four layers
takes the ResNet's place in the trainer, and each fit is judged on thousands of new images. Its threshold is compared
with those that the same rule chooses on new validation sets of the same size, which had no say in the epoch.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from fieldlens.runtime.bundle.decision import Decision, calibrated
from fieldlens.train.checkpoint import load_run
from fieldlens.train.config import Config
from fieldlens.train.data.cache import load_tensors
from fieldlens.train.data.load import load_data
from fieldlens.train.decide.operating_point import choose_decision
from fieldlens.train.decide.thresholds import parse_target
from fieldlens.train.epoch.loop import predict
from fieldlens.train.fitting.fit import fit
from fieldlens.train.metrics import auc
from tests.train.conftest import make_config
from tests.train.small_network import take_small_networks

FITS, CLASSES = 20, ("0", "1")
NEW, RESAMPLED = 3000, 200
"""Images that judge each fit, and validation sets drawn anew to choose a threshold by."""


@pytest.fixture(autouse=True)
def small_network(monkeypatch: pytest.MonkeyPatch) -> None:
    take_small_networks(monkeypatch)


Images = npt.NDArray[np.uint8]
Ints = npt.NDArray[np.int64]


def pictures(labels: Ints, random: np.random.Generator) -> Images:
    """Grey ``[n,28,28]``: clouds and noise; in the sick a spot of random place, size and brightness: faint ones too."""
    clouds = random.normal(0, 22, (len(labels), 7, 7)).astype(np.float32)
    y, x = np.mgrid[0:28, 0:28].astype(np.float32)
    found = np.empty((len(labels), 28, 28), np.uint8)
    for index, label in enumerate(labels):
        place, radius = random.uniform(7, 21, 2), random.uniform(2.5, 4)
        bright = 110 * random.lognormal(0, 0.4) * label
        spot = bright * np.exp(-((x - place[0]) ** 2 + (y - place[1]) ** 2) / (2 * radius**2))
        cloud = cv2.resize(clouds[index], (28, 28), interpolation=cv2.INTER_CUBIC)
        found[index] = np.clip(110 + cloud + spot + random.normal(0, 14, (28, 28)), 0, 255)
    return found


@dataclass(frozen=True)
class Judged:
    """Of one fit. True sensitivity and specificity at its threshold; mean true sensitivity of thresholds from new
    validation sets, and how often those keep what they promise; what the fit itself promised, and its AUC."""

    sensitivity: float
    specificity: float
    promised: float
    new_sensitivity: float
    new_kept: float
    auc: float

    @property
    def kept(self) -> bool:
        return self.sensitivity >= self.promised


def one_fit(root: Path, seed: int, train: int, val: int, config: Config) -> Judged:
    random = np.random.default_rng([seed, train])
    arrays: dict[str, npt.NDArray[np.uint8]] = {}
    for part, count in {"train": train, "val": val, "test": NEW}.items():
        labels = np.arange(count) % 2
        arrays |= {f"{part}_images": pictures(labels, random), f"{part}_labels": labels[:, None].astype(np.uint8)}
    np.savez(root / "made.npz", **arrays)  # type: ignore[arg-type]
    config = replace(config, train=replace(config.train, seed=seed))
    fit(config, root / "made.npz", root / "run")
    run = load_run(root / "run")
    data = load_data(root / "made.npz", config.data, None)
    new = load_tensors(data, [each for each in data.samples if each.split == "test"], run.preprocess, "new images")
    point = run.operating_point
    assert point.decision is not None
    probabilities = calibrated(predict(run.model, new.images), point.temperature, "multiclass")
    scores, truth = point.decision.score(probabilities, CLASSES), new.labels == 1

    def sensitivity(decision: Decision) -> float:
        return float(np.mean(scores[truth] >= decision.threshold))

    others = [resampled(probabilities, new.labels, val, config, random) for _ in range(RESAMPLED)]
    true = [sensitivity(each) for each in others]
    return Judged(
        sensitivity(point.decision), float(np.mean(scores[~truth] < point.decision.threshold)),
        parse_target(point.decision.target).least, float(np.mean(true)),
        float(np.mean([each >= parse_target(o.target).least for each, o in zip(true, others, strict=True)])),
        float(auc(probabilities, new.labels)),
    )  # fmt: skip


def resampled(
    probabilities: npt.NDArray[np.floating], labels: Ints, val: int, config: Config, random: np.random.Generator
) -> Decision:
    """The decision by another validation set of the same size, which did not choose the epoch."""
    chosen = np.concatenate([random.choice(np.flatnonzero(labels == side), val // 2, replace=False) for side in (0, 1)])
    names = [str(place) for place in chosen]
    found = choose_decision(probabilities[chosen], labels[chosen], CLASSES, names, config.decision)
    assert found is not None
    return found


def report(name: str, fits: list[Judged]) -> tuple[float, float]:
    """Print the rows of docs/evaluation.md; the share that kept its promise, and the mean cost in sensitivity."""
    cost = np.array([each.new_sensitivity - each.sensitivity for each in fits])
    kept = float(np.mean([each.kept for each in fits]))
    means = {field.name: float(np.mean([getattr(each, field.name) for each in fits])) for field in fields(Judged)}
    error = 1.96 * cost.std(ddof=1) / np.sqrt(len(cost))
    print(
        f"{name}: {len(fits)} fits, {means}; kept in {kept:.0%}; least true sensitivity "
        f"{min(each.sensitivity for each in fits):.3f}; cost {cost.mean():+.4f} ± {error:.4f}; median specificity "
        f"{np.median([each.specificity for each in fits]):.3f}"
    )
    return kept, float(cost.mean())


def recipe(**decision: object) -> Config:
    return make_config(
        data={"val_fraction": 0.2},
        train={"epochs": 15, "lr": 0.004, "batch_size": 16, "schedule": "one-cycle", "metric": "val_auc"},
        augment={"rotate_degrees": 0, "flip_horizontal": True, "flip_vertical": True},
        decision={"positive": ["1"], **decision},
    )


@pytest.mark.full
def test_choosing_the_epoch_on_the_same_images_costs_little(tmp_path: Path) -> None:
    fits = []
    for seed in range(FITS):
        place = tmp_path / f"{seed}"
        place.mkdir()
        fits.append(one_fit(place, seed, 240, 120, recipe()))
        print(fits[-1])
    kept, cost = report("60 positives in validation", fits)
    assert kept >= 0.75  # 0.9 promised; of twenty, fewer than 15 would come by chance once in 90
    assert cost <= 0.02


@pytest.mark.full
def test_a_pooled_threshold_carries_over_to_the_network_that_is_kept(tmp_path: Path) -> None:
    fits = []
    for seed in range(FITS):
        place = tmp_path / f"{seed}"
        place.mkdir()
        fits.append(one_fit(place, seed, 120, 30, recipe(inner_folds=5)))
        print(fits[-1])
    kept, _ = report("15 positives in validation, 75 pooled by five inner folds", fits)
    assert kept >= 0.75
