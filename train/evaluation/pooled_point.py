"""Operating points of a cross-validation: from the out-of-fold scores, where a validation part proves too little.

A fold of 200 images has a dozen positives in its validation part, and all folds together have a hundred that no network
had trained on. A fold's threshold then comes from the images of the *other* folds, so that its own are still judged by
something that has not seen them (as in cross-conformal prediction: Vovk, Annals of Mathematics and Artificial
Intelligence 2015); the final network's from all of them, each at the scale of the network that is to use it. How well a
threshold carries over shows in the folds' own figures, because each is judged at a threshold that others have chosen;
for the final network it is measured on its validation images.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from fieldlens.runtime.files import atomic
from fieldlens.train.checkpoint import TrainingRun, load_run, read_split
from fieldlens.train.config import DecisionConfig
from fieldlens.train.data.cache import load_tensors
from fieldlens.train.data.samples import DataSet, Sample
from fieldlens.train.decide.operating_point import OperatingPoint
from fieldlens.train.decide.pooled import carried_over, on_scale_of, pooled_point, proves_too_little, with_carried
from fieldlens.train.epoch.loop import predict
from fieldlens.train.fitting.refit import stored_first
from fieldlens.train.metrics import Floats, multilabel
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
        validation = validation_of(run, data)
        if not _too_few(validation, data.classes, config):
            found.append(fold)
            continue
        pool = _Pool.of([other for other in folds if other is not fold], _own(load_run(run), validation, data))
        point, value = pool.point(data.classes, config)
        atomic.write_json(run / "operating-point.json", value)
        found.append(replace(fold, point=point))
    return found


def validation_of(run: Path, data: DataSet) -> list[Sample]:
    """The run's validation images."""
    parts = read_split(run)
    return [sample for sample in data.samples if parts.get(sample.id) == "val"]


def _own(run: TrainingRun, samples: Sequence[Sample], data: DataSet) -> Floats:
    """What the run's network says of its validation images, which it was not trained on: logits ``[m,C]``. With
    ``train.refit`` that is the one that was fitted first."""
    if first := stored_first(run.path):
        by_id = dict(zip(first.ids, first.logits, strict=True))
        return np.array([by_id[sample.id] for sample in samples], np.float64)
    tensors = load_tensors(data, samples, run.preprocess, f"decoding {run.path.name}'s validation part")
    return predict(run.model, tensors.images)


@dataclass(frozen=True)
class _Pool:
    """Out-of-fold logits ``[n,C]`` at the scale of the network that they choose for."""

    samples: tuple[Sample, ...]
    logits: Floats
    networks: int

    @classmethod
    def of(cls, folds: Sequence[Fold], own: Floats) -> _Pool:
        """``own``: that network's validation logits ``[m,C]``."""
        samples = tuple(sample for fold in folds for sample in fold.samples)
        logits = np.concatenate([fold.answers.logits for fold in folds])
        network = np.repeat(np.arange(len(folds)), [len(fold.samples) for fold in folds])
        return cls(samples, on_scale_of(own, logits, network, multilabel(labels_of(samples))), len(folds))

    def point(self, classes: Sequence[str], config: DecisionConfig) -> tuple[OperatingPoint, dict[str, Any]]:
        """The operating point of all of them."""
        groups = _groups(self.samples)
        return pooled_point(self.logits, labels_of(self.samples), classes, groups, config, self.networks)

    def of_images(self, samples: Sequence[Sample]) -> Floats:
        """The logits of these."""
        row = {sample.id: place for place, sample in enumerate(self.samples)}
        return self.logits[[row[sample.id] for sample in samples]]


def finish(final: TrainingRun, data: DataSet, folds: Sequence[Fold], config: DecisionConfig) -> dict[str, Any] | None:
    """Give the final run the pooled operating point, and measure how it carries over: what its network reaches there
    on its own validation images, which it was not trained on. None where its own validation proves enough; empty with
    ``train.refit``, whose network has no such images."""
    samples = validation_of(final.path, data)
    if not _too_few(samples, final.class_ids, config):
        return None
    own = _own(final, samples, data)
    pool = _Pool.of(folds, own)
    point, value = pool.point(final.class_ids, config)
    if final.config.train.refit:
        atomic.write_json(final.path / "operating-point.json", value)
        return {}
    found = carried_over(own, pool.of_images(samples), labels_of(samples), final.class_ids, point)
    atomic.write_json(final.path / "operating-point.json", with_carried(value, found))
    return found
