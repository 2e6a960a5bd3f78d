"""What a learning curve keeps on disk to go on from: how it was begun, and every network's scores."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from fieldlens.runtime.files import atomic, records
from fieldlens.train.config import Config
from fieldlens.train.data.samples import DataSet
from fieldlens.train.data.splits import split_hash
from fieldlens.train.errors import RunError
from fieldlens.train.learning_curve.draws import Draw, DrawPlan
from fieldlens.train.weights.formula import source_of

STATE, DRAWS = "state.json", "draws"
_AGAIN = "choose another --out, or remove the folder first"


@dataclass(frozen=True)
class Begun:
    """``state.json``: what must be the same to go on. Hashes are SHA-256. Sizes and draws may be added."""

    config: dict[str, Any]
    data: str
    judged: str
    weights: str


@dataclass(frozen=True)
class Judged:
    """``draws/….json``: one network's scores of the images judged by. ``split``: hash of what it was trained on."""

    size: int
    draw: int
    images: int
    split: str
    epoch: int
    seconds: float
    auc: float | None
    accuracy: float
    logits: tuple[tuple[float, ...], ...]


def claim(out: Path, config: Config, data: DataSet, planned: DrawPlan, weights: str) -> None:
    """A new folder, or one that was begun with the very same settings. Raises RunError."""
    file = Path(source_of(weights, config.model.arch))
    start = hashlib.sha256(file.read_bytes()).hexdigest() if file.is_file() else weights
    apart = split_hash({sample.id: planned.kind for sample in planned.judged})
    now, path = Begun(config.to_json(), data.hash, apart, start), out / STATE
    if not path.is_file():
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise RunError(f"{out} exists and is not a learning curve", "choose another --out, or remove it first")
        atomic.make_folder(out)
        atomic.write_json(path, asdict(now))
        return
    before = records.read_file(Begun, path, RunError, _AGAIN)
    changed = [item.name for item in fields(now) if getattr(before, item.name) != getattr(now, item.name)]
    if "judged" in changed:
        changed[changed.index("judged")] = "the images that judge: --test, --apart"
    if "config" in changed:
        old = before.config
        keys = [f"{s}.{k}" for s, new in now.config.items() for k in new if old.get(s, {}).get(k) != new[k]]
        changed[changed.index("config")] = ", ".join(keys)
    if changed:
        raise RunError(
            f"{out} was begun with other settings ({', '.join(changed)})",
            "go on with the same recipe, data, weights and --set, or choose another --out",
        )


def keep(out: Path, draw: Draw, value: Judged) -> None:
    """One network's scores, as soon as it has them."""
    atomic.write_json(out / DRAWS / f"{draw.name}.json", asdict(value))


def stored(out: Path, draw: Draw, judged: int) -> Judged | None:
    """What was scored already; None if it was not, by another version of the kit, or for another draw."""
    try:
        value = records.read_file(Judged, out / DRAWS / f"{draw.name}.json", RunError, "nothing to do: done again")
    except RunError:
        return None
    return value if value.split == split_hash(draw.parts) and len(value.logits) == judged else None
