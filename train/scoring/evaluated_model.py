"""The model that is evaluated: a run or a bundle, by what both say of themselves."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fieldlens.runtime.bundle.manifest import ClassInfo
from fieldlens.runtime.bundle.opened import Bundle
from fieldlens.runtime.errors import BundleError, ConfigError
from fieldlens.train.checkpoint import TrainingRun
from fieldlens.train.config import Config
from fieldlens.train.decide.operating_point import OperatingPoint
from fieldlens.train.recipe import config_from_json


@dataclass(frozen=True)
class EvaluatedModel:
    """``facts``: what the model's maker wrote down (network, seed, versions, commit, data), for the report.

    ``kind``: run, bundle or cross-validation. ``data_hash`` and ``split_hash`` (SHA-256) are those of the training.
    """

    kind: str
    path: Path
    name: str
    classes: tuple[ClassInfo, ...]
    config: Config
    operating_point: OperatingPoint
    data_hash: str
    split_hash: str
    facts: dict[str, Any]

    @property
    def class_ids(self) -> tuple[str, ...]:
        """In the order of the logits."""
        return tuple(info.id for info in self.classes)


def of_run(run: TrainingRun) -> EvaluatedModel:
    """A finished run."""
    return EvaluatedModel(
        "run", run.path, run.name, run.classes, run.config, run.operating_point, run.data.hash, run.data.split_hash,
        load_facts(run.path),
    )  # fmt: skip


def load_facts(run: Path) -> dict[str, Any]:
    """``run.json`` of a run that :func:`fieldlens.train.checkpoint.load_run` has read without complaint."""
    facts: dict[str, Any] = json.loads((run / "run.json").read_text(encoding="utf-8"))
    return facts


def of_bundle(bundle: Bundle) -> EvaluatedModel:
    """A bundle made from a run. Raises BundleError for one that does not say how its data is read."""
    manifest = bundle.manifest
    made_of = manifest.provenance
    data = made_of.get("data")
    if not isinstance(data, dict) or "config" not in data:
        raise BundleError(
            f"{bundle.path.name} does not say how its data is read: it was made from weights, not from a run",
            "evaluate needs a bundle made from a run",
        )
    recipe = made_of.get("recipe", {})
    try:
        config = config_from_json({**(recipe if isinstance(recipe, dict) else {}), "data": data["config"]})
    except ConfigError as error:
        raise BundleError(f"the manifest's recipe: {error.message}", error.hint) from error
    versions = made_of.get("trained_with", {})
    if not isinstance(versions, dict) or not isinstance(data.get("n", {}), dict):
        raise BundleError(
            f"{bundle.path.name}: the manifest's provenance is not what `convert bundle` writes",
            "make the bundle again from its run",
        )
    facts = {
        "arch": made_of.get("arch"),
        "weights": made_of.get("weights"),
        "seed": made_of.get("seed"),
        "versions": versions,
        "commit": made_of.get("trained_at_commit"),
        "data": {key: value for key, value in data.items() if key != "config"},
        "bundle": {"title": bundle.title, "sha256": bundle.hash},
    }
    return EvaluatedModel(
        "bundle", bundle.path, manifest.name, manifest.classes, config,
        OperatingPoint(manifest.temperature, manifest.decision), str(data.get("hash")), str(data.get("split_hash")),
        facts,
    )  # fmt: skip
