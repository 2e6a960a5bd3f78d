"""Labelled data for a finished bundle. Without torch: verifying needs no network but the bundle's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from fieldlens.convert.measure.evaluate import Labels
from fieldlens.runtime.bundle.manifest import Manifest
from fieldlens.runtime.errors import BundleError, ConfigError, KitError
from fieldlens.runtime.terminal.reporter import SILENT, Reporter
from fieldlens.train.config import Config, DataConfig
from fieldlens.train.data.folds import split_of
from fieldlens.train.data.load import load_data
from fieldlens.train.data.samples import DataSet, Sample
from fieldlens.train.data.splits import split_hash
from fieldlens.train.recipe import config_from_json


class OriginError(KitError):
    """A run, or its data, that is not what the run says it is."""


@dataclass(frozen=True)
class Labelled:
    """Samples to judge on, their truth, and what part of which data they are; ``what`` in words."""

    data: DataSet
    samples: tuple[Sample, ...]
    labels: Labels
    what: str
    part: str


def labelled(manifest: Manifest, path: Path, part: str, reporter: Reporter = SILENT) -> Labelled:
    """Labelled data for a finished bundle, read as the run read its own.

    Where it is the run's own data, the split must come out as it was in training. Other data is judged by the split
    it brings; where it brings none, only ``all`` of it can be judged. Raises KitError.
    """
    config, known = _from_provenance(manifest)
    config = replace(config, data=pinned(config.data, manifest.class_ids))
    data = load_data(path, config.data)
    own = data.hash == known.get("hash")
    if own:
        parts = split_of(data, config)
        if split_hash(parts) != known.get("split_hash"):
            raise OriginError(
                f"{path} is the bundle's data, but splits differently here: training images could be judged on",
                "use the version of the kit that made the bundle, or make it again",
            )
        if part in ("train", "all"):
            reporter.say("note: the network was trained on some of these images: its figures flatter")
    else:
        parts = {sample.id: sample.split for sample in data.samples if sample.split}
        reporter.say(f"note: {data.name} is not the data set that the bundle was made from")
    samples = tuple(sample for sample in data.samples if part in ("all", parts.get(sample.id)))
    if not samples:
        raise OriginError(
            f"{data.name} has no {part!r} part",
            "this data brings no split of its own: give --split all" if not parts else "choose another --split",
        )
    return Labelled(data, samples, labels_of(samples), "all images" if part == "all" else f"{part} split", part)


def labels_of(samples: Sequence[Sample]) -> Labels:
    """Truth and groups; a sample without a group is a group of its own."""
    groups = tuple(f"={sample.group}" if sample.group is not None else f"#{sample.id}" for sample in samples)
    return Labels(np.array([sample.label for sample in samples], np.int64), groups)


def _from_provenance(manifest: Manifest) -> tuple[Config, dict[str, Any]]:
    """How the bundle says its data is read and split. Raises BundleError where it does not say."""
    known = manifest.provenance.get("data")
    if not isinstance(known, dict) or "config" not in known:
        raise BundleError("the manifest does not say how its data is read", "verify it without --data")
    recipe = manifest.provenance.get("recipe", {})
    folds = recipe.get("crossval", {}) if isinstance(recipe, dict) else {}
    try:
        return config_from_json({"data": known["config"], "crossval": folds}), known
    except ConfigError as error:
        raise BundleError(f"the manifest's data settings: {error.message}", error.hint) from error


def pinned(config: DataConfig, classes: tuple[str, ...]) -> DataConfig:
    """The same configuration with the order of the logits fixed, whatever labels the data holds."""
    return replace(config, classes=classes)
