"""The run folder: what ``fit`` writes and ``convert`` and ``evaluate`` read. Atomic to write, strict to read."""

from __future__ import annotations

import csv
import io
import json
import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from fieldlens.runtime.bundle.decision import TASKS, decision_from_json
from fieldlens.runtime.bundle.manifest import ClassInfo
from fieldlens.runtime.fields import Fields
from fieldlens.runtime.files.atomic import write_bytes, write_text
from fieldlens.runtime.pixels.steps import Step, steps_from_json
from fieldlens.train.config import ARCHS, Config
from fieldlens.train.data.samples import DataSet, label_name
from fieldlens.train.decide.operating_point import OperatingPoint
from fieldlens.train.errors import RunError
from fieldlens.train.model import build_model
from fieldlens.train.recipe import config_from_json

FORMAT = 1
LOCAL = "local.json"
"""Where the data lies on this machine, for ``evaluate``. It does not travel."""

_FIT_AGAIN = "run `python -m train fit` again into a new folder"


@dataclass(frozen=True)
class DataInfo:
    """Which data the run saw. ``path`` is a name without its folder; hashes are SHA-256."""

    path: str
    hash: str
    split_hash: str
    n: dict[str, int]
    groups: int
    shareable: bool


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
        value = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise RunError(f"{path} is missing", _FIT_AGAIN) from error
    except (OSError, RuntimeError, pickle.UnpicklingError, EOFError, ValueError, KeyError) as error:
        reason = (str(error).splitlines() or ["unreadable"])[0]
        raise RunError(f"{path} is truncated or corrupt: {reason}", _FIT_AGAIN) from error
    if not isinstance(value, dict) or value.get("format") != FORMAT or not isinstance(value.get("model"), dict):
        raise RunError(f"{path} is not a checkpoint of format {FORMAT}", _FIT_AGAIN)
    return value


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
            return {row["image"]: row["split"] for row in csv.DictReader(file)}
    except (OSError, UnicodeDecodeError, KeyError) as error:
        raise RunError(f"{run / 'split.csv'} is missing or unreadable ({error})", _FIT_AGAIN) from error


def load_run(run: Path) -> TrainingRun:
    """Read a finished run folder and its best weights.

    Raises RunError: no such folder, an unfinished run, a file that is missing or corrupt, a checkpoint whose
    architecture, classes or shapes do not fit, weights that are not finite.
    """
    if not run.is_dir():
        raise RunError(f"there is no run folder {run}", "give the --out folder of `python -m train fit`")
    fields = Fields(_json(run / "run.json"), f"{run.name}/run.json", RunError)
    found = fields.take("format", int)
    if found != FORMAT:
        raise RunError(f"{run / 'run.json'} has format {found}; this version reads {FORMAT}", _FIT_AGAIN)
    classes = tuple(_class(item, run) for item in fields.take("classes", list))
    ids = [info.id for info in classes]
    arch = fields.choice("arch", ARCHS)
    dropout = fields.number("dropout", 0.0, 0.9)
    result = TrainingRun(
        path=run,
        config=config_from_json(_json(run / "config.json")),
        name=fields.take("name", str),
        task=fields.choice("task", TASKS),
        classes=classes,
        arch=arch,
        dropout=dropout,
        preprocess=steps_from_json(fields.take("preprocess", list), RunError),
        model=_model(run / "best.pt", arch, ids, dropout),
        data=_data_info(fields.child("data")),
        operating_point=_operating_point(run, ids),
        weights=fields.take("weights", str),
        versions=fields.take("versions", dict),
        commit=fields.take("commit", (str, type(None))),
        seed=fields.take("seed", int),
        ungrouped=fields.take("ungrouped", bool, False),
        skipped=tuple(fields.take("skipped", list, [])),
        near_duplicates=fields.take("near_duplicates", dict, {"count": 0, "pairs": []}),
    )
    fields.done()
    return result


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        hint = "the run is unfinished or was interrupted; " if path.name == "operating-point.json" else ""
        raise RunError(f"{path} is missing", hint + _FIT_AGAIN) from error
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise RunError(f"{path} cannot be read: {error}", _FIT_AGAIN) from error


def _class(value: Any, run: Path) -> ClassInfo:
    fields = Fields(value, f"{run.name}/run.json.classes", RunError)
    info = ClassInfo(fields.take("id", str), fields.take("display", str))
    fields.done()
    return info


def _data_info(fields: Fields) -> DataInfo:
    info = DataInfo(
        fields.take("path", str), fields.take("hash", str), fields.take("split_hash", str), fields.take("n", dict),
        fields.take("groups", int), fields.take("shareable", bool),
    )  # fmt: skip
    fields.done()
    return info


def _operating_point(run: Path, ids: list[str]) -> OperatingPoint:
    fields = Fields(_json(run / "operating-point.json"), f"{run.name}/operating-point.json", RunError)
    temperature = fields.number("temperature", 1e-3, 1e3)
    return OperatingPoint(temperature, decision_from_json(fields.take("decision", (dict, type(None))), ids, RunError))


def _model(path: Path, arch: str, ids: list[str], dropout: float) -> nn.Module:
    value = read_checkpoint(path)
    for key, wanted in (("arch", arch), ("classes", ids), ("dropout", dropout)):
        if value.get(key) != wanted:
            raise RunError(f"{path}: {key} is {value.get(key)!r}, run.json says {wanted!r}", _FIT_AGAIN)
    model = build_model(arch, len(ids), dropout)
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
