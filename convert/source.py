"""The run and the data that a bundle is made from, checked before anything is built on them."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from convert.labelled import SourceError, pinned
from train.checkpoint import Run, load_run, read_split
from train.data import load_data
from train.samples import DataSet, Sample
from train.splits import Split, split, split_hash


@dataclass(frozen=True)
class Source:
    """A run with the very data it was trained on, and that data's split."""

    run: Run
    data: DataSet
    parts: Split

    def part(self, name: str) -> tuple[Sample, ...]:
        """The samples of ``train``, ``val`` or ``test``, in the data's order."""
        return tuple(sample for sample in self.data.samples if self.parts[sample.id] == name)


def load_source(run_folder: Path, data_path: Path | None) -> Source:
    """Read a run and its data. Raises KitError: a broken run, data that is missing, or that has changed since."""
    run = load_run(run_folder)
    path = data_path or _where_it_was(run)
    data = load_data(path, pinned(run.config.data, run.class_ids))
    if data.hash != run.data.hash:
        raise SourceError(
            f"{path} is not the data that {run_folder.name} was trained on: its hash is {data.hash[:12]}…, the run's "
            f"{run.data.hash[:12]}…",
            "give the unchanged data with --data, or train again on the new data",
        )
    parts = split(data, run.config.data)
    for found, where in ((parts, "the data now"), (read_split(run_folder), f"{run_folder.name}/split.csv")):
        if split_hash(found) != run.data.split_hash:
            raise SourceError(
                f"the split of {where} is not the one of the training: test images could be calibrated or tuned on",
                "restore the run's own split.csv and config.json, or train again",
            )
    return Source(run, data, parts)


def _where_it_was(run: Run) -> Path:
    """The path that training left in ``local.json`` for this machine."""
    try:
        path = Path(json.loads((run.path / "local.json").read_text(encoding="utf-8"))["data"])
    except (OSError, ValueError, KeyError, TypeError):
        raise SourceError(
            f"{run.path.name} does not say where its data ({run.data.path}) lies", "give it with --data"
        ) from None
    if not path.exists():
        raise SourceError(f"the run's data is no longer at {path}", "give its present place with --data")
    return path


def data_provenance(run: Run) -> dict[str, Any]:
    """What a bundle keeps of the data: hashes, counts and how to read it, but no path and no picture's name."""
    info = asdict(run.data)
    return {"name": info.pop("path"), **info, "config": run.config.to_json()["data"]}
