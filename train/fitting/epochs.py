"""All epochs of a run, stage by stage; the best weights and the state to go on from are kept on disk meanwhile."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from fieldlens.runtime.bundle.area_name import area_name
from fieldlens.runtime.bundle.decision import calibrated
from fieldlens.runtime.files.atomic import write_bytes
from fieldlens.runtime.terminal.reporter import SILENT, Progress, Reporter
from fieldlens.train.checkpoint import FORMAT, write_checkpoint
from fieldlens.train.config import Config, TrainConfig
from fieldlens.train.epoch.augment import Augment
from fieldlens.train.epoch.distributed import Ranks
from fieldlens.train.epoch.ema import Ema
from fieldlens.train.epoch.history import EpochRow, History
from fieldlens.train.epoch.loop import EpochResult, Trainer, predict
from fieldlens.train.epoch.loss import make_loss
from fieldlens.train.epoch.sampling import epoch_size, steps_in
from fieldlens.train.epoch.schedule import first_whole_stage, plateau_drops, stages_of
from fieldlens.train.fitting import plots
from fieldlens.train.fitting.run_data import RunData
from fieldlens.train.metrics import accuracy, auc, balanced_accuracy, log_loss, quadratic_kappa

SPARING = 20
"""Seconds between two savings, in times of what the first of them took: small sets have epochs of half a second, and a
state of 180 MB takes as long to write."""


class Fitting:
    """A network, its averaged weights and its history, from the first epoch or from a stored state."""

    def __init__(
        self, config: Config, model: nn.Module, material: RunData, run: Path, ranks: Ranks,
        state: Mapping[str, Any] | None, reporter: Reporter = SILENT,
    ) -> None:  # fmt: skip
        self._reporter = reporter
        self._config, self._material, self._run, self._ranks = config, material, run, ranks
        self.model, self._state = model, state
        self._unsaved_best: dict[str, Any] | None = None
        self._unsaved, self._saved, self._saving_s = False, 0.0, 0.0
        self._ema = Ema(model, config.train.ema) if config.train.ema else None
        whole = first_whole_stage(config.train)
        self.history = History(config.train.metric, first_stage=whole)
        if state:
            self.history = History.from_plain(config.train.metric, state["history"], whole)
            model.load_state_dict(state["model"])
            if self._ema:
                self._ema.load(state["ema"])

    def train(self) -> History:
        """All that is left. Raises FitError for a loss that is not finite."""
        options, rows = self._config.train, self.history.rows
        steps = steps_in(self._material.train.labels, options, self._ranks.world)
        seen = self._reporter if self._ranks.main else SILENT
        with seen.progress("fit", options.epochs * steps, done=len(rows) * steps, unit="step") as bar:
            for number, stage in enumerate(stages_of(options), 1):
                if not rows or rows[-1].stage <= number:
                    self._stage(number, stage, bar)
        return self.history

    def _stage(self, number: int, options: TrainConfig, bar: Progress) -> None:
        """One stage's epochs that are left; early stopping ends the stage, and the next one begins."""
        history, train = self.history, self._material.train
        done = len(history.merits(number))
        device = next(self.model.parameters()).device
        loss = make_loss(options, train.labels, len(self._material.data.classes), device)
        first = len(history.rows) - done
        trainer = Trainer(self.model, loss, Augment(self._config.augment), options, self._ranks, self._ema, first)
        if done and self._state:
            trainer.load(self._state)
        while len(history.merits(number)) < options.epochs and not history.stale(options.patience, number):
            began = time.perf_counter()
            drops = plateau_drops(history.merits(number), options.plateau_epochs)
            result = trainer.epoch(len(history.rows), train, lambda _: bar.update(), drops)
            row = self._ranks.same(self._judged(number, options, result, began) if self._ranks.main else None)
            assert row is not None
            best = history.add(row)
            if self._ranks.main:
                self._keep(trainer, best)
            area = area_name(self._config.data.task, len(self._material.data.classes))
            self._reporter.say(_epoch_line(row, self._config.train.epochs, best, area))
        if self._unsaved:
            self._save(trainer)
        if history.stale(options.patience, number):
            self._reporter.say(f"stopped early: no better {options.metric} in {options.patience} epochs")

    @property
    def judging(self) -> nn.Module:
        """The averaged weights where there are any: they are judged, and kept if best."""
        return self._ema.model if self._ema else self.model

    def _judged(self, stage: int, options: TrainConfig, result: EpochResult, began: float) -> EpochRow:
        """Validation after an epoch, in FP32, at the stage's size."""
        trained = time.perf_counter() - began
        config, val = self._config, self._material.val
        logits, labels = predict(self.judging, val.images, shrink=options.shrink), val.labels
        probabilities = calibrated(logits, 1.0, config.data.task)
        kappa = math.nan
        if config.data.ordinal:
            kappa = quadratic_kappa(np.argmax(logits, axis=1), labels, logits.shape[1])
        judged = len(self.history.merits(stage)) + 1 > options.judge_from * options.epochs
        return EpochRow(
            len(self.history.rows) + 1, result.lr, result.loss, result.accuracy, log_loss(logits, labels),
            accuracy(probabilities, labels), balanced_accuracy(probabilities, labels), auc(probabilities, labels),
            epoch_size(self._material.train.labels, config.train) / trained, time.perf_counter() - began, kappa,
            stage, judged,
        )  # fmt: skip

    def _keep(self, trainer: Trainer, best: bool) -> None:
        """The best weights to memory, the table to disk; the rest as often as that costs a twentieth of the time."""
        config, history = self._config, self.history
        if best:
            row = history.rows[-1]
            self._unsaved_best = {
                "format": FORMAT, "arch": config.model.arch, "classes": list(self._material.data.classes),
                "dropout": config.model.dropout, "output_stride": config.model.output_stride,
                "stages": config.model.stages, "epoch": row.epoch,
                "metric": {"name": history.metric, "value": getattr(row, history.metric)},
                "model": {name: tensor.clone() for name, tensor in _plain(self.judging).items()},
            }  # fmt: skip
        history.write(self._run / "metrics.csv")
        self._unsaved = True
        if time.perf_counter() - self._saved >= SPARING * self._saving_s:
            self._save(trainer)

    def _save(self, trainer: Trainer) -> None:
        """``best.pt`` first: killed between the two, a run goes on from an epoch before and writes it again."""
        began, history, run = time.perf_counter(), self.history, self._run
        if self._unsaved_best:
            write_checkpoint(run / "best.pt", self._unsaved_best)
            self._unsaved_best = None
        epoch = history.rows[-1].epoch
        state = {"format": FORMAT, "epoch": epoch, "history": history.to_plain(), "model": _plain(self.model)}
        average = {"ema": self._ema.state()} if self._ema else {}
        write_checkpoint(run / "last.pt", {**state, **average, **trainer.state()})
        write_bytes(run / "curves.png", plots.curves(history.rows, history.best.epoch, self._config.recipe.name))
        self._unsaved, self._saved = False, time.perf_counter()
        self._saving_s = self._saved - began


def _plain(model: nn.Module) -> dict[str, Any]:
    return {name: tensor.cpu().contiguous() for name, tensor in model.state_dict().items()}


def _epoch_line(row: EpochRow, epochs: int, best: bool, area: str) -> str:
    left = (epochs - row.epoch) * row.seconds
    return (
        f"epoch {row.epoch:>3}/{epochs}  loss {row.train_loss:.4f}  val loss {row.val_loss:.4f}  "
        f"acc {row.val_accuracy:.4f}  {area} {row.val_auc:.4f}  {row.images_per_second:.0f} img/s  "
        f"left {int(left) // 60}:{int(left) % 60:02d}{'  *' if best else ''}"
    )
