"""Who is trained on, who chooses, who judges: the data's own split, else a grouped and stratified one.

The assignment is our own few lines rather than scikit-learn's, because a converter re-derives it from data and
configuration, perhaps years and versions later, and compares hashes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

import numpy as np

from train.config import DataConfig
from train.errors import DataError
from train.samples import PARTS, DataSet, Sample, shares

Split = dict[str, str]
"""Sample id → ``train``, ``val`` or ``test``."""


def split(data: DataSet, config: DataConfig) -> Split:
    """Assign every sample; the same data and configuration always give the same answer.

    A split that the data brings wins; if it brings no ``val``, that is taken from its ``train``.
    Raises DataError: some samples without a split, a group on two sides, a part that lacks a class.
    """
    own = {sample.id: sample.split for sample in data.samples if sample.split is not None}
    if own:
        result = _own(data, own, config)
    else:
        rest = 1.0 - config.val_fraction - config.test_fraction
        fractions = {"train": rest, "val": config.val_fraction, "test": config.test_fraction}
        result = assign(data.samples, fractions, config.split_seed)
    _check(data, result, required=("train", "val") if own else PARTS[: 3 if config.test_fraction else 2])
    return {sample.id: result[sample.id] for sample in data.samples}


def split_hash(parts: Mapping[str, str]) -> str:
    """SHA-256 (hex) over every sample's part, in the order of the ids."""
    lines = "".join(f"{name}\t{part}\n" for name, part in sorted(parts.items()))
    return hashlib.sha256(lines.encode()).hexdigest()


def assign(samples: Sequence[Sample], fractions: Mapping[str, float], seed: int) -> Split:
    """Spread whole groups over parts so that every class comes close to its share in each part.

    Greedy: large groups first, each to the part where it lowers the chi-square-like cost
    ``sum over classes of (count - target)² / target`` most. A sample without a group is a group of its own.
    """
    parts = [name for name, fraction in fractions.items() if fraction > 0]
    members: dict[str, list[Sample]] = {}
    for sample in samples:
        key = f"#{sample.id}" if sample.group is None else f"={sample.group}"
        members.setdefault(key, []).append(sample)
    classes = max(sample.label for sample in samples) + 1
    counts = {name: np.bincount([s.label for s in group], minlength=classes) for name, group in members.items()}
    total = np.sum(list(counts.values()), axis=0)
    target = np.array([fractions[part] for part in parts])[:, None] * total[None, :]
    weight = 1.0 / np.maximum(target, 1e-9)
    have = np.zeros_like(target)
    result: Split = {}
    for name in sorted(members, key=lambda name: (-len(members[name]), _shuffled(seed, name))):
        added = counts[name]
        cost = (added * (2 * (have - target) + added) * weight)[:, added > 0].sum(axis=1)
        best = int(np.argmin(cost))
        have[best] += added
        result.update({sample.id: parts[best] for sample in members[name]})
    return result


def _shuffled(seed: int, name: str) -> bytes:
    """A sort key that shuffles by seed, the same on every platform and version."""
    return hashlib.sha256(f"{seed}:{name}".encode()).digest()


def _own(data: DataSet, own: Split, config: DataConfig) -> Split:
    """The data's own split, completed by a ``val`` where it has none."""
    without = [sample.id for sample in data.samples if sample.id not in own]
    if without:
        raise DataError(
            f"{data.name}: {len(without)} samples have no split while others do (for example {without[0]})",
            "fill the split column, or leave it out altogether",
        )
    if "val" not in own.values():
        pool = [sample for sample in data.samples if own[sample.id] == "train"]
        if pool:
            own |= assign(pool, {"train": 1 - config.val_fraction, "val": config.val_fraction}, config.split_seed)
    return own


def _check(data: DataSet, parts: Split, required: Sequence[str]) -> None:
    """No group on two sides; every class in train and in the parts that we made or need."""
    sides: dict[str, set[str]] = {}
    for sample in data.samples:
        if sample.group is not None:
            sides.setdefault(sample.group, set()).add(parts[sample.id])
    torn = sorted(group for group, seen in sides.items() if len(seen) > 1)
    if torn:
        raise DataError(
            f"{data.name}: its own split has {len(torn)} groups on two sides (for example {torn[0]!r})",
            "a subject in training and test makes the test meaningless; without a split column you get a grouped one",
        )
    lacking = []
    for part in required:
        present = shares((sample for sample in data.samples if parts[sample.id] == part), "label")
        lacking += [f"{name!r} in {part}" for label, name in enumerate(data.classes) if label not in present]
    if lacking:
        raise DataError(
            f"{data.name}: after splitting there is no image of {', '.join(lacking)}",
            "a class needs at least as many groups (subjects) as there are parts; add images or merge classes",
        )
