"""The data of a run, split and decoded, and the files that say what it was."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fieldlens.runtime.errors import ConfigError
from fieldlens.runtime.files.atomic import write_json
from fieldlens.runtime.files.printable import printable
from fieldlens.runtime.pixels.preprocess import Preprocess
from fieldlens.runtime.pixels.steps import steps_to_json
from fieldlens.runtime.terminal.reporter import SILENT, Reporter
from fieldlens.train.checkpoint import FORMAT, write_split
from fieldlens.train.config import Config
from fieldlens.train.data.cache import Tensors, load_parts, tensors_of, where_to_cache
from fieldlens.train.data.duplicates import SHOWN, near_duplicates
from fieldlens.train.data.samples import PARTS, DataSet, class_counts
from fieldlens.train.data.shortcuts import lines as shortcut_lines
from fieldlens.train.data.shortcuts import shortcuts
from fieldlens.train.data.splits import Split, split_hash
from fieldlens.train.epoch.distributed import ALONE, Ranks
from fieldlens.train.errors import listing
from fieldlens.train.provenance import commit, versions

CACHE = ".cache-train.npy"
"""The decoded training images, where they do not fit into memory; removed after the last epoch."""


@dataclass(frozen=True)
class RunData:
    """The data of a run, decoded: what is trained on and what chooses."""

    data: DataSet
    parts: Split
    train: Tensors
    val: Tensors

    def everything(self) -> Tensors:
        """Training and validation images as one part, in memory."""
        train, val = self.train, self.val
        images, labels = np.concatenate((train.images, val.images)), np.concatenate((train.labels, val.labels))
        return Tensors((*train.samples, *val.samples), images, labels)


def describe_split(data: DataSet, parts: Mapping[str, str]) -> str:
    """A table for people: images (and groups) by part and class."""
    counted = f"{len(data.samples)} images, {len(data.classes)} classes"
    lines = [f"data: {data.name}, {counted}, SHA-256 {data.hash[:12]}…"]
    for part in PARTS:
        chosen = [sample for sample in data.samples if parts[sample.id] == part]
        if chosen:
            counts = class_counts(chosen, data.classes)
            classes = ", ".join(f"{printable(name)} {count}" for name, count in zip(data.classes, counts, strict=True))
            groups = len({sample.group for sample in chosen if sample.group is not None})
            of = f" of {groups} groups" if groups else ""
            lines.append(f"  {part:<5} {len(chosen):>6} images{of}: {classes}")
    if data.skipped:
        lines.append(listing("  left out, cannot be read", data.skipped))
    lines += [f"  {note}" for note in data.notes]
    if not data.grouped:
        lines.append("  no group column: images of one person may be on both sides of the split")
    return "\n".join(lines)


def decode(
    config: Config, data: DataSet, parts: Split, run: Path, ranks: Ranks = ALONE, reporter: Reporter = SILENT
) -> RunData:
    """Decode everything once: training and validation are kept, the test set is only found to be readable.

    Of several processes the first decodes into a file that all map; the others get no validation images.
    """
    file = run / CACHE if ranks.world > 1 else None
    material = _decoded(config, data, parts, run, file, reporter) if ranks.main else None
    ranks.wait()
    if material is None:
        train = [sample for sample in data.samples if parts[sample.id] == "train"]
        images = np.load(run / CACHE, mmap_mode="r+")
        material = RunData(data, parts, tensors_of(train, images), tensors_of([], images[:0]))
    return material


def _decoded(config: Config, data: DataSet, parts: Split, run: Path, file: Path | None, reporter: Reporter) -> RunData:
    steps = config.preprocess.steps
    chosen = {part: [sample for sample in data.samples if parts[sample.id] == part] for part in PARTS}
    size = Preprocess(steps).size
    began = time.perf_counter()
    file = file or where_to_cache(len(chosen["train"]) + len(chosen["val"]), size, run / CACHE)
    if file and config.train.refit:
        raise ConfigError(
            "train.refit wants all images in memory, and they do not fit",
            "set train.refit = false: so large a set can spare its validation images",
        )
    kept = load_parts(data, chosen, steps, keep={"train": file, "val": None}, reporter=reporter)
    where = "memory" if file is None else f"{file}, mapped"
    megabytes = sum(map(len, kept.values())) * size * size * 3 / 1e6
    reporter.say(f"decoded once to {size}×{size} in {time.perf_counter() - began:.1f} s; {megabytes:.0f} MB in {where}")
    return RunData(data, parts, kept["train"], kept["val"])


def write_facts(run: Path, config: Config, material: RunData, weights: str, reporter: Reporter = SILENT) -> None:
    """Everything that is known before the first epoch: config.json, split.csv, run.json."""
    data, parts = material.data, material.parts
    counts = {part: sum(1 for value in parts.values() if value == part) for part in PARTS}
    pairs = near_duplicates(data, parts)
    if pairs:
        reported = [f"{pair.first} ({pair.parts[0]}) and {pair.second} ({pair.parts[1]})" for pair in pairs]
        reporter.say(listing("warning: nearly the same image on two sides of the split", reported))
    told = shortcuts(data, material.train)
    if told:
        title = "warning: classes can be told apart without the finding, and a network may learn to (docs/training.md)"
        reporter.say(listing(title, shortcut_lines(told)))
    if data.private is not None:
        data.private.keep(run)
    write_json(run / "config.json", config.to_json())
    write_split(run / "split.csv", data, parts)
    facts: dict[str, Any] = {
        "format": FORMAT,
        "name": config.recipe.name,
        "task": config.data.task,
        "classes": [{"id": name, "display": config.data.display.get(name, name)} for name in data.classes],
        "arch": config.model.arch,
        "dropout": config.model.dropout,
        "preprocess": steps_to_json(config.preprocess.steps),
        "weights": weights,
        "data": {
            "path": data.name,
            "hash": data.hash,
            "split_hash": split_hash(parts),
            "n": counts,
            "groups": len({sample.group for sample in data.samples if sample.group is not None}),
        },
        "versions": versions(),
        "commit": commit(),
        "seed": config.train.seed,
        "ungrouped": config.data.ungrouped,
        "skipped": list(data.skipped),
        "shortcuts": [asdict(each) for each in told],
        "near_duplicates": {"count": len(pairs), "pairs": [asdict(pair) for pair in pairs[:SHOWN]]},
    }
    write_json(run / "run.json", facts)
