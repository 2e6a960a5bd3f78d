"""The trainer's report on every precision of a bundle, TensorRT's by emulation: ``convert verify --report``."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from fieldlens.convert.measure.answer import PrecisionAnswers
from fieldlens.convert.measure.labelled import Labelled
from fieldlens.runtime.bundle.opened import Bundle
from fieldlens.runtime.files import atomic
from fieldlens.runtime.terminal.reporter import SILENT, Reporter
from fieldlens.train.data.marked_areas import marked_areas
from fieldlens.train.evaluation.evaluate import EvaluationOptions, report_on
from fieldlens.train.scoring import answers as trainers
from fieldlens.train.scoring import evaluated_model
from fieldlens.train.scoring.evaluation_set import EvaluationSet


def write_report(
    folder: Path,
    bundle: Bundle,
    source: Labelled,
    answers: tuple[PrecisionAnswers, ...],
    reporter: Reporter = SILENT,
) -> None:
    """``report.html`` and ``report.json`` into ``folder``, by the code that judges a training run. Raises KitError."""
    who = evaluated_model.of_bundle(bundle)
    own = source.data.hash == who.data_hash
    part = EvaluationSet(source.part if own else f"other:{source.data.name}", source.data, source.samples, None)
    with reporter.step("report", f"{len(answers)} precisions into {folder}"):
        atomic.make_folder(folder)
        found = {item.precision: _as_trainers(item) for item in answers}
        marks = marked_areas(source.data, who.config.data, reporter)
        report_on(who, part, source.labels.truth, found, EvaluationOptions(out=folder, name="report"), folder, marks)


def _as_trainers(item: PrecisionAnswers) -> trainers.Answers:
    """Without the gate's findings: precisions are run on tensors here, not on files."""
    time_ms = item.latency_p50_ms
    inference = {
        "mean_ms": time_ms,
        "single_p50_ms": time_ms,
        "what": f"network alone, {item.runs}",
        "where": f"{item.backend} {item.version}, one image at a time, median",
    }
    explained = np.zeros(len(item.logits), np.int64) if item.explained is None else item.explained
    times = {} if time_ms is None else inference
    return trainers.Answers(item.precision, item.logits, None, times, explained, item.maps)
