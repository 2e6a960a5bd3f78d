"""Out-of-fold scores for a plain ``fit``: networks that only help to choose temperature and threshold.

Training and validation images are dealt to ``decision.inner_folds`` folds, whole groups and every class evenly. A
network of the same recipe is trained for each on the others (a validation part of them chooses its epoch, as in
``crossval``) and scores the fold's. Its weights are thrown away; ``inner/fold-N.json`` keeps the scores, so that a fit
that is stopped goes on where it was.
"""

from __future__ import annotations

import copy
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from fieldlens.runtime.errors import ConfigError
from fieldlens.runtime.files import atomic, records
from fieldlens.runtime.terminal.reporter import SILENT, Reporter
from fieldlens.train.checkpoint import read_checkpoint
from fieldlens.train.config import Config, CrossvalConfig
from fieldlens.train.data.cache import Tensors
from fieldlens.train.data.folds import check_folds, fold_split
from fieldlens.train.data.samples import DataSet, Sample
from fieldlens.train.data.splits import Split
from fieldlens.train.decide.pooled import groups_to_prove, on_scale_of, proves_too_little
from fieldlens.train.epoch.history import History
from fieldlens.train.epoch.loop import predict
from fieldlens.train.errors import RunError
from fieldlens.train.fitting.another import another
from fieldlens.train.fitting.run_data import RunData
from fieldlens.train.metrics import Floats, Ints, multilabel

FOLDER = "inner"
FEWEST = 5
"""Folds that are advised: the networks see four fifths of what the kept one does."""


@dataclass(frozen=True)
class OutOfFold:
    """Logits ``[n,C]`` of all training and validation images by networks that had not seen their groups; ``network``
    ``[n]`` is the number of each."""

    samples: tuple[Sample, ...]
    labels: Ints
    groups: tuple[str, ...]
    logits: Floats
    network: Ints

    @property
    def networks(self) -> int:
        """How many."""
        return len(np.unique(self.network))

    def on_scale_of(self, own: Floats) -> OutOfFold:
        """The same at the scale of the kept network's validation logits ``[m,C]``."""
        return replace(self, logits=on_scale_of(own, self.logits, self.network, multilabel(self.labels)))

    def of(self, samples: Sequence[Sample]) -> Floats:
        """The logits of these ``[n,C]``."""
        row = {sample.id: place for place, sample in enumerate(self.samples)}
        return self.logits[[row[sample.id] for sample in samples]]


@dataclass(frozen=True)
class _Fold:
    """``inner/fold-N.json``."""

    ids: tuple[str, ...]
    logits: tuple[tuple[float, ...], ...]


def inner_splits(config: Config, data: DataSet, parts: Split, world: int = 1) -> list[Split]:
    """The split of each inner fold (``test``: what it scores); empty where none is wanted, or none needed.

    To be asked before the first epoch. Raises DataError for classes too small for so many folds, ConfigError for
    several processes.
    """
    count, val = config.decision.inner_folds, _of(data, parts, ("val",))
    if not count or not proves_too_little(*_labels_and_groups(val), data.classes, config.decision):
        return []
    if world > 1:
        raise ConfigError("decision.inner_folds is for one process", "fit without torchrun; such sets are small")
    pool = copy.copy(data)
    pool.samples = tuple(replace(sample, split=None) for sample in _of(data, parts, ("train", "val")))
    crossval = CrossvalConfig(folds=count, seed=config.crossval.seed)
    splits = [fold_split(pool, replace(config, crossval=replace(crossval, fold=k + 1))) for k in range(count)]
    check_folds(pool, splits, "decision.inner_folds")
    return splits


def _of(data: DataSet, parts: Split, names: Sequence[str]) -> list[Sample]:
    return [sample for sample in data.samples if parts[sample.id] in names]


def _labels_and_groups(samples: Sequence[Sample]) -> tuple[Ints, list[str]]:
    labels = np.array([sample.label for sample in samples], np.int64)
    return labels, [sample.id if sample.group is None else f"={sample.group}" for sample in samples]


def advice(config: Config, data: DataSet, parts: Split, history: History) -> str | None:
    """What inner folds would bring and cost, where validation proves too little and none are wanted."""
    val, pool = (_labels_and_groups(_of(data, parts, names)) for names in (("val",), ("train", "val")))
    if config.decision.inner_folds or not proves_too_little(*val, data.classes, config.decision):
        return None
    before, after = (groups_to_prove(*each, data.classes, config.decision) for each in (val, pool))
    minutes = FEWEST * sum(row.seconds for row in history.rows) / 60
    return (
        f"--set decision.inner_folds={FEWEST} would choose temperature and threshold by {after} instead of {before}, "
        f"as scored by {FEWEST} more networks: about {max(minutes, 0.1):.1f} minutes more here"
    )


def out_of_fold(
    config: Config, material: RunData, splits: Sequence[Split], run: Path, weights: str, reporter: Reporter = SILENT
) -> OutOfFold:
    """Train what is left of the inner networks, and put their scores together."""
    whole = material.everything()
    logits: Floats = np.zeros((len(whole), len(material.data.classes)))
    network = np.zeros(len(whole), np.int64)
    for number, parts in enumerate(splits, 1):
        chosen = {part: _part(whole, parts, part) for part in ("train", "val", "test")}
        ids = tuple(whole.samples[index].id for index in chosen["test"])
        found = _stored(run / FOLDER / f"fold-{number}.json", ids)
        if found is None:
            reporter.say(f"inner fold {number} of {len(splits)}: {len(ids)} images to score")
            fold = RunData(material.data, parts, _subset(whole, chosen["train"]), _subset(whole, chosen["val"]))
            place = run / FOLDER / f"fold-{number}"
            found = _scores(config, fold, whole.images[chosen["test"]], place, weights)
            value = asdict(_Fold(ids, tuple(map(tuple, found.tolist()))))
            atomic.write_json(run / FOLDER / f"fold-{number}.json", value)
            shutil.rmtree(place)
        logits[chosen["test"]], network[chosen["test"]] = found, number
    return OutOfFold(whole.samples, whole.labels, whole.groups, logits, network)


def _part(whole: Tensors, parts: Split, name: str) -> list[int]:
    return [index for index, sample in enumerate(whole.samples) if parts[sample.id] == name]


def _subset(whole: Tensors, chosen: Sequence[int]) -> Tensors:
    index = np.asarray(chosen, np.int64)
    return Tensors(tuple(whole.samples[i] for i in chosen), whole.images[index], whole.labels[index])


def _scores(config: Config, fold: RunData, images: np.ndarray, place: Path, weights: str) -> Floats:
    """Train one network in the folder ``place``, or go on with it, and score uint8 ``[n,S,S,3]``: ``[n,C]``."""
    fitting = another(config, fold, place, weights)
    fitting.train()
    fitting.model.load_state_dict(read_checkpoint(place / "best.pt")["model"])
    return np.asarray(predict(fitting.model, images), np.float64)


def _stored(path: Path, ids: tuple[str, ...]) -> Floats | None:
    """What the fold's network has scored already; None if it has not, or for other images."""
    try:
        value = records.read_file(_Fold, path, RunError, "nothing to do: they are scored again")
    except RunError:
        return None
    return np.array(value.logits, np.float64) if value.ids == ids else None
