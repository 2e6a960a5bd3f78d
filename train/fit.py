"""``fit``: data → split → cache → epochs → best checkpoint → operating point. Writes the run folder."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import torch
from torch import nn
from tqdm import tqdm

from runtime.atomic import write_bytes, write_json
from runtime.decision import calibrated
from train import plots
from train.augment import Augment
from train.checkpoint import FORMAT, LOCAL, read_checkpoint, write_checkpoint
from train.config import Config
from train.data import load_data
from train.errors import RunError
from train.gate import fit_gate, shorter_sides, write_gate
from train.history import EpochRow, History
from train.loop import EpochResult, Trainer, make_loss, pick_device, predict, steps_in
from train.material import CACHE, Material, decode, describe_split, write_facts
from train.metrics import accuracy, auc, balanced_accuracy, log_loss
from train.model import build_model, load_weights
from train.operating_point import check_decision, fit_operating_point
from train.schedule import make_optimizer
from train.splits import split


def fit(config: Config, data_path: Path, run: Path, weights: str = "none") -> History:
    """Train into the folder ``run``; its last file is ``operating-point.json``.

    Raises KitError: bad data, a split that cannot be honest, unreadable pictures, a run folder in use, weights that
    cannot be had, a loss that is not finite.
    """
    _refuse_used(run)
    if config.train.threads:
        torch.set_num_threads(config.train.threads)
    data = load_data(data_path, config.data)
    check_decision(config.decision, data.classes)
    parts = split(data, config.data)
    print(describe_split(data, parts))
    torch.manual_seed(config.train.seed)
    device = pick_device(config.train.device)
    model = build_model(config.model.arch, len(data.classes), config.model.dropout)
    recorded = load_weights(model, config.model.arch, weights)
    run.mkdir(parents=True, exist_ok=True)
    material = decode(config, data, parts, run)
    write_facts(run, config, material, recorded)
    write_json(run / LOCAL, {"data": str(data_path.resolve())})
    model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    history = _train(config, model, material, run)
    model.load_state_dict(read_checkpoint(run / "best.pt")["model"])
    _finish(config, model, material, run)
    return history


def _refuse_used(run: Path) -> None:
    if run.exists() and (not run.is_dir() or any(run.iterdir())):
        unfinished = run.is_dir() and not (run / "operating-point.json").exists()
        state = " with an unfinished run" if unfinished and (run / "run.json").exists() else ""
        raise RunError(f"{run} exists and is not empty{state}", "choose another --out, or remove the folder first")


def _train(config: Config, model: nn.Module, material: Material, run: Path) -> History:
    """All epochs, with the best one's checkpoint and the resume state on disk after each."""
    options, train = config.train, material.train
    device = next(model.parameters()).device
    loss = make_loss(options, train.labels, len(material.data.classes), device)
    trainer = Trainer(model, make_optimizer(model, options), loss, Augment(config.augment), options)
    history = History(options.metric)
    total = options.epochs * steps_in(len(train), options)
    with tqdm(total=total, desc="fit", unit="step", disable=None, dynamic_ncols=True) as bar:
        for epoch in range(options.epochs):
            began = time.perf_counter()
            result = trainer.epoch(epoch, train, lambda _: bar.update() and None)
            row = _judged(epoch, result, model, material, began)
            best = history.add(row)
            _save(run, config, material, trainer, history, best)
            _say(_epoch_line(row, options.epochs, best))
            if history.stale(options.patience):
                _say(f"stopped early: no better {options.metric} in {options.patience} epochs")
                break
    (run / CACHE).unlink(missing_ok=True)
    return history


def _say(line: str) -> None:
    """A line above the progress bar, at once, also where the output is a file that somebody follows."""
    tqdm.write(line)
    sys.stdout.flush()


def _judged(epoch: int, result: EpochResult, model: nn.Module, material: Material, began: float) -> EpochRow:
    """Validation after an epoch."""
    trained = time.perf_counter() - began
    logits, labels = predict(model, material.val.images), material.val.labels
    probabilities = calibrated(logits, 1.0, "multiclass")
    return EpochRow(
        epoch + 1, result.lr, result.loss, result.accuracy, log_loss(logits, labels), accuracy(probabilities, labels),
        balanced_accuracy(probabilities, labels), auc(probabilities, labels),
        len(material.train) / trained, time.perf_counter() - began,
    )  # fmt: skip


def _save(run: Path, config: Config, material: Material, trainer: Trainer, history: History, best: bool) -> None:
    row = history.rows[-1]
    weights = {name: tensor.cpu().contiguous() for name, tensor in trainer.model.state_dict().items()}
    if best:
        value = {
            "format": FORMAT, "arch": config.model.arch, "classes": list(material.data.classes),
            "dropout": config.model.dropout, "epoch": row.epoch,
            "metric": {"name": history.metric, "value": getattr(row, history.metric)}, "model": weights,
        }  # fmt: skip
        write_checkpoint(run / "best.pt", value)
    state = {"format": FORMAT, "epoch": row.epoch, "history": history.to_plain(), "model": weights}
    write_checkpoint(run / "last.pt", {**state, "optimizer": trainer.optimizer.state_dict()})
    history.write(run / "metrics.csv")
    write_bytes(run / "curves.png", plots.curves(history.rows, history.best.epoch, config.recipe.name))


def _epoch_line(row: EpochRow, epochs: int, best: bool) -> str:
    left = (epochs - row.epoch) * row.seconds
    return (
        f"epoch {row.epoch:>3}/{epochs}  loss {row.train_loss:.4f}  val loss {row.val_loss:.4f}  "
        f"acc {row.val_accuracy:.4f}  auc {row.val_auc:.4f}  {row.images_per_second:.0f} img/s  "
        f"left {int(left) // 60}:{int(left) % 60:02d}{'  *' if best else ''}"
    )


def _finish(config: Config, model: nn.Module, material: Material, run: Path) -> None:
    """Temperature and decision on validation, written last: their file says that the run is whole."""
    logits = predict(model, material.val.images)
    point, value = fit_operating_point(
        logits, material.val.labels, material.data.classes, material.val.groups, config.decision
    )
    sides = shorter_sides(material.data, material.train.samples)
    write_gate(run, fit_gate(model, material.train, material.val, sides))
    write_json(run / "operating-point.json", value)
    print(f"temperature {point.temperature:.3f}; ECE {value['ece_before']:.3f} → {value['ece_after']:.3f} on val")
    if point.decision:
        reached = point.decision.reached
        print(
            f"refer when P({' + '.join(point.decision.positive)}) >= {point.decision.threshold:.3f}, "
            f"uncertain within {point.decision.band[0]:.3f}–{point.decision.band[1]:.3f}; on validation "
            f"sensitivity {reached['sensitivity']:.3f}, specificity {reached['specificity']:.3f} (n={reached['n']})"
        )
