"""The data of a run, split and decoded, and the files that say what it was."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from runtime.atomic import write_json
from runtime.preprocess import Preprocess
from runtime.steps import steps_to_json
from train.checkpoint import FORMAT, write_split
from train.config import Config
from train.dataset import Tensors, load_parts, where_to_cache
from train.provenance import commit, versions
from train.samples import PARTS, DataSet
from train.splits import Split, split_hash

CACHE = ".cache-train.npy"
"""The decoded training pictures, where they do not fit into memory; removed after the last epoch."""


@dataclass(frozen=True)
class Material:
    """The data of a run, decoded: what is trained on and what chooses."""

    data: DataSet
    parts: Split
    train: Tensors
    val: Tensors


def describe_split(data: DataSet, parts: Mapping[str, str]) -> str:
    """A table for people: images (and groups) by part and class."""
    lines = [f"data: {data.name}, {len(data.samples)} images, {len(data.classes)} classes"]
    for part in PARTS:
        chosen = [sample for sample in data.samples if parts[sample.id] == part]
        if chosen:
            counts = np.bincount([sample.label for sample in chosen], minlength=len(data.classes))
            classes = ", ".join(f"{name} {count}" for name, count in zip(data.classes, counts, strict=True))
            groups = len({sample.group for sample in chosen if sample.group is not None})
            of = f" of {groups} groups" if groups else ""
            lines.append(f"  {part:<5} {len(chosen):>6} images{of}: {classes}")
    if not data.grouped:
        lines.append("  no group column: pictures of one person may be on both sides of the split")
    return "\n".join(lines)


def decode(config: Config, data: DataSet, parts: Split, run: Path) -> Material:
    """Decode everything once: training and validation are kept, the test set is only found to be readable."""
    steps = config.preprocess.steps
    chosen = {part: [sample for sample in data.samples if parts[sample.id] == part] for part in PARTS}
    size = Preprocess(steps).size
    began = time.perf_counter()
    file = where_to_cache(len(chosen["train"]) + len(chosen["val"]), size, run / CACHE)
    kept = load_parts(data, chosen, steps, keep={"train": file, "val": None})
    where = "memory" if file is None else f"{file} (they do not fit into memory)"
    megabytes = sum(map(len, kept.values())) * size * size * 3 / 1e6
    print(f"decoded once to {size}×{size} in {time.perf_counter() - began:.1f} s; {megabytes:.0f} MB in {where}")
    return Material(data, parts, kept["train"], kept["val"])


def write_facts(run: Path, config: Config, material: Material, weights: str) -> None:
    """Everything that is known before the first epoch: config.json, split.csv, run.json."""
    data, parts = material.data, material.parts
    counts = {part: sum(1 for value in parts.values() if value == part) for part in PARTS}
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
            "shareable": config.data.shareable,
        },
        "versions": versions(),
        "commit": commit(),
        "seed": config.train.seed,
    }
    write_json(run / "run.json", facts)
