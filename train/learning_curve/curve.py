"""``curve``: the draws fitted one after the other, and what they say together.

Each network's scores are kept as a file the moment it has been judged, so a curve that was killed goes on, and one that
is finished takes more sizes or draws without doing anything twice.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from fieldlens.runtime.bundle.decision import calibrated
from fieldlens.runtime.files import atomic
from fieldlens.runtime.terminal.reporter import SILENT, Reporter
from fieldlens.train.checkpoint import load_run
from fieldlens.train.config import Config
from fieldlens.train.data.cache import Tensors, load_tensors
from fieldlens.train.data.duplicates import near_duplicates
from fieldlens.train.data.folds import HELD_OUT
from fieldlens.train.data.load import load_split
from fieldlens.train.data.samples import DataSet, Sample, class_counts
from fieldlens.train.data.splits import split_hash
from fieldlens.train.decide.operating_point import check_decision
from fieldlens.train.epoch.loop import pick_device, predict
from fieldlens.train.errors import listing
from fieldlens.train.fitting.fit import fit_parts
from fieldlens.train.learning_curve.against import gains, other_curve
from fieldlens.train.learning_curve.draws import Draw, DrawPlan, groups_in, plan
from fieldlens.train.learning_curve.kept import Judged, claim, keep, stored
from fieldlens.train.learning_curve.summary import CurveReport, report, shown
from fieldlens.train.metrics import accuracy, auc

FITTING = "fitting"


@dataclass(frozen=True)
class CurveOptions:
    """``sizes``: images of each draw, validation among them; ``test``: judge by the test part, which counts as a look
    for every network; ``apart``: the share kept apart to judge by where the data has no validation part of its own;
    ``more``: the images that the forecast adds; ``against``: the folder of another curve, to be compared with."""

    sizes: tuple[int, ...] = (100, 200, 500)
    draws: int = 5
    test: bool = False
    apart: float = 0.25
    more: int = 500
    against: Path | None = None


def curve(
    config: Config, data_path: Path, out: Path, options: CurveOptions, weights: str = "none", *,
    ungrouped: bool = False, skip_bad: bool = False, reporter: Reporter = SILENT,
) -> CurveReport:  # fmt: skip
    """Fit and judge every draw of every size; write ``curve.json`` and ``curve.png``.

    Raises KitError: as ``fit``; sizes that cannot be drawn; a folder that holds something else, or was begun with
    another recipe, other data or weights; another curve that cannot be compared with this.
    """
    own = config.data
    config = replace(config, data=replace(own, ungrouped=own.ungrouped or ungrouped, skip_bad=own.skip_bad or skip_bad))
    config = replace(config, decision=replace(config.decision, inner_folds=0))  # thresholds play no part here
    with atomic.alone(out):
        data, _ = load_split(data_path, config.data, out)
        check_decision(config.decision, data.classes, config.data.task)
        planned = plan(data, config, sorted(set(options.sizes)), options.draws, options.test, options.apart)
        claim(out, config, data, planned, weights)
        if data.private is not None:
            data.private.keep(out)
        other = options.against
        theirs = None if other is None else other_curve(other, out, planned.draws, len(planned.judged))
        _describe(data, planned, reporter)
        judged = _all(out, config, data, planned, weights, reporter)
        beside = None if other is None or theirs is None else (other, gains(judged, theirs))
        return report(out, config, data, planned, options.more, judged, weights, beside)


def _describe(data: DataSet, planned: DrawPlan, reporter: Reporter) -> None:
    def counted(samples: Sequence[Sample]) -> str:
        counts = class_counts(samples, data.classes)
        classes = ", ".join(f"{name} {count}" for name, count in zip(data.classes, counts, strict=True))
        groups = f" of {groups_in(samples)} groups" if data.grouped else ""
        return f"{len(samples)} images{groups} ({classes})"

    reporter.say(f"judged by {counted(planned.judged)}: {planned.kind}")
    reporter.say(f"drawn from {counted(planned.pool)}")
    if not data.grouped:
        reporter.say("no group column: images of one person may be among those drawn and those that judge")
    sides = {sample.id: HELD_OUT for sample in data.samples}
    sides |= {sample.id: "train" for sample in planned.pool} | {sample.id: "test" for sample in planned.judged}
    if pairs := near_duplicates(data, sides):
        named = [f"{pair.first} (drawn from) and {pair.second} (judges)" for pair in pairs]
        reporter.say(listing("warning: nearly the same image on two sides", named))


def _all(
    out: Path, config: Config, data: DataSet, planned: DrawPlan, weights: str, reporter: Reporter
) -> list[Judged]:  # fmt: skip
    """Every draw's scores, in the plan's order."""
    found = [stored(out, draw, len(planned.judged)) for draw in planned.draws]
    if None not in found:
        reporter.say("every draw is finished: nothing to train")
        return [each for each in found if each is not None]
    tensors = load_tensors(data, planned.judged, config.preprocess.steps, "decoding", reporter=reporter)
    judged: list[Judged] = []
    left = sum(draw.images for draw, each in zip(planned.draws, found, strict=True) if each is None)
    done, seconds = 0, 0.0
    for place, (draw, before) in enumerate(zip(planned.draws, found, strict=True), 1):
        one = before or _judge(out, config, data, draw, tensors, weights)
        judged.append(one)
        if before is None:
            done, seconds = done + draw.images, seconds + one.seconds
            ahead = int(seconds / done * (left - done))
            reporter.say(
                f"{place:>3}/{len(found)}  {draw.images} images, draw {draw.number}: AUC {shown(one.auc)}, accuracy "
                f"{one.accuracy:.3f}, {one.seconds:.0f} s, left about {ahead // 60}:{ahead % 60:02d}"
            )
    shutil.rmtree(out / FITTING, ignore_errors=True)
    return judged


def _judge(out: Path, config: Config, data: DataSet, draw: Draw, tensors: Tensors, weights: str) -> Judged:
    """Train one network (or go on with it), keep its scores, and remove its run folder: 130 MB each."""
    began, run = time.perf_counter(), out / FITTING / draw.name
    each = replace(config, train=replace(config.train, seed=config.train.seed + draw.number - 1))
    history = fit_parts(each, data, draw.parts, run, weights, resume=True)
    model = load_run(run).model.to(pick_device(config.train.device))
    logits = predict(model, tensors.images)
    probabilities = calibrated(logits, 1.0, config.data.task)
    area = auc(probabilities, tensors.labels)
    value = Judged(
        draw.size, draw.number, draw.images, split_hash(draw.parts), history.best.epoch,
        round(time.perf_counter() - began, 1), None if np.isnan(area) else area,
        accuracy(probabilities, tensors.labels),
        tuple(map(tuple, np.round(logits.astype(np.float64), 5).tolist())),
    )  # fmt: skip
    keep(out, draw, value)
    shutil.rmtree(run)
    return value
