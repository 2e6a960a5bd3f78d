"""``evaluate``: a run's or a bundle's figures on one part of its data, printed, stored, and written as a report."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from fieldlens.runtime.backends.base import LoadOptions
from fieldlens.runtime.backends.select import cpu_backend, load_backend
from fieldlens.runtime.bundle.open import MANIFEST, open_bundle
from fieldlens.runtime.bundle.opened import Bundle
from fieldlens.runtime.errors import ConfigError
from fieldlens.runtime.files import atomic, records
from fieldlens.runtime.machine.host import state_folder
from fieldlens.runtime.terminal.reporter import SILENT, Reporter
from fieldlens.train.checkpoint import TrainingRun, data_of, load_run, read_split
from fieldlens.train.data.cache import load_tensors
from fieldlens.train.data.marked_areas import MarkedAreas, marked_areas
from fieldlens.train.decide.quality_gate import read_gate
from fieldlens.train.epoch.loop import pick_device
from fieldlens.train.errors import RunError
from fieldlens.train.evaluation.heat_maps import pointing_of
from fieldlens.train.fitting import plots
from fieldlens.train.metrics import Ints
from fieldlens.train.report.contents import Setting, build, read_crossval, read_curves
from fieldlens.train.report.mistakes import beside_maps
from fieldlens.train.report.page import page
from fieldlens.train.report.sections import MOST_CELLS
from fieldlens.train.scoring import answers as asked
from fieldlens.train.scoring import evaluated_model
from fieldlens.train.scoring.answers import Answers
from fieldlens.train.scoring.evaluated_model import EvaluatedModel
from fieldlens.train.scoring.evaluation_set import EvaluationSet, choose_evaluation_set, derived_split
from fieldlens.train.scoring.figures import Evaluation, evaluation, table
from fieldlens.train.scoring.pointing import line
from fieldlens.train.scoring.scored_predictions import labels_of, scored


@dataclass(frozen=True)
class EvaluationOptions:
    """``with_images``: images of the worst mistakes in the report; ``prevalence``: of the threshold table, None: the
    set's own; ``out``: where the report goes, None: into the run; ``precision``: the runtime's word, or ``all``;
    ``name`` of the report's files, empty: by the part."""

    with_images: bool = False
    prevalence: float | None = None
    out: Path | None = None
    backend: str = "auto"
    precision: str = "all"
    name: str = ""


@dataclass(frozen=True)
class Report:
    """What an evaluation found. ``figures``: by precision, the first is the report's; ``report``: the HTML page, with
    ``report.json`` beside it. ``str()`` of it is the table for people."""

    figures: Mapping[str, Evaluation]
    table: str
    report: Path

    def __str__(self) -> str:
        return f"{self.table}\nreport: {self.report}"


def evaluate(
    path: Path,
    data: Path | None = None,
    part: str = "test",
    other_data: bool = False,
    options: EvaluationOptions | None = None,
    reporter: Reporter = SILENT,
) -> Report:
    """Judge a run folder or a bundle on one part of its data.

    Into a run go ``evaluation.json``, ``report.html``, ``report.json`` and a confusion matrix; a bundle is never
    edited, its report goes to ``--out``. Raises KitError: what is broken, missing, or not the same as in training.
    """
    wanted = options or EvaluationOptions()
    if wanted.prevalence is not None and not 0 < wanted.prevalence < 1:
        raise ConfigError(f"--prevalence {wanted.prevalence:g} is no share", "for example 0.05: one in twenty has it")
    choose = partial(choose_evaluation_set, part=part, other_data=other_data)
    if (path / MANIFEST).is_file():
        return _bundle(path, data, choose, wanted, reporter)
    return _run(load_run(path), data, choose, wanted, reporter)


def _run(
    run: TrainingRun,
    data: Path | None,
    choose: Callable[..., EvaluationSet],
    wanted: EvaluationOptions,
    reporter: Reporter,
) -> Report:
    if wanted.precision not in ("all", "fp32"):
        raise RunError(f"{run.path} has no {wanted.precision}: it is a run, not a bundle", "leave --precision out")
    who = evaluated_model.of_run(run)
    run.model.to(pick_device("cpu" if run.config.train.device == "cpu" else "auto"))
    part = choose(who, data or _where_fit_found_it(run.path), split=lambda _: read_split(run.path))
    tensors = load_tensors(part.data, part.samples, run.preprocess, f"decoding {part.key}", reporter=reporter)
    marks = marked_areas(part.data, who.config.data, reporter)
    with_maps = wanted.with_images or marks is not None
    answers = asked.of_run(run, part.data, tensors, read_gate(run.path), with_maps, reporter)
    return report_on(who, part, tensors.labels, {"fp32": answers}, wanted, run.path, marks)


def _bundle(
    path: Path,
    data: Path | None,
    choose: Callable[..., EvaluationSet],
    wanted: EvaluationOptions,
    reporter: Reporter,
) -> Report:
    if wanted.out is None or data is None:
        lacking = "--out DIR" if wanted.out is None else "--data DATA"
        raise RunError(
            f"{path.name} is a bundle: it is never edited, and does not say where its data is", f"give {lacking}, too"
        )
    bundle = open_bundle(path)
    who = evaluated_model.of_bundle(bundle)
    part = choose(who, data, split=partial(derived_split, who))
    labels, marks = labels_of(part.samples), marked_areas(part.data, who.config.data, reporter)
    wanted_maps = wanted.with_images or marks is not None
    answers = {
        name: _on_device(bundle, part, name, wanted, wanted_maps, reporter)
        for name in _precisions(bundle, wanted.precision, wanted.backend)
    }
    atomic.make_folder(wanted.out)
    return report_on(who, part, labels, answers, wanted, wanted.out, marks)


def _precisions(bundle: Bundle, wanted: str, backend: str) -> list[str]:
    """What to run. ``all``: whatever this machine's runtime can, FP32 first."""
    if wanted != "all":
        return [wanted]
    if backend == "tensorrt":
        return [name for name in ("fp32", "fp16", "int8") if name in bundle.manifest.precisions]
    return [word for word, file in (("fp32", "fp32"), ("int8", "int8-cpu")) if file in bundle.precisions]


def _on_device(
    bundle: Bundle, part: EvaluationSet, precision: str, wanted: EvaluationOptions, with_maps: bool, reporter: Reporter
) -> Answers:
    """The runtime's own classifier on one precision."""
    name = cpu_backend() if wanted.backend == "auto" else wanted.backend
    loaded = load_backend(bundle, name, precision, LoadOptions(state=state_folder(None)))
    return asked.of_bundle(bundle, part.data, part.samples, loaded, precision, with_maps, reporter)


def report_on(
    who: EvaluatedModel,
    part: EvaluationSet,
    labels: Ints,
    answers: Mapping[str, Answers],
    wanted: EvaluationOptions,
    stored_in: Path,
    marks: MarkedAreas | None = None,
) -> Report:
    """Judge every precision, and its heat maps where ``marks`` say where the findings are; store figures, report and
    confusion matrix."""
    ordinal, point = who.config.data.ordinal, who.operating_point
    results = {
        name: scored(
            part.samples, who.class_ids, labels, one.logits, point.temperature, point.decision, one.readable, ordinal
        )
        for name, one in answers.items()
    }
    thresholds = point.decision.thresholds if point.decision else None
    figures = {name: evaluation(result, thresholds) for name, result in results.items()}
    first = next(iter(figures))
    opened = store(stored_in, part, figures[first])
    out = wanted.out or stored_in
    if figures[first].confusion and len(who.classes) <= MOST_CELLS:
        counts = np.array(figures[first].confusion)
        picture = plots.confusion_matrix(counts, [c.display for c in who.classes], f"{who.name}: {part.key}")
        atomic.write_bytes(stored_in / f"confusion-{part.file_name}.png", picture)
    pointing = pointing_of(who, part, answers, results, marks) if marks else {}
    setting = Setting(
        part.key, opened, part.data, part.parts, _curves(who), wanted.prevalence, read_crossval(who.path), pointing
    )  # fmt: skip
    several = figures if len(figures) > 1 else {}
    value = build(who, results[first], figures[first], answers[first], setting, several)
    steps = who.config.preprocess.steps
    # The test's report is the one that travels; a look at another part must not take its place.
    name = wanted.name or ("report" if part.key == "test" else f"report-{part.file_name}")
    maps = answers[first].maps if wanted.with_images else None
    write_report(out, value, beside_maps(part.data, part.samples, steps, maps, value["mistakes"]), name)
    tables = [
        table(who.name if len(figures) == 1 else f"{who.name}, {precision}", part.key, one, f"{point.temperature:.3f}")
        for precision, one in figures.items()
    ]
    tables += [line(precision, found) for precision, found in pointing.items()]
    return Report(figures, "\n".join(tables), out / f"{name}.html")


def write_report(out: Path, value: dict[str, Any], pictures: Mapping[int, bytes], name: str = "report") -> None:
    """``report.json`` and ``report.html``; the JSON never holds an image."""
    atomic.make_folder(out)
    atomic.write_json(out / f"{name}.json", value)
    atomic.write_text(out / f"{name}.html", page(value, pictures))


def _curves(who: EvaluatedModel) -> list[tuple[str, list[dict[str, float]]]]:
    return [(who.name, read_curves(who.path / "metrics.csv"))] if who.kind == "run" else []


def _where_fit_found_it(run_path: Path) -> Path:
    if (found := data_of(run_path)) is None:
        raise RunError(f"{run_path} does not say where its data is", "give --data DATA")
    return found


def store(folder: Path, part: EvaluationSet, result: Evaluation) -> int:
    """Merge into ``evaluation.json``; returns how often this part has been looked at, this time included."""
    path = folder / "evaluation.json"
    stored: dict[str, dict[str, Any]] = {}
    if path.is_file():
        again = "remove it; it is written again"
        try:
            value = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise RunError(f"{path} is not JSON: {error}", again) from error
        stored = records.read_as(dict[str, dict[str, Any]], value, str(path), RunError, renew=again)
    opened = int(stored.get(part.key, {}).get("opened", 0)) + 1
    data = {"path": part.data.name, "hash": part.data.hash}
    stored[part.key] = {**result.to_json(), "data": data, "opened": opened}
    atomic.write_json(path, stored)
    return opened
