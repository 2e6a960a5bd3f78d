"""``fit``: data → split → cache → epochs → best checkpoint → operating point. Writes the run folder."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from fieldlens.runtime.bundle.band import band_promise_of
from fieldlens.runtime.bundle.decision import Decision
from fieldlens.runtime.bundle.promise import promise_of
from fieldlens.runtime.files.atomic import alone, write_json
from fieldlens.runtime.terminal.reporter import SILENT, Reporter
from fieldlens.train.checkpoint import LOCAL, read_checkpoint
from fieldlens.train.config import Config
from fieldlens.train.data.load import load_split
from fieldlens.train.data.samples import DataSet
from fieldlens.train.data.splits import Split
from fieldlens.train.decide.operating_point import OperatingPoint, check_decision, fit_operating_point
from fieldlens.train.decide.pooled import carried_over, pooled_point, said, with_carried
from fieldlens.train.decide.quality_gate import fit_gate, shorter_sides, write_gate
from fieldlens.train.epoch.distributed import Ranks, joined, started_as
from fieldlens.train.epoch.history import History
from fieldlens.train.epoch.loop import pick_device, predict
from fieldlens.train.epoch.schedule import first_whole_stage
from fieldlens.train.fitting.epochs import Fitting
from fieldlens.train.fitting.inner_folds import OutOfFold, advice, inner_splits, out_of_fold
from fieldlens.train.fitting.resume import FINISHED, NEW, UNFINISHED, alone_in, check_same, last_state, state_of
from fieldlens.train.fitting.run_data import CACHE, RunData, decode, describe_split, write_facts
from fieldlens.train.model import load_weights, model_of


def fit(
    config: Config, data_path: Path, run: Path, weights: str = "none", *, resume: bool = False,
    ungrouped: bool = False, skip_bad: bool = False, reporter: Reporter = SILENT,
) -> History:  # fmt: skip
    """Read ``data_path``, split it, and train into the folder ``run``; its last file is ``operating-point.json``.

    ``resume`` goes on in an unfinished run, and says so of a finished one; ``ungrouped`` and ``skip_bad`` are the
    switches of ``[data]``. Raises KitError: bad data, a split that cannot be honest, unreadable images, a run
    folder in use or begun otherwise, weights that cannot be had, a loss that is not finite.
    """
    own = config.data
    own = replace(own, ungrouped=own.ungrouped or ungrouped, skip_bad=own.skip_bad or skip_bad)
    config = replace(config, data=own)
    if not started_as().main:  # the others come later, when it may have begun
        return _fit(config, *load_split(data_path, own, run), run, weights, resume, data_path, reporter)
    with alone(run):  # this and the next before minutes of reading
        state_of(run, resume)
        data, parts = load_split(data_path, own, run)
        history = _fit(config, data, parts, run, weights, resume, data_path, reporter)
        if more := advice(config, data, parts, history):
            reporter.say(more)
        return history


def fit_parts(
    config: Config, data: DataSet, parts: Split, run: Path, weights: str = "none", *, resume: bool = False,
    reporter: Reporter = SILENT,
) -> History:  # fmt: skip
    """Train into ``run`` on a split of one's own (sample id → part), as :func:`fit` does on the recipe's."""
    return _fit(config, data, parts, run, weights, resume, None, reporter)


def _fit(
    config: Config, data: DataSet, parts: Split, run: Path, weights: str, resume: bool, data_path: Path | None,
    reporter: Reporter,
) -> History:  # fmt: skip
    if config.train.threads:
        torch.set_num_threads(config.train.threads)
    check_decision(config.decision, data.classes, config.data.task)
    device = pick_device(config.train.device)
    with joined(device) as ranks:
        state = ranks.same(state_of(run, resume) if ranks.main else "")
        if state == FINISHED:
            reporter.say(f"the run in {run} is finished: nothing to do")
            stored = read_checkpoint(run / "last.pt")["history"]
            return History.from_plain(config.train.metric, stored, first_whole_stage(config.train))
        if ranks.main:  # the others need not read every file for the hash
            reporter.say(describe_split(data, parts))
        torch.manual_seed(config.train.seed)
        model = model_of(config.model, len(data.classes))
        recorded = load_weights(model, config.model.arch, weights, reporter)
        with alone_in(run) if ranks.main else contextlib.nullcontext():
            if state == UNFINISHED and ranks.main:
                check_same(run, config, data, parts, recorded)
            splits = inner_splits(config, data, parts, ranks.world)
            material = decode(config, data, parts, run, ranks, reporter)
            if state == NEW and ranks.main:
                write_facts(run, config, material, recorded, reporter)
            if data_path is not None and ranks.main:
                write_json(run / LOCAL, {"data": str(data_path.resolve())})
            model, history = _train(config, model.to(device), material, run, ranks, state, reporter)
            if ranks.main:
                inner = out_of_fold(config, material, splits, run, weights, reporter) if splits else None
                _finish(config, model, material, inner, run, reporter)
            ranks.wait()
            return history


def _train(
    config: Config, model: nn.Module, material: RunData, run: Path, ranks: Ranks, state: str, reporter: Reporter
) -> tuple[nn.Module, History]:
    """What is left of the epochs; rank 0's network has the best weights then."""
    model = ranks.synchronised(model.to(memory_format=torch.channels_last))
    stored = last_state(run) if state == UNFINISHED else None
    if state == UNFINISHED:
        reporter.say(f"going on after epoch {stored['epoch'] if stored else 0}")
    history = Fitting(config, model, material, run, ranks, stored, reporter).train()
    if ranks.main:
        (run / CACHE).unlink(missing_ok=True)
        model.load_state_dict(read_checkpoint(run / "best.pt")["model"])
    return model, history


def _finish(
    config: Config, model: nn.Module, material: RunData, inner: OutOfFold | None, run: Path, reporter: Reporter
) -> None:
    """Temperature and decision on validation, or by ``inner`` scores; written last: their file says that the run is
    whole. The quality gate is fitted before."""
    logits, val, classes = predict(model, material.val.images), material.val, material.data.classes
    if inner is None:
        point, value = fit_operating_point(logits, val.labels, classes, val.groups, config.decision)
    else:
        inner = inner.on_scale_of(logits)
        point, value = pooled_point(
            inner.logits, inner.labels, classes, inner.groups, config.decision, inner.networks
        )  # fmt: skip
        value = with_carried(value, carried_over(logits, inner.of(val.samples), val.labels, classes, point))
    sides = shorter_sides(material.data, material.train.samples)
    write_gate(run, fit_gate(model, material.train, material.val, sides))
    write_json(run / "operating-point.json", value)
    reporter.say(
        f"temperature {point.temperature:.3f}; ECE {value['ece_before']:.3f} → {value['ece_after']:.3f} "
        f"on {value['fitted_on']['split']}"
    )
    _say_decision(point, value, run, reporter)


def _say_decision(point: OperatingPoint, value: dict[str, Any], run: Path, reporter: Reporter) -> None:
    """What was chosen, on what, and what it promises."""
    if point.decision:
        reached = point.decision.reached
        where = "validation" if value["fitted_on"]["split"] == "val" else "out-of-fold images"
        reporter.say(
            f"refer when {_rule(point.decision)}, "
            f"uncertain within {point.decision.band[0]:.3f}–{point.decision.band[1]:.3f}; on {where} "
            f"sensitivity {_told(reached['sensitivity'])}, specificity {_told(reached['specificity'])} "
            f"(n={reached['n']}), uncertain {reached['uncertain']:.1%}"
        )
        if promise := promise_of(reached):
            reporter.say(f"{'promise' if promise.kept else 'too few to promise the target'}: {promise.words()}")
        ends = band_promise_of(reached)
        if ends and point.decision.band[0] < point.decision.band[1]:
            reporter.say(f"the band: {ends.words()}")
        if "carried_over" in value:
            reporter.say(said(value["carried_over"], run.name, value["fitted_on"]["networks"]))


def _told(figure: float | None) -> str:
    """None where validation has nobody to count."""
    return "unknown" if figure is None else f"{figure:.3f}"


def _rule(decision: Decision) -> str:
    """``P(a + b) >= 0.300``, or ``any of P(a) >= 0.300, P(b) >= 0.120``."""
    if decision.rule == "sum":
        return f"P({' + '.join(decision.positive)}) >= {decision.threshold:.3f}"
    return "any of " + ", ".join(f"P({name}) >= {border:.3f}" for name, border in decision.thresholds.items())
