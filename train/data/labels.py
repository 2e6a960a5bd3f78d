"""Labels in a data set's own words become samples, and everything that is wrong with them is listed."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from fieldlens.runtime.fields import nearest
from fieldlens.runtime.tables.cells import alike, said
from fieldlens.train.config import DataConfig
from fieldlens.train.data.samples import Label, Sample
from fieldlens.train.errors import Problem

UNKNOWN = (
    "the recipe does not know this class: correct the label, name it in data.classes or data.labels, or write a recipe "
    "for this data with `fieldlens train new-recipe DATA --positive CLASS --out my.toml`"
)
_NUMBER = re.compile(r"\d+(\.0+)?", re.ASCII)


@dataclass(frozen=True)
class Found:
    """One image as the data describes it. ``words``: its labels as written; none for an image without findings.
    ``private``: its name and group are hashes, in which no pattern finds anything."""

    words: tuple[str, ...]
    group: str | None = None
    site: str | None = None
    split: str | None = None
    subgroups: tuple[tuple[str, str], ...] = ()
    private: bool = False


@dataclass
class LabelReader:
    """A data set being read. ``notes`` are odd, ``problems`` are refused."""

    found: dict[str, Found] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def samples(self, config: DataConfig) -> tuple[tuple[str, ...], tuple[Sample, ...]]:
        """Classes in the order of the logits, and the samples of known labels; adds to the problems."""
        classes, labels = self._labels(config)
        groups = self._groups(config)
        samples = tuple(
            Sample(name, labels[name], groups[name], item.site, item.split, item.subgroups)
            for name, item in self.found.items()
            if name in labels
        )
        if not self.found and not self.problems:
            self.problems.append(Problem("there are no images in it", "see docs/training.md for the forms of data"))
        different = {sample.label for sample in samples}
        if len(different) == 1 and not self.problems:
            only = label_of(next(iter(different)), classes)
            self.problems.append(
                Problem(
                    f"all {len(samples)} images have one class ({only}): nothing to learn",
                    "add images of the other class, or check the label column",
                )
            )
        return classes, samples

    def _labels(self, config: DataConfig) -> tuple[tuple[str, ...], dict[str, Label]]:
        spelt = _spellings(config)
        meant = {word: _meant(word, spelt, config) for item in self.found.values() for word in item.words}
        named = {name: tuple(dict.fromkeys(meant[w] for w in item.words)) for name, item in self.found.items()}
        classes = class_order([word for words in named.values() for word in words], config)
        unknown: dict[str, list[str]] = {}
        for name, words in named.items():
            for word in words:
                if word not in classes:
                    unknown.setdefault(word, []).append(name)
        for word, names in sorted(unknown.items()):
            text = f"unknown label {word!r} of {len(names)} images (for example {names[0]}); {nearest(word, classes)}"
            self.problems.append(Problem(text, UNKNOWN))
        place = {name: index for index, name in enumerate(classes)}
        bad = {name for names in unknown.values() for name in names}
        if config.task == "multiclass":
            return classes, {name: place[words[0]] for name, words in named.items() if name not in bad}
        return classes, {
            name: tuple(int(label in words) for label in classes) for name, words in named.items() if name not in bad
        }

    def _groups(self, config: DataConfig) -> dict[str, str | None]:
        """What belongs together: by the path's pattern if the recipe has one that fits, else as the data says."""
        if config.ungrouped:
            self.notes.append("ungrouped, as asked: images of one person may be on both sides of a split")
            return dict.fromkeys(self.found)
        own = {name: item.group for name, item in self.found.items()}
        self._note_twins(group for group in own.values() if group is not None)
        if not config.group_pattern or not own:
            lacking = [name for name, group in own.items() if group is None]
            if 0 < len(lacking) < len(own):
                reported = f"{len(lacking)} images have no group while others do (for example {lacking[0]})"
                self.notes.append(f"{reported}: each is taken for a group of its own")
            return own
        plain = [name for name, item in self.found.items() if not item.private]
        if not plain:
            return own
        matches = {name: re.search(config.group_pattern, name) for name in plain}
        without = [name for name, match in matches.items() if match is None]
        if len(without) == len(plain):
            self.notes.append("no path fits data.group_pattern")
            return own
        for name in without:
            self.problems.append(
                Problem(f"{name}: data.group_pattern finds no patient in its path", "rename it, or give --ungrouped")
            )
        return own | {name: match.group(1) if match else None for name, match in matches.items()}

    def _note_twins(self, groups: Iterable[str]) -> None:
        """Groups that a reader takes for one: a patient typed in two ways is on both sides of a split."""
        seen: dict[str, str] = {}
        for group in dict.fromkeys(groups):
            first = seen.setdefault(alike(group), group)
            if first != group:
                self.notes.append(f"groups {first!r} and {group!r} differ in case or spaces only: taken for two people")
                return


def _spellings(config: DataConfig) -> dict[str, str]:
    """What the recipe calls labels and classes, by their form in which spelling does not differ; not those that
    only their spelling tells apart."""
    words = dict.fromkeys((*config.labels, *config.classes))
    keys = [alike(word) for word in words]
    return {key: word for key, word in zip(keys, words, strict=True) if keys.count(key) == 1}


def _meant(word: str, spelt: Mapping[str, str], config: DataConfig) -> str:
    """The class of a label: as the recipe spells it where it differs in Unicode's form only, else in its NFC form."""
    known = spelt.get(alike(word), word)
    same = said(known) == said(word) or _NUMBER.fullmatch(said(word)) is not None
    exact = word if word in config.labels or word in config.classes or not same else known
    return config.labels.get(exact, exact if exact in config.classes else said(exact))


def label_of(label: Label, classes: Sequence[str]) -> str:
    """The class, or the findings, for a message."""
    if isinstance(label, int):
        return classes[label]
    return ", ".join(name for name, mark in zip(classes, label, strict=True) if mark) or "no finding"


def class_order(found: Sequence[str], config: DataConfig) -> tuple[str, ...]:
    """The classes in the order of the logits: as the recipe says, else sorted (numbers by value)."""
    if config.classes or config.labels:
        return config.classes or tuple(dict.fromkeys(config.labels.values()))
    columns: Mapping[str, None] = dict.fromkeys(config.label_columns)
    return tuple(columns) or tuple(sorted(set(found), key=_natural))


def _natural(word: str) -> tuple[int, float, str]:
    try:
        return (0, float(word), word)
    except ValueError:
        return (1, 0.0, word)
