"""Cross-validation's split: whole groups over k folds, and within the other folds a validation part.

By the same few lines as the ordinary split, so that a converter finds the same folds years and versions later.
"""

from __future__ import annotations

from collections.abc import Sequence

from fieldlens.train.config import Config, CrossvalConfig
from fieldlens.train.data.samples import PARTS, DataSet, Sample, class_counts
from fieldlens.train.data.splits import Split, assign, split
from fieldlens.train.errors import DataError, listing

HELD_OUT = "held-out"
"""The part of a data set's own test images: no fold trains on them, and none is judged on them."""


def split_of(data: DataSet, config: Config) -> Split:
    """The split that a run with this configuration has: the ordinary one, or one fold of a cross-validation."""
    return fold_split(data, config) if config.crossval.fold else split(data, config.data)


def fold_of(data: DataSet, config: CrossvalConfig) -> dict[str, int]:
    """Sample id → fold 1 … k, groups whole, classes spread evenly. The data's own test images are in none."""
    pool = [sample for sample in data.samples if sample.split != "test"]
    if not pool:
        raise DataError(f"{data.name}: its split has test images only", "leave the split column out")
    groups = len({sample.id if sample.group is None else f"={sample.group}" for sample in pool})
    if groups < config.folds:
        raise DataError(
            f"{data.name}: {groups} groups cannot be dealt to {config.folds} folds", "fewer folds: crossval.folds"
        )
    names = {f"{fold}": 1 / config.folds for fold in range(1, config.folds + 1)}
    return {name: int(fold) for name, fold in assign(pool, names, config.seed).items()}


def fold_split(data: DataSet, config: Config) -> Split:
    """Sample id → part where fold ``config.crossval.fold`` is the test.

    Validation is ``data.val_fraction`` of the other folds, grouped and stratified as well.
    Raises DataError: a class that some fold's training or validation lacks.
    """
    folds = fold_of(data, config.crossval)
    rest = [sample for sample in data.samples if folds.get(sample.id, config.crossval.fold) != config.crossval.fold]
    fraction = config.data.val_fraction
    inner = assign(rest, {"train": 1 - fraction, "val": fraction}, config.crossval.seed)
    return {s.id: inner.get(s.id, "test" if s.id in folds else HELD_OUT) for s in data.samples}


def check_folds(data: DataSet, splits: Sequence[Split], key: str = "crossval.folds") -> None:
    """Raises DataError for empty folds and for classes that a fold's training or validation lacks, all at once.
    ``key``: which of the recipe's says how many."""
    problems = []
    for number, parts in enumerate(splits, 1):
        chosen: dict[str, list[Sample]] = {part: [] for part in (*PARTS, HELD_OUT)}
        for sample in data.samples:
            chosen[parts[sample.id]].append(sample)
        if not chosen["test"]:
            problems.append(f"fold {number} is empty")
        for part in ("train", "val"):
            counts = class_counts(chosen[part], data.classes)
            lacking = [name for name, count in zip(data.classes, counts, strict=True) if not count]
            problems += [f"fold {number}: no image of {name!r} in {part}" for name in lacking]
    if problems:
        raise DataError(
            listing(f"{data.name}: {len(splits)} folds cannot be made", problems),
            f"fewer folds ({key}), a larger data.val_fraction, more groups of that class, or merge classes",
        )
