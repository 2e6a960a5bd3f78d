"""Which images a model is evaluated on, and whether that is honest: the run's data with its split, or another set."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from fieldlens.train.data.folds import split_of
from fieldlens.train.data.load import load_data
from fieldlens.train.data.samples import DataSet, Sample
from fieldlens.train.data.splits import split_hash
from fieldlens.train.errors import DataError
from fieldlens.train.scoring.evaluated_model import EvaluatedModel


@dataclass(frozen=True)
class EvaluationSet:
    """The images to judge. ``key``: ``test`` or ``other:NAME``; ``parts`` None for another data set."""

    key: str
    data: DataSet
    samples: tuple[Sample, ...]
    parts: Mapping[str, str] | None

    @property
    def file_name(self) -> str:
        """The key as a part of a file's name."""
        return self.key.replace(":", "-").replace("/", "-")


def choose_evaluation_set(
    who: EvaluatedModel, path: Path, part: str, other_data: bool, split: Callable[[DataSet], Mapping[str, str]]
) -> EvaluationSet:
    """``part`` of the data at ``path``; ``split`` gives the training's own split. Another data set is judged whole.

    Raises DataError: data that is not the training's (without ``other_data``), a part without images.
    """
    # Another set may lack a class, or hold its labels in another order: the model's classes count.
    data = load_data(path, replace(who.config.data, classes=who.class_ids), who.path)
    if data.hash == who.data_hash:
        parts = split(data)
        chosen = tuple(sample for sample in data.samples if parts.get(sample.id) == part)
        if not chosen:
            raise DataError(f"{data.name}: the run kept no {part} images", "choose another --split")
        return EvaluationSet(part, data, chosen, parts)
    if other_data:
        return EvaluationSet(f"other:{data.name}", data, data.samples, None)
    raise DataError(
        f"{data.name} is not the data that {who.path} was trained on (its hash differs)",
        "its split would not be honest; give the same data, or --other-data to judge all of it as a new set",
    )


def derived_split(who: EvaluatedModel, data: DataSet) -> Mapping[str, str]:
    """The split of a bundle's own data, made again. Raises DataError where it comes out differently."""
    parts = split_of(data, who.config)
    if split_hash(parts) != who.split_hash:
        raise DataError(
            f"{data.name} is the bundle's data, but splits differently here: training images could be judged",
            "use the version of the kit that made the bundle, or make it again",
        )
    return parts
