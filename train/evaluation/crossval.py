"""``crossval``: a recipe judged on every image, fold by fold, and a final run to deploy."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from fieldlens.runtime.bundle.area_name import area_name
from fieldlens.runtime.files import atomic, records
from fieldlens.runtime.terminal.reporter import SILENT, Reporter
from fieldlens.train.checkpoint import LOCAL, load_run
from fieldlens.train.config import Config
from fieldlens.train.data.cache import load_tensors
from fieldlens.train.data.folds import HELD_OUT, check_folds, fold_split
from fieldlens.train.data.load import load_data
from fieldlens.train.data.samples import DataSet, Sample
from fieldlens.train.data.splits import Split, split, split_hash
from fieldlens.train.decide.operating_point import check_decision
from fieldlens.train.decide.pooled import said
from fieldlens.train.decide.quality_gate import read_gate
from fieldlens.train.errors import RunError
from fieldlens.train.evaluation.evaluate import store, write_report
from fieldlens.train.evaluation.pooled_point import finish, with_pooled_points
from fieldlens.train.fitting import plots
from fieldlens.train.fitting.fit import fit_parts
from fieldlens.train.report.contents import Setting, build, read_curves
from fieldlens.train.report.text import OUT_OF_FOLD
from fieldlens.train.scoring import evaluated_model
from fieldlens.train.scoring.answers import Answers, of_run
from fieldlens.train.scoring.evaluated_model import load_facts
from fieldlens.train.scoring.evaluation_set import EvaluationSet
from fieldlens.train.scoring.figures import Evaluation, evaluation, table
from fieldlens.train.scoring.out_of_fold import (
    HOW_POOLED,
    Fold,
    lines,
    merged_answers,
    pool,
    predictions_csv,
    summary,
    thresholds_mean,
)
from fieldlens.train.weights.formula import source_of

STATE, RESULT, ANSWERS, FINAL = "state.json", "crossval.json", "out-of-fold.json", "final"


@dataclass(frozen=True)
class CrossvalReport:
    """What all folds gave together. ``report``: the HTML page; ``final``: the run to deploy. ``str()`` of it is the
    table for people."""

    figures: Evaluation
    table: str
    report: Path
    final: Path

    def __str__(self) -> str:
        return f"{self.table}\nreport: {self.report}; final run: {self.final}"


@dataclass(frozen=True)
class _State:
    """``state.json``: what a cross-validation was begun with. Hashes are SHA-256."""

    config: dict[str, Any]
    data: str
    folds: tuple[str, ...]
    weights: str


@dataclass(frozen=True)
class _OutOfFold:
    """``out-of-fold.json``: a fold's answers for its own test part."""

    ids: tuple[str, ...]
    logits: tuple[tuple[float, ...], ...]
    findings: tuple[tuple[str, ...], ...] | None
    explained: tuple[int, ...]
    inference: dict[str, Any]


def crossval(
    config: Config,
    data_path: Path,
    out: Path,
    weights: str = "none",
    *,
    ungrouped: bool = False,
    skip_bad: bool = False,
    reporter: Reporter = SILENT,
) -> CrossvalReport:
    """Fit and judge every fold, then the final run.

    Started again in the same folder it skips what is finished and resumes what is not. Raises KitError: as ``fit``, a
    folder that holds something else or was begun with other settings, classes too small for so many folds.
    """
    own = config.data
    config = replace(config, data=replace(own, ungrouped=own.ungrouped or ungrouped, skip_bad=own.skip_bad or skip_bad))
    config = replace(config, decision=replace(config.decision, inner_folds=0))  # its own folds serve for that
    with atomic.alone(out):
        return _crossval(config, data_path, out, weights, reporter)


def _crossval(config: Config, data_path: Path, out: Path, weights: str, reporter: Reporter) -> CrossvalReport:
    data = load_data(data_path, config.data, out)
    check_decision(config.decision, data.classes, config.data.task)
    once = replace(config, train=replace(config.train, refit=False))  # every fold twice would take twice the time
    configs = [replace(once, crossval=replace(config.crossval, fold=k + 1)) for k in range(config.crossval.folds)]
    splits = [fold_split(data, each) for each in configs]
    check_folds(data, splits)
    _claim(out, config, data, splits, weights)
    if data.private is not None:
        data.private.keep(out)
    held_out = sum(part == HELD_OUT for part in splits[0].values())
    if held_out:
        reported = f"{held_out} images are the data's own test: no fold uses them; judge {FINAL} on them with evaluate"
        reporter.say(reported)
    folds = [
        _fold(out / f"fold-{k}", k, each, data, parts, data_path, weights, reporter)
        for k, (each, parts) in enumerate(zip(configs, splits, strict=True), 1)
    ]
    final = _final(out, config, data, data_path, weights, folds, reporter)
    runs = [out / f"fold-{fold.number}" for fold in folds]
    pooled = with_pooled_points(folds, runs, data, config.decision)
    carried = finish(load_run(final), data, folds, config.decision)
    if carried:
        reporter.say(said(carried, final.name, len(folds)))
    return _judge(out, final, config, data, splits, pooled, carried)


def _claim(out: Path, config: Config, data: DataSet, splits: Sequence[Split], weights: str) -> None:
    """A new folder, or one that was begun with the very same settings. Raises RunError."""
    file = Path(source_of(weights, config.model.arch))
    start = hashlib.sha256(file.read_bytes()).hexdigest() if file.is_file() else weights
    state = _State(config.to_json(), data.hash, tuple(split_hash(parts) for parts in splits), start)
    path = out / STATE
    if not path.is_file():
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise RunError(f"{out} exists and is not a cross-validation", "choose another --out, or remove it first")
        atomic.make_folder(out)
        atomic.write_json(path, asdict(state))
        return
    before = records.read_file(_State, path, RunError, "choose another --out, or remove the folder first")
    changed = [item.name for item in fields(state) if getattr(before, item.name) != getattr(state, item.name)]
    if changed:
        raise RunError(
            f"{out} was begun with other settings ({', '.join(changed)})",
            "go on with the same recipe, data, weights and --set, or choose another --out",
        )


def _fold(
    run: Path, number: int, config: Config, data: DataSet, parts: Split, data_path: Path, weights: str,
    reporter: Reporter,
) -> Fold:  # fmt: skip
    """Fit one fold (or go on with it, or take it as it is) and let it judge its own test part."""
    reporter.say(f"fold {number} of {config.crossval.folds}")
    history = fit_parts(config, data, parts, run, weights, resume=True, reporter=reporter)
    atomic.write_json(run / LOCAL, {"data": str(data_path.resolve())})
    samples = tuple(sample for sample in data.samples if parts[sample.id] == "test")
    finished = load_run(run)
    answers = _stored(run, samples)
    if answers is None:
        tensors = load_tensors(data, samples, finished.preprocess, f"decoding fold {number}", reporter=reporter)
        answers = of_run(finished, data, tensors, read_gate(run), reporter=reporter)
        _keep(run, samples, answers)
    best = history.best
    kept = {"epoch": best.epoch, history.metric: getattr(best, history.metric)}
    return Fold(number, samples, answers, finished.operating_point, read_curves(run / "metrics.csv"), kept)


def _keep(run: Path, samples: Sequence[Sample], answers: Answers) -> None:
    ids = tuple(sample.id for sample in samples)
    value = _OutOfFold(ids, answers.logits.tolist(), answers.findings, answers.explained.tolist(), answers.inference)
    atomic.write_json(run / ANSWERS, asdict(value))


def _stored(run: Path, samples: Sequence[Sample]) -> Answers | None:
    """What the fold has answered already; None if it has not, for other images, or by another version of the kit."""
    try:
        value = records.read_file(_OutOfFold, run / ANSWERS, RunError, "nothing to do: they are answered again")
    except RunError:
        return None
    if value.ids != tuple(sample.id for sample in samples):
        return None
    logits, explained = np.array(value.logits, np.float32), np.array(value.explained, np.int64)
    return Answers("fp32", logits, value.findings, value.inference, explained)


def _final(
    out: Path, config: Config, data: DataSet, data_path: Path, weights: str, folds: Sequence[Fold], reporter: Reporter
) -> Path:
    """One more network on everything, or a copy of the fold that validation (not its own test) likes best."""
    final = out / FINAL
    if config.crossval.keep == "refit":
        reporter.say("final: one more network, fitted on all folds")
        whole = replace(config, data=replace(config.data, test_fraction=0.0))
        fit_parts(whole, data, split(data, whole.data), final, weights, resume=True, reporter=reporter)
        atomic.write_json(final / LOCAL, {"data": str(data_path.resolve())})
        return final
    sign = -1 if config.train.metric.endswith("loss") else 1
    best = max(folds, key=lambda fold: sign * float(fold.kept[config.train.metric]))
    reporter.say(f"final: fold {best.number}, the best by {config.train.metric}")
    if not final.exists():
        with atomic.folder(final) as temporary:
            shutil.copytree(out / f"fold-{best.number}", temporary, dirs_exist_ok=True)
            (temporary / ANSWERS).unlink()
    return final


def _alike(out: Path, folds: int) -> dict[str, Any]:
    """Near-duplicates on two sides of any fold: the union of those that the folds' runs list."""
    found = [load_facts(out / f"fold-{number}").get("near_duplicates", {}) for number in range(1, folds + 1)]
    pairs = {frozenset((pair["first"], pair["second"])): pair for each in found for pair in each.get("pairs", [])}
    return {"count": max([len(pairs), *(each.get("count", 0) for each in found)]), "pairs": list(pairs.values())}


def _judge(
    out: Path, final: Path, config: Config, data: DataSet, splits: Sequence[Split], folds: Sequence[Fold],
    carried: dict[str, Any] | None,
) -> CrossvalReport:  # fmt: skip
    """Pooled figures, their files, and the report; into the final run as well, because that is what travels."""
    whole = pool(folds, data.classes, config.data.ordinal)
    figures = evaluation(whole, thresholds_mean(folds))
    result = summary(folds, whole, figures)
    if carried is not None:
        result["pooled"] |= {"how": HOW_POOLED} | ({"carried_over": carried} if carried else {})
    parts = {sample.id: HELD_OUT if splits[0][sample.id] == HELD_OUT else OUT_OF_FOLD for sample in data.samples}
    part = EvaluationSet(OUT_OF_FOLD, data, whole.samples, parts)
    trained = evaluated_model.of_run(load_run(final))
    facts = {**trained.facts, "near_duplicates": _alike(out, len(folds))}
    who = replace(trained, kind="cross-validation", path=out, facts=facts)
    curves = [(f"fold {fold.number}", fold.epochs) for fold in folds]
    setting = Setting(OUT_OF_FOLD, store(out, part, figures), data, parts, curves, crossval=result)
    report = build(who, whole, figures, merged_answers(folds), setting)
    atomic.write_json(out / RESULT, result)
    atomic.write_text(out / "predictions.csv", predictions_csv(folds, data.classes, config.data.ordinal))
    atomic.write_bytes(out / "curves.png", plots.fold_curves(curves, config.train.metric, config.recipe.name))
    write_report(out, report, {})
    for name in (RESULT, "report.json", "report.html", "evaluation.json"):
        atomic.write_bytes(final / name, (out / name).read_bytes())
    area = area_name(config.data.task, len(data.classes))
    text = table(config.recipe.name, f"{len(folds)} folds, pooled", figures, "each fold's own", "of each fold")
    return CrossvalReport(figures, "\n".join([text, *lines(result, area)]), out / "report.html", final)
