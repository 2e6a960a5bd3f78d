"""The run folder: what ``fit`` writes and ``convert`` and ``evaluate`` read. Atomic to write, strict to read."""

from __future__ import annotations

import csv
import io
import json
import pickle
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

import torch
from torch import Tensor, nn

from fieldlens.runtime.bundle.decision import TASKS, decision_from_json
from fieldlens.runtime.bundle.manifest import ClassInfo
from fieldlens.runtime.errors import ConfigError
from fieldlens.runtime.fields import Between, OneOf
from fieldlens.runtime.files import records
from fieldlens.runtime.files.atomic import write_bytes, write_text
from fieldlens.runtime.pixels.steps import Step, Steps
from fieldlens.train.config import ARCHS, Config, ModelConfig
from fieldlens.train.data.samples import DataSet, label_name
from fieldlens.train.data.shortcuts import Shortcut
from fieldlens.train.decide.operating_point import OperatingPoint
from fieldlens.train.errors import RunError
from fieldlens.train.model import model_of
from fieldlens.train.recipe import config_from_json, retired

FORMAT = 1
LOCAL = "local.json"
"""Where the data lies on this machine, for ``evaluate``. It does not travel."""

_FIT_AGAIN = "run `fieldlens train fit` again into a new folder"


@dataclass(frozen=True)
class DataInfo:
    """Which data the run saw. ``path`` is a name without its folder; hashes are SHA-256."""

    path: str
    hash: str
    split_hash: str
    n: dict[str, int]
    groups: int


@dataclass(frozen=True)
class _RunForm:
    """``run.json``."""

    format: int
    name: str
    task: Annotated[str, OneOf(TASKS)]
    classes: tuple[ClassInfo, ...]
    arch: Annotated[str, OneOf(ARCHS)]
    dropout: Annotated[float, Between(0, 0.9)]
    preprocess: Steps
    weights: str
    data: DataInfo
    versions: dict[str, str]
    commit: str | None
    seed: int
    ungrouped: bool = False
    skipped: tuple[str, ...] = ()
    near_duplicates: dict[str, Any] = field(default_factory=lambda: {"count": 0, "pairs": []})
    shortcuts: tuple[Shortcut, ...] = ()


@dataclass(frozen=True)
class _OperatingPointForm:
    """``operating-point.json``: what the device needs, and for people how it was found."""

    temperature: Annotated[float, Between(1e-3, 1e3)]
    decision: dict[str, Any] | None
    fitted_on: dict[str, Any] = field(default_factory=dict)
    ece_before: float = 0.0
    ece_after: float = 0.0
    carried_over: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class TrainingRun:
    """A finished run, its network loaded with the best weights, in evaluation mode, on the CPU."""

    path: Path
    config: Config
    name: str
    task: str
    classes: tuple[ClassInfo, ...]
    arch: str
    dropout: float
    preprocess: tuple[Step, ...]
    model: nn.Module
    data: DataInfo
    operating_point: OperatingPoint
    weights: str
    versions: dict[str, str]
    commit: str | None
    seed: int
    ungrouped: bool
    skipped: tuple[str, ...]
    near_duplicates: dict[str, Any]
    notes: tuple[str, ...] = ()
    """What an older version wrote into it and this one ignores."""

    @property
    def class_ids(self) -> tuple[str, ...]:
        """In the order of the logits."""
        return tuple(info.id for info in self.classes)


def write_checkpoint(path: Path, value: dict[str, Any]) -> None:
    """``torch.save``, whole or not at all. Plain values and tensors only, so that ``weights_only=True`` reads it."""
    buffer = io.BytesIO()
    torch.save(value, buffer)
    write_bytes(path, buffer.getvalue())


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Raises RunError: missing, truncated or corrupt, not ours."""
    try:
        value: Any = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise RunError(f"{path} is missing", _FIT_AGAIN) from error
    except (OSError, RuntimeError, pickle.UnpicklingError, EOFError, ValueError, KeyError) as error:
        reason = (str(error).splitlines() or ["unreadable"])[0]
        raise RunError(f"{path} is truncated or corrupt: {reason}", _FIT_AGAIN) from error
    found = value.get("format") if isinstance(value, dict) else None
    if found != FORMAT or not isinstance(value.get("model"), dict):
        said = f" but of format {found}" if isinstance(found, int) and found != FORMAT else ""
        raise RunError(f"{path} is not a checkpoint of format {FORMAT}{said}", _FIT_AGAIN)
    state: dict[str, Any] = value
    return state


def write_split(path: Path, data: DataSet, parts: Mapping[str, str]) -> None:
    """``split.csv``: image, label, split, group, site; the image is the sample's id."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["image", "label", "split", "group", "site"])
    for sample in data.samples:
        label = label_name(sample.label, data.classes)
        writer.writerow([sample.id, label, parts[sample.id], sample.group or "", sample.site or ""])
    write_text(path, text.getvalue())


def read_split(run: Path) -> dict[str, str]:
    """Sample id → part, as stored with the run. Raises RunError."""
    try:
        with (run / "split.csv").open(encoding="utf-8", newline="") as file:
            return {row["image"]: row["split"] for row in csv.DictReader(file, strict=True)}
    except (OSError, UnicodeDecodeError, KeyError, csv.Error) as error:
        raise RunError(f"{run / 'split.csv'} is missing or unreadable ({error})", _FIT_AGAIN) from error


@dataclass(frozen=True)
class _Local:
    data: str


def data_of(run: Path) -> Path | None:
    """Where ``fit`` found the data on this machine; None where the run does not say."""
    try:
        return Path(records.read_file(_Local, run / LOCAL, RunError, _FIT_AGAIN).data)
    except RunError:
        return None


def load_run(run: Path) -> TrainingRun:
    """Read a finished run folder and its best weights.

    Raises RunError: no such folder, an unfinished run, a file that is missing or corrupt, a checkpoint whose
    architecture, classes or shapes do not fit, weights that are not finite.
    """
    if not run.is_dir():
        raise RunError(f"there is no run folder {run}", "give the --out folder of `fieldlens train fit`")
    stored = _json(run / "config.json")
    facts, config = _run_facts(run), _config(run, stored)
    ids = [info.id for info in facts.classes]
    operating_point = _operating_point(run, ids)
    return TrainingRun(
        path=run,
        config=config,
        name=facts.name,
        task=facts.task,
        classes=facts.classes,
        arch=facts.arch,
        dropout=facts.dropout,
        preprocess=facts.preprocess,
        model=_model(run / "best.pt", facts.arch, ids, facts.dropout, config.model),
        data=facts.data,
        operating_point=operating_point,
        weights=facts.weights,
        versions=facts.versions,
        commit=facts.commit,
        seed=facts.seed,
        ungrouped=facts.ungrouped,
        skipped=facts.skipped,
        near_duplicates=facts.near_duplicates,
        notes=tuple(retired(stored)),
    )


def _run_facts(run: Path) -> _RunForm:
    path, value = run / "run.json", _json(run / "run.json")
    found = value.get("format") if isinstance(value, dict) else None
    if found != FORMAT:
        raise RunError(f"{path} has format {found}; this version reads {FORMAT}", _FIT_AGAIN)
    if isinstance(value.get("data"), dict):
        value["data"].pop("shareable", None)  # written by older versions; nothing is inherited from it
    return records.read(_RunForm, value, f"{run.name}/run.json", RunError, renew=_FIT_AGAIN)


def _config(run: Path, stored: Any) -> Config:
    try:
        return config_from_json(stored)
    except ConfigError as error:
        raise RunError(f"{run.name}/config.json: {error.message} ({error.hint})", _FIT_AGAIN) from error


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        hint = "the run is unfinished or was interrupted; " if path.name == "operating-point.json" else ""
        raise RunError(f"{path} is missing", hint + _FIT_AGAIN) from error
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise RunError(f"{path} cannot be read: {error}", _FIT_AGAIN) from error


def _operating_point(run: Path, ids: list[str]) -> OperatingPoint:
    where = f"{run.name}/operating-point.json"
    form = records.read(
        _OperatingPointForm, _json(run / "operating-point.json"), where, RunError, renew=_FIT_AGAIN
    )  # fmt: skip
    return OperatingPoint(
        form.temperature, decision_from_json(form.decision, ids, RunError, f"{where}.decision", _FIT_AGAIN)
    )


def _model(path: Path, arch: str, ids: list[str], dropout: float, shape: ModelConfig) -> nn.Module:
    value = read_checkpoint(path)
    for key, asked in (("output_stride", shape.output_stride), ("stages", shape.stages)):
        if value.get(key, getattr(ModelConfig, key)) != asked:  # older ones do not name them
            raise RunError(f"{path}: {key} is {value.get(key)!r}, config.json says {asked}", _FIT_AGAIN)
    for key, wanted in (("arch", arch), ("classes", ids), ("dropout", dropout)):
        if value.get(key) != wanted:
            raise RunError(f"{path}: {key} is {value.get(key)!r}, run.json says {wanted!r}", _FIT_AGAIN)
    model = model_of(replace(shape, arch=arch, dropout=dropout), len(ids))
    try:
        model.load_state_dict(value["model"])
    except RuntimeError as error:
        raise RunError(f"{path}: the weights do not fit {arch} with {len(ids)} classes: {error}", _FIT_AGAIN) from error
    broken = [name for name, tensor in model.state_dict().items() if not _finite(tensor)]
    if broken:
        raise RunError(f"{path}: {len(broken)} tensors are not finite (for example {broken[0]})", _FIT_AGAIN)
    return model.eval()


def _finite(tensor: Tensor) -> bool:
    return not tensor.is_floating_point() or bool(torch.isfinite(tensor).all())
