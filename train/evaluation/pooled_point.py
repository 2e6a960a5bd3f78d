"""Operating points of a cross-validation: from the out-of-fold scores, where a validation part proves too little.

A fold of 200 images has a dozen positives in its validation part, and all folds together have a hundred that no network
had trained on. A fold's threshold then comes from the images of the *other* folds, so that its own are still judged by
something that has not seen them (as in cross-conformal prediction: Vovk, Annals of Mathematics and Artificial
Intelligence 2015); the final network's from all of them. Logits are pooled as they are: the folds' networks have the
same recipe. How well a threshold carries over to another network shows in the folds' own figures, because each is
judged at a threshold that others have chosen; for the final network it is measured on its validation images.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from fieldlens.runtime.files import atomic
from fieldlens.train.checkpoint import TrainingRun, read_split
from fieldlens.train.config import DecisionConfig
from fieldlens.train.data.cache import load_tensors
from fieldlens.train.data.samples import DataSet, Sample
from fieldlens.train.decide.operating_point import OperatingPoint
from fieldlens.train.decide.pooled import carried_over, pooled_point, proves_too_little, with_carried
from fieldlens.train.epoch.loop import predict
from fieldlens.train.scoring.out_of_fold import Fold
from fieldlens.train.scoring.scored_predictions import labels_of


def _too_few(samples: Sequence[Sample], classes: Sequence[str], config: DecisionConfig) -> bool:
    return proves_too_little(labels_of(samples), _groups(samples), classes, config)


def _groups(samples: Sequence[Sample]) -> list[str]:
    return [sample.id if sample.group is None else f"={sample.group}" for sample in samples]


def with_pooled_points(
    folds: Sequence[Fold], runs: Sequence[Path], data: DataSet, config: DecisionConfig
) -> list[Fold]:
    """The folds, each with the operating point of the others' images where its own validation proves too little. It is
    written into the fold's run."""
    found = []
    for fold, run in zip(folds, runs, strict=True):
        if not _too_few(validation_of(run, data), data.classes, config):
            found.append(fold)
            continue
        point, value = _point_of([other for other in folds if other is not fold], data.classes, config)
        atomic.write_json(run / "operating-point.json", value)
        found.append(replace(fold, point=point))
    return found


def validation_of(run: Path, data: DataSet) -> list[Sample]:
    """The run's validation images."""
    parts = read_split(run)
    return [sample for sample in data.samples if parts.get(sample.id) == "val"]


def _point_of(
    folds: Sequence[Fold], classes: Sequence[str], config: DecisionConfig
) -> tuple[OperatingPoint, dict[str, Any]]:
    samples = [sample for fold in folds for sample in fold.samples]
    logits = np.concatenate([fold.answers.logits for fold in folds])
    return pooled_point(logits, labels_of(samples), classes, _groups(samples), config, len(folds))


def finish(final: TrainingRun, data: DataSet, folds: Sequence[Fold], config: DecisionConfig) -> dict[str, Any] | None:
    """Give the final run the pooled operating point, and measure how it carries over: what its network reaches there
    on its own validation images, which it was not trained on. None where its own validation proves enough."""
    samples = validation_of(final.path, data)
    if not _too_few(samples, final.class_ids, config):
        return None
    point, value = _point_of(folds, final.class_ids, config)
    tensors = load_tensors(data, samples, final.preprocess, "decoding the final run's validation part")
    answered = {
        sample.id: row for fold in folds for sample, row in zip(fold.samples, fold.answers.logits, strict=True)
    }  # fmt: skip
    others = np.stack([answered[sample.id] for sample in samples])
    found = carried_over(predict(final.model, tensors.images), others, labels_of(samples), final.class_ids, point)
    atomic.write_json(final.path / "operating-point.json", with_carried(value, found))
    return found
