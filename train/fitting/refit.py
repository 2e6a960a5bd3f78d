"""``train.refit``: the network that is kept learns from the validation images as well.

A small set can hardly spare the 15% that choose epoch, temperature and threshold. So one network is fitted without
them, as always, and chooses. Then another is fitted on training and validation images together, through as many epochs
of each stage as the first one had; its last weights (averaged, with ``train.ema``) are kept. No image is left to judge
or to choose by: temperature, threshold and the distance from which on an image is unknown to the quality gate are those
of the first network (or of the inner folds), and the promise says whose scores it rests on.
"""

from __future__ import annotations

import shutil
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from torch import nn

from fieldlens.runtime.errors import ConfigError
from fieldlens.runtime.files import atomic, records
from fieldlens.runtime.terminal.reporter import SILENT, Progress, Reporter, Silent
from fieldlens.train.checkpoint import read_checkpoint, write_checkpoint
from fieldlens.train.config import Config, TrainConfig
from fieldlens.train.decide.quality_gate import Gate, fit_ood, shorter_sides
from fieldlens.train.decide.quality_limits import fit_quality
from fieldlens.train.epoch.history import History
from fieldlens.train.epoch.loop import predict
from fieldlens.train.errors import RunError
from fieldlens.train.fitting.another import another
from fieldlens.train.fitting.run_data import RunData
from fieldlens.train.metrics import Floats

FOLDER = "refit"
"""In the run folder while the second network is fitted: the state to go on from."""
FIRST = "first.json"
"""What the first network has chosen by. It stays: ``crossval`` wants it."""


@dataclass(frozen=True)
class FirstNetwork:
    """``first.json``: logits ``[n][C]`` of the validation images ``ids`` by the network that had not seen them, and
    the distance within which its quality gate knows an image."""

    ids: tuple[str, ...]
    logits: tuple[tuple[float, ...], ...]
    known_within: float


def check_refit(config: Config, world: int) -> None:
    """To be asked before the images are decoded. Raises ConfigError for several processes."""
    if config.train.refit and world > 1:
        raise ConfigError("train.refit is for one process", "fit without torchrun; such sets are small")


def first_network(run: Path, model: nn.Module, material: RunData) -> FirstNetwork:
    """As it was kept before a stop; else from ``model``, the network that validation has just chosen. Raises RunError
    where only the second network is left."""
    ids = tuple(sample.id for sample in material.val.samples)
    stored = stored_first(run)
    if stored is not None and stored.ids == ids:
        return stored
    if read_checkpoint(run / "best.pt").get("refit"):
        raise RunError(
            f"{run / FIRST} is damaged or missing, and {run / 'best.pt'} has learnt from the images that chose",
            "fit into a new folder",
        )
    ood, _ = fit_ood(model, material.train, material.val)
    logits = np.asarray(predict(model, material.val.images), np.float64)
    found = FirstNetwork(ids, tuple(map(tuple, logits.tolist())), ood["threshold"])
    atomic.write_json(run / FIRST, asdict(found))
    return found


def stored_first(run: Path) -> FirstNetwork | None:
    """What the run has of a first network; None without one."""
    try:
        return records.read_file(FirstNetwork, run / FIRST, RunError, "nothing to do: it is asked again")
    except RunError:
        return None


def logits_of(first: FirstNetwork) -> Floats:
    """``[n,C]``."""
    return np.array(first.logits, np.float64)


def refitted(
    config: Config, material: RunData, history: History, run: Path, weights: str, reporter: Reporter = SILENT
) -> nn.Module:
    """The network that has learnt from everything; ``best.pt`` holds it then. Goes on after a stop."""
    whole, place = material.everything(), run / FOLDER
    reporter.say(f"refit: one more network, on all {len(whole)} training and validation images; it is the one kept")
    options = replace(config, train=_same_epochs(config.train, history))
    learnt = replace(material, train=whole)  # its figures on validation mean nothing, and nobody is told them
    fitting = another(options, learnt, place, weights, _OnlyBars(reporter))
    fitting.train()
    kept = fitting.judging
    stored = read_checkpoint(run / "best.pt")
    tensors = {name: tensor.cpu().contiguous() for name, tensor in kept.state_dict().items()}
    write_checkpoint(run / "best.pt", {**stored, "model": tensors, "refit": True})
    return kept


def swept(run: Path) -> None:
    """Remove the second network's state, which only an unfinished run needs."""
    shutil.rmtree(run / FOLDER, ignore_errors=True)


def refitted_gate(first: FirstNetwork, model: nn.Module, material: RunData) -> Gate:
    """The kept network's gate. It has learnt from the validation images, so how far away new ones may lie is what the
    first network's gate measured on them. Quality is that of a plain fit: no network has a part in it."""
    train, val, whole = material.train, material.val, material.everything()
    ood, arrays = fit_ood(model, whole, val)
    ood |= {"threshold": first.known_within, "fitted_on": {"train": len(whole), "val": 0}}
    sides = shorter_sides(material.data, train.samples)
    return Gate(fit_quality(train.images, val.images, sides), ood, arrays)


def _same_epochs(train: TrainConfig, history: History) -> TrainConfig:
    """As many epochs of each stage as the first network had before it was stopped, and no stopping."""
    if not train.stages:
        return replace(train, epochs=len(history.rows), patience=0)
    stages = tuple(
        replace(stage, epochs=len(history.merits(number))) for number, stage in enumerate(train.stages, 1)
    )  # fmt: skip
    return replace(train, epochs=sum(stage.epochs for stage in stages), stages=stages, patience=0)


class _OnlyBars(Silent):
    """Shows progress and says nothing."""

    def __init__(self, shown: Reporter) -> None:
        self._shown = shown

    def progress(self, title: str, total: int, done: int = 0, unit: str = "it") -> AbstractContextManager[Progress]:
        """As the other's."""
        return self._shown.progress(f"re{title}", total, done, unit)
