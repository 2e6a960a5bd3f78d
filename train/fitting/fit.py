"""``fit``: data → split → cache → epochs → best checkpoint → operating point. Writes the run folder."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from fieldlens.runtime.files.atomic import alone, write_json
from fieldlens.runtime.terminal.reporter import SILENT, Reporter
from fieldlens.train.checkpoint import LOCAL, read_checkpoint
from fieldlens.train.config import Config
from fieldlens.train.data.load import load_split
from fieldlens.train.data.samples import DataSet
from fieldlens.train.data.splits import Split
from fieldlens.train.decide.operating_point import check_decision
from fieldlens.train.epoch.distributed import Ranks, joined, started_as
from fieldlens.train.epoch.history import History
from fieldlens.train.epoch.loop import pick_device
from fieldlens.train.epoch.schedule import first_whole_stage
from fieldlens.train.fitting.epochs import Fitting
from fieldlens.train.fitting.finish import finish
from fieldlens.train.fitting.inner_folds import advice, inner_splits
from fieldlens.train.fitting.refit import check_refit
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
            check_refit(config, ranks.world)
            splits = inner_splits(config, data, parts, ranks.world)
            material = decode(config, data, parts, run, ranks, reporter)
            if state == NEW and ranks.main:
                write_facts(run, config, material, recorded, reporter)
            if data_path is not None and ranks.main:
                write_json(run / LOCAL, {"data": str(data_path.resolve())})
            model, history = _train(config, model.to(device), material, run, ranks, state, reporter)
            if ranks.main:
                finish(config, model, material, history, splits, run, weights, reporter)
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
