"""Which images a learning curve draws, and which it judges by: whole groups, every class in proportion."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from fieldlens.train.config import Config
from fieldlens.train.data.folds import HELD_OUT
from fieldlens.train.data.samples import DataSet, Sample, class_counts
from fieldlens.train.data.splits import Split, assign, split
from fieldlens.train.errors import DataError, Problem, all_at_once, listing

TEST, OWN_VALIDATION, KEPT_APART = "test part", "own validation part", "kept apart"
_FEWEST_GROUPS = 4
"""Of a class in a draw: fewer leave training or validation with a single one."""


@dataclass(frozen=True)
class Draw:
    """``size``: images asked for; ``number`` from 1; ``parts``: sample id → train, val or held-out."""

    size: int
    number: int
    parts: Split
    images: int

    @property
    def name(self) -> str:
        """Of its file."""
        return f"size-{self.size:06d}-draw-{self.number:02d}"


@dataclass(frozen=True)
class DrawPlan:
    """``judged``: by which every network is judged, and ``kind``, where they come from; ``pool``: which are drawn."""

    kind: str
    judged: tuple[Sample, ...]
    pool: tuple[Sample, ...]
    draws: tuple[Draw, ...]


def plan(
    data: DataSet, config: Config, sizes: Sequence[int], draws: int, test: bool, apart: float
) -> DrawPlan:  # fmt: skip
    """Every draw, before anything is trained. Those with the same number are nested: the 100 are among the 200.

    The test part is never drawn. It judges if ``test`` says so; else the data's own validation part does, and where it
    brings none, a share ``apart`` of what is not test. Raises DataError: a split that cannot be honest, sizes beyond
    the pool, a class that a draw or the images judged by lack, too few groups.
    """
    kind, judged, pool = _sides(data, config, test, apart)
    _refuse_sides(data, judged, pool, sizes, kind)
    made = []
    for number in range(1, draws + 1):
        order = in_order(pool, f"{config.data.split_seed}:{number}")
        for size in sizes:
            chosen = _first(order, size)
            fraction = config.data.val_fraction
            inner = assign(chosen, {"train": 1 - fraction, "val": fraction}, config.data.split_seed)
            parts = {sample.id: inner.get(sample.id, HELD_OUT) for sample in data.samples}
            made.append(Draw(size, number, parts, len(chosen)))
    _refuse_draws(data, made)
    return DrawPlan(kind, tuple(judged), tuple(pool), tuple(made))


def _sides(data: DataSet, config: Config, test: bool, apart: float) -> tuple[str, list[Sample], list[Sample]]:
    """Kind of the images judged by, these images, and the pool."""
    parts = split(data, config.data)
    of = {part: [sample for sample in data.samples if parts[sample.id] == part] for part in ("train", "val", "test")}
    if test:
        return TEST, of["test"], [*of["train"], *of["val"]]
    if any(sample.split == "val" for sample in data.samples):
        return OWN_VALIDATION, of["val"], of["train"]
    rest = [sample for sample in data.samples if parts[sample.id] != "test"]
    sides = assign(rest, {"pool": 1 - apart, "apart": apart}, config.data.split_seed)
    chosen = {side: [sample for sample in rest if sides[sample.id] == side] for side in ("pool", "apart")}
    return KEPT_APART, chosen["apart"], chosen["pool"]


def in_order(pool: Sequence[Sample], seed: str) -> list[list[Sample]]:
    """Groups in an order of which every beginning has the classes in the pool's proportion.

    Groups with the same classes are a stratum; each is shuffled and spread evenly over the order, with a random place
    within its share (systematic sampling). By SHA-256: the same on every platform and version.
    """
    members: dict[str, list[Sample]] = {}
    for sample in pool:
        members.setdefault(f"#{sample.id}" if sample.group is None else f"={sample.group}", []).append(sample)
    strata: dict[tuple[object, ...], list[str]] = {}
    for name, group in members.items():
        strata.setdefault(tuple(sorted({sample.label for sample in group}, key=str)), []).append(name)
    places: dict[str, float] = {}
    for names in strata.values():
        total, before = sum(len(members[name]) for name in names), 0
        for name in sorted(names, key=lambda name: _hashed(seed, "order", name)):
            places[name] = (before + _hashed(seed, "place", name) * len(members[name])) / total
            before += len(members[name])
    return [members[name] for name in sorted(members, key=lambda name: (places[name], name))]


def _hashed(seed: str, what: str, name: str) -> float:
    """0…1."""
    digest = hashlib.sha256(f"curve:{seed}:{what}:{name}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def _first(order: Sequence[Sequence[Sample]], size: int) -> list[Sample]:
    """Whole groups from the beginning, until they are as close to ``size`` images as groups allow."""
    chosen: list[Sample] = []
    for group in order:
        over = len(chosen) + len(group) - size
        if over > 0 and (over > size - len(chosen) or len(chosen) == size):
            break
        chosen += group
    return chosen


def _refuse_sides(
    data: DataSet, judged: Sequence[Sample], pool: Sequence[Sample], sizes: Sequence[int], kind: str
) -> None:
    problems = []
    apart = "a smaller --apart" if kind == KEPT_APART else "more images"
    if too_large := [str(size) for size in sizes if size > len(pool)]:
        rest = len(data.samples) - len(pool) - len(judged)
        others = f", and {rest} are for the test or not used" if rest else ""
        reported = f"{', '.join(too_large)} images cannot be drawn: of {len(data.samples)} there are {len(pool)} to "
        reported += f"draw from ({len(judged)} judge: {kind}{others})"
        problems.append(Problem(reported, f"--sizes of at most {len(pool)}, or {apart}"))
    for where, samples in (("the images that judge", judged), ("the images to draw from", pool)):
        counts = class_counts(samples, data.classes)
        lacking = [name for name, count in zip(data.classes, counts, strict=True) if not count]
        if lacking:
            reported = f"{where} ({len(samples)}) have none of class {', '.join(map(repr, lacking))}"
            problems.append(Problem(reported, "more groups of that class, or merge classes"))
    if problems:
        raise all_at_once(data.name, problems)


def _refuse_draws(data: DataSet, draws: Sequence[Draw]) -> None:
    """Classes that a draw has of too few groups, or its training or validation lacks; the worst draw of each size."""
    by_id = {sample.id: sample for sample in data.samples}
    worst: dict[tuple[int, int], tuple[int, str]] = {}
    for draw in draws:
        sides = [_groups_by_class(draw, by_id, part, len(data.classes)) for part in ("train", "val")]
        for index, (train, val) in enumerate(zip(*sides, strict=True)):
            lacking = "" if train and val else ", none of them for " + ("validation" if train else "training")
            place, found = (draw.size, index), (len(train) + len(val), lacking)
            worst[place] = min(worst.get(place, found), found)
    problems = [
        f"{size} images: {count} group{'' if count == 1 else 's'} of {data.classes[index]!r} in a draw{lacking}"
        for (size, index), (count, lacking) in sorted(worst.items())
        if count < _FEWEST_GROUPS or lacking
    ]
    if problems:
        raise DataError(
            listing(f"{data.name}: too few for a network and its validation", problems),
            f"larger --sizes: every class wants {_FEWEST_GROUPS} groups (patients) or more, or merge classes",
        )


def _groups_by_class(draw: Draw, by_id: Mapping[str, Sample], part: str, classes: int) -> list[set[str]]:
    found: list[set[str]] = [set() for _ in range(classes)]
    for key, own in draw.parts.items():
        if own == part:
            sample = by_id[key]
            marks = np.flatnonzero(sample.label) if isinstance(sample.label, tuple) else [sample.label]
            for index in marks:
                found[index].add(key if sample.group is None else f"={sample.group}")
    return found


def groups_in(samples: Sequence[Sample]) -> int:
    """Groups among them; a sample without one is its own."""
    return len(np.unique([s.id if s.group is None else f"={s.group}" for s in samples]))
