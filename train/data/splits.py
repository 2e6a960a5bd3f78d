"""Who is trained on, who chooses, who judges: the data's own split, else a grouped and stratified one.

The assignment is our own few lines rather than scikit-learn's, because a converter re-derives it from data and
configuration, perhaps years and versions later, and compares hashes.
"""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Container, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from fieldlens.runtime.tables.cells import alike
from fieldlens.train.config import DataConfig
from fieldlens.train.data.samples import PARTS, DataSet, Sample, class_counts, marks
from fieldlens.train.errors import Problem, all_at_once

_RENAME = "rename the class, merge it with data.labels, or add images"
_MORE = "a class needs at least as many groups (subjects) as there are parts; add images or merge classes"

Split = dict[str, str]
"""Sample id → ``train``, ``val`` or ``test``."""


def split(data: DataSet, config: DataConfig) -> Split:
    """Assign every sample; the same data and configuration always give the same answer.

    A split that the data brings wins; if it brings no ``val``, that is taken from its ``train``.
    Raises DataError for all that :func:`split_problems` finds.
    """
    parts, problems = _attempt(data, config)
    if problems:
        raise all_at_once(data.name, problems)
    return {sample.id: parts[sample.id] for sample in data.samples}


def split_problems(data: DataSet, config: DataConfig) -> list[Problem]:
    """What hinders an honest split: some samples without one, a group on two sides, classes too small for the parts."""
    return _attempt(data, config)[1] if data.samples else []


def _attempt(data: DataSet, config: DataConfig) -> tuple[Split, list[Problem]]:
    own = {sample.id: sample.split for sample in data.samples if sample.split is not None}
    without = [sample.id for sample in data.samples if sample.id not in own]
    if own and without:
        reported = f"{len(without)} samples have no split while others do (for example {without[0]})"
        return {}, [Problem(reported, "fill the split column, or leave it out altogether")]
    if own:
        parts = _completed(data, own, config)
    else:
        rest = 1.0 - config.val_fraction - config.test_fraction
        fractions = {"train": rest, "val": config.val_fraction, "test": config.test_fraction}
        parts = assign(data.samples, fractions, config.split_seed)
    several = config.task == "multilabel"
    required = ("train", "val") if own or several or not config.test_fraction else PARTS
    small = small_classes(data)
    return parts, [*_torn(data, parts), *small.values(), *_lacking(data, parts, required, several, set(small))]


def split_hash(parts: Mapping[str, str]) -> str:
    """SHA-256 (hex) over every sample's part, in the order of the ids."""
    lines = "".join(f"{name}\t{part}\n" for name, part in sorted(parts.items()))
    return hashlib.sha256(lines.encode()).hexdigest()


def assign(samples: Sequence[Sample], fractions: Mapping[str, float], seed: int) -> Split:
    """Spread whole groups over parts so that every class comes close to its share in each part.

    Greedy: large groups first, each to the part where it lowers the chi-square-like cost
    ``sum over classes of (count - target)² / target`` most. A sample without a group is a group of its own.
    Where a sample may have several findings, each of them and "none" is a class, and groups with the rarest finding go
    first, as in iterative stratification (Sechidis et al., ECML PKDD 2011).
    """
    parts = [name for name, fraction in fractions.items() if fraction > 0]
    members: dict[str, list[Sample]] = {}
    for sample in samples:
        key = f"#{sample.id}" if sample.group is None else f"={sample.group}"
        members.setdefault(key, []).append(sample)
    rows = {name: _strata(group) for name, group in members.items()}
    width = max(map(len, rows.values()))
    counts = {name: np.pad(row, (0, width - len(row))) for name, row in rows.items()}
    total = np.sum(list(counts.values()), axis=0)
    target = np.array([fractions[part] for part in parts])[:, None] * total[None, :]
    weight = 1.0 / np.maximum(target, 1e-9)
    have = np.zeros_like(target)
    result: Split = {}
    several = isinstance(samples[0].label, tuple)
    rarest = {name: int(total[row > 0].min()) if several else 0 for name, row in counts.items()}
    for name in sorted(members, key=lambda name: (rarest[name], -len(members[name]), _shuffled(seed, name))):
        added = counts[name]
        cost = (added * (2 * (have - target) + added) * weight)[:, added > 0].sum(axis=1)
        best = int(np.argmin(cost))
        have[best] += added
        result.update({sample.id: parts[best] for sample in members[name]})
    return result


def _shuffled(seed: int, name: str) -> bytes:
    """A sort key that shuffles by seed, the same on every platform and version."""
    return hashlib.sha256(f"{seed}:{name}".encode()).digest()


def _strata(group: Sequence[Sample]) -> npt.NDArray[np.int64]:
    """How many samples of a group have each class; with several findings each, the last is "none of them"."""
    labels = np.array([sample.label for sample in group], np.int64)
    if labels.ndim == 1:
        return np.bincount(labels)
    return np.append(labels.sum(axis=0), (labels.sum(axis=1) == 0).sum())


def _completed(data: DataSet, own: Split, config: DataConfig) -> Split:
    """The data's own split, with a ``val`` where it has none."""
    if "val" not in own.values():
        pool = [sample for sample in data.samples if own[sample.id] == "train"]
        if pool:
            own |= assign(pool, {"train": 1 - config.val_fraction, "val": config.val_fraction}, config.split_seed)
    return own


def _torn(data: DataSet, parts: Split) -> list[Problem]:
    """Groups on two sides, which only a split that the data brings can have."""
    sides: dict[str, set[str]] = {}
    for sample in data.samples:
        if sample.group is not None:
            sides.setdefault(sample.group, set()).add(parts[sample.id])
    torn = sorted(group for group, seen in sides.items() if len(seen) > 1)
    if not torn:
        return []
    hint = "a subject in training and test makes the test meaningless; without a split column you get a grouped one"
    return [Problem(f"its own split has {len(torn)} groups on two sides (for example {torn[0]!r})", hint)]


def small_classes(data: DataSet) -> dict[int, Problem]:
    """Classes that are perhaps none: with one image, with one group, or named like another but for the case."""
    have = marks(data.samples, data.classes).astype(bool)
    groups = np.array([f"#{s.id}" if s.group is None else f"={s.group}" for s in data.samples])
    keys = [alike(name) for name in data.classes]
    found: dict[int, Problem] = {}
    for index, name in enumerate(data.classes):
        others = [other for other in data.classes if other != name]
        count = int(have[:, index].sum())
        twins = [other for other, key in zip(data.classes[:index], keys, strict=False) if key == keys[index]]
        if twins:
            reported = f"classes {twins[0]!r} and {name!r} differ in case, spaces or Unicode form only"
            found[index] = Problem(reported, _RENAME)
        elif count == 1:
            close = difflib.get_close_matches(name, others, n=1)
            typo = f": a typo of {close[0]!r}?" if close else ""
            found[index] = Problem(f"class {name!r} has 1 image{typo}", _RENAME)
        elif count and len(set(groups[have[:, index]])) < 2:
            reported = f"class {name!r} has {count} images, all of one group: it cannot be on both sides of a split"
            found[index] = Problem(reported, _MORE)
    return found


def _lacking(
    data: DataSet, parts: Split, required: Sequence[str], several: bool, reported: Container[int]
) -> list[Problem]:
    """Classes that a required part has not (of findings: or that all of its images have)."""
    lacking = []
    for part in required:
        chosen = [sample for sample in data.samples if parts[sample.id] == part]
        counts = class_counts(chosen, data.classes)
        if not chosen:
            lacking.append(f"anything in {part}")
            continue
        for index, name in enumerate(data.classes):
            if index not in reported and counts[index] == 0:
                lacking.append(f"{name!r} in {part}")
            elif several and counts[index] == len(chosen):
                lacking.append(f"anything but {name!r} in {part}")
    return [Problem(f"after splitting there is no image of {', '.join(lacking)}", _MORE)] if lacking else []
