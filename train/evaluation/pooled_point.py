"""Operating points of a cross-validation: from the out-of-fold scores, where a validation part proves too little.

A fold of 200 images has a dozen positives in its validation part, and all folds together have a hundred that no network
had trained on. A fold's threshold then comes from the images of the *other* folds, so that its own are still judged by
something that has not seen them (as in cross-conformal prediction: Vovk, Annals of Mathematics and Artificial
Intelligence 2015); the final network's from all of them. Logits are pooled as they are: the folds' networks have the
same recipe. How well a threshold carries over to another network is therefore measured, and reported.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from fieldlens.runtime.bundle.decision import calibrated
from fieldlens.runtime.bundle.promise import groups_needed
from fieldlens.runtime.files import atomic
from fieldlens.train.checkpoint import TrainingRun, read_split
from fieldlens.train.config import DecisionConfig
from fieldlens.train.data.cache import load_tensors
from fieldlens.train.data.samples import DataSet, Sample
from fieldlens.train.decide.operating_point import OperatingPoint, fit_operating_point, rates, truly_positive
from fieldlens.train.decide.thresholds import parse_target
from fieldlens.train.epoch.loop import predict
from fieldlens.train.metrics import multilabel
from fieldlens.train.scoring.out_of_fold import Fold
from fieldlens.train.scoring.scored_predictions import labels_of


def proves_too_little(samples: Sequence[Sample], classes: Sequence[str], config: DecisionConfig) -> bool:
    """Have these validation images fewer groups than the target needs (of several labels: for any of them)?"""
    if not config.positive:
        return False
    labels, target = labels_of(samples), parse_target(config.target)
    several = multilabel(labels)
    findings = [(name,) for name in config.positive] if several else [config.positive]
    needed = groups_needed(target.least, 1 - (1 - config.confidence) / len(findings))
    groups = np.array(_groups(samples))
    sides = [truly_positive(labels, names, classes) == (target.measure == "sensitivity") for names in findings]
    return min(len(set(groups[side])) for side in sides) < needed


def _groups(samples: Sequence[Sample]) -> list[str]:
    return [sample.id if sample.group is None else f"={sample.group}" for sample in samples]


def with_pooled_points(
    folds: Sequence[Fold], runs: Sequence[Path], data: DataSet, config: DecisionConfig
) -> list[Fold]:
    """The folds, each with the operating point of the others' images where its own validation proves too little. It is
    written into the fold's run."""
    found = []
    for fold, run in zip(folds, runs, strict=True):
        if not proves_too_little(validation_of(run, data), data.classes, config):
            found.append(fold)
            continue
        point, value = pooled_point([other for other in folds if other is not fold], data.classes, config)
        atomic.write_json(run / "operating-point.json", value)
        found.append(replace(fold, point=point))
    return found


def validation_of(run: Path, data: DataSet) -> list[Sample]:
    """The run's validation images."""
    parts = read_split(run)
    return [sample for sample in data.samples if parts.get(sample.id) == "val"]


def pooled_point(
    folds: Sequence[Fold], classes: Sequence[str], config: DecisionConfig
) -> tuple[OperatingPoint, dict[str, Any]]:
    """The operating point of these folds' images, and the object for ``operating-point.json``."""
    samples = [sample for fold in folds for sample in fold.samples]
    logits = np.concatenate([fold.answers.logits for fold in folds])
    point, value = fit_operating_point(logits, labels_of(samples), classes, _groups(samples), config)
    value["fitted_on"] = {**value["fitted_on"], "split": "out-of-fold", "networks": len(folds)}
    return point, value


def finish(final: TrainingRun, data: DataSet, folds: Sequence[Fold], config: DecisionConfig) -> dict[str, Any] | None:
    """Give the final run the pooled operating point, and measure how it carries over: what its network reaches there
    on its own validation images, which it was not trained on. None where its own validation proves enough."""
    if not proves_too_little(validation_of(final.path, data), final.class_ids, config):
        return None
    point, value = pooled_point(folds, final.class_ids, config)
    value["carried_over"] = _reached(final, data, point)
    atomic.write_json(final.path / "operating-point.json", value)
    found: dict[str, Any] = value["carried_over"]
    return found


def _reached(final: TrainingRun, data: DataSet, point: OperatingPoint) -> dict[str, Any]:
    samples = validation_of(final.path, data)
    tensors = load_tensors(data, samples, final.preprocess, "decoding the final run's validation part")
    labels = labels_of(samples)
    decision = point.decision
    assert decision is not None
    probabilities = calibrated(predict(final.model, tensors.images), point.temperature, final.task)
    scores = decision.score(probabilities, final.class_ids)
    return rates(scores, truly_positive(labels, decision.positive, final.class_ids), decision.threshold)


def said(carried: dict[str, Any], own: Path) -> str:
    """One line for people."""
    found = carried
    cells = [
        f"{measure} {found[measure]:.3f} ({found[f'{measure}_interval'][0]:.3f}–{found[f'{measure}_interval'][1]:.3f})"
        for measure in ("sensitivity", "specificity")
        if found[measure] is not None
    ]
    return (
        f"{own.name}: temperature and threshold are those of all out-of-fold scores; its own network reaches "
        f"{', '.join(cells)} there on its {found['n']} validation images"
    )
