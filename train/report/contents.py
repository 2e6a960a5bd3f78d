"""What ``report.json`` holds: every figure, table and sentence of the report. The page is drawn from it alone."""

from __future__ import annotations

import csv
import datetime
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from fieldlens.runtime.pixels.steps import Resize, steps_to_json
from fieldlens.train import metrics
from fieldlens.train.data.folds import HELD_OUT
from fieldlens.train.data.samples import PARTS, DataSet, Label, label_name
from fieldlens.train.data.shortcuts import Shortcut
from fieldlens.train.data.shortcuts import lines as shortcut_lines
from fieldlens.train.decide.operating_point import Bools
from fieldlens.train.metrics import Floats
from fieldlens.train.report.text import OUT_OF_FOLD, card, limits
from fieldlens.train.scoring.answers import Answers
from fieldlens.train.scoring.evaluated_model import EvaluatedModel
from fieldlens.train.scoring.figures import Evaluation, finite, subset_row
from fieldlens.train.scoring.pointing import Pointing
from fieldlens.train.scoring.predictive import PREVALENCES, at_prevalence, pr_points, roc_points, threshold_table
from fieldlens.train.scoring.scored_predictions import ScoredPredictions

FORMAT = 1
MOST_CURVES = 20
"""With more classes, or more sites, curves and tables of each would hide what matters."""
_WORST = 6


@dataclass(frozen=True)
class Setting:
    """What was judged, and how. ``parts``: sample id → part, None for data that is not the training's own;
    ``curves``: a title and the epochs of each fit; ``prevalence``: of the threshold table, None: the set's own."""

    part: str
    opened: int
    data: DataSet
    parts: Mapping[str, str] | None
    curves: Sequence[tuple[str, list[dict[str, float]]]] = ()
    prevalence: float | None = None
    crossval: dict[str, Any] | None = None
    pointing: Mapping[str, Pointing] = field(default_factory=dict)
    """By precision (and Grad-CAM++), where the data says where its findings are."""


_REFITTED = (
    "chose temperature and threshold. Another network was then fitted on the validation images as well, through as "
    "many epochs: that is the one that answers. The curves are the first one's."
)


def build(
    subject: EvaluatedModel, judged: ScoredPredictions, figures: Evaluation, answers: Answers | None, setting: Setting,
    precisions: Mapping[str, Evaluation] | None = None,
) -> dict[str, Any]:  # fmt: skip
    """The whole report as plain JSON values."""
    recipe = subject.config.recipe
    report: dict[str, Any] = {
        "format": FORMAT,
        "kind": subject.kind,
        "name": subject.name,
        "made": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "task": judged.task,
        "classes": [{"id": info.id, "display": info.display} for info in subject.classes],
        "recipe": {key: getattr(recipe, key) for key in ("title", "intended_use", "reference_standard", "not_for")},
        "part": {"name": setting.part, "opened": setting.opened},
        "data": _data(subject, setting),
        "model": _model(subject),
        "evaluation": figures.to_json(),
        "precisions": {name: value.to_json() for name, value in (precisions or {}).items()},
        "roc": dict(_curves(judged, roc_points)),
        "pr": dict(_curves(judged, pr_points)),
        "calibration": _calibration(judged),
        "prevalences": [],
        "thresholds": None,
        "sites": list(_subsets(judged, {"site": [sample.site for sample in judged.samples]})),
        "subgroups": list(_subsets(judged, _subgroup_columns(judged))),
        "mistakes": mistakes(judged),
        "imageability": _imageability(judged, figures, answers),
        "pointing": {name: found.to_json() for name, found in setting.pointing.items()},
        "inference": answers.inference if answers else None,
        "curves": [{"title": title, "epochs": rows} for title, rows in setting.curves],
        "crossval": setting.crossval,
    }
    report |= _decision_tables(judged, setting.prevalence)
    report["limits"] = limits(report)
    report["card"] = card(report)
    plain: dict[str, Any] = finite(report)
    return plain


def public(report: Mapping[str, Any]) -> dict[str, Any]:
    """The same without any image's name: what may travel where the data may not be shared."""
    nameless = [{**row, "id": f"image {index + 1}"} for index, row in enumerate(report["mistakes"])]
    return {
        **report,
        "nameless": True,
        "mistakes": nameless,
        "data": {**report["data"], "pairs": [], "skipped_files": []},
    }


def read_curves(path: Path) -> list[dict[str, float]]:
    """``metrics.csv`` as rows of numbers; empty where there is none."""
    if not path.is_file():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return [{name: float(value) for name, value in row.items() if value} for row in csv.DictReader(file)]


def read_crossval(folder: Path) -> dict[str, Any] | None:
    """``crossval.json`` of a cross-validation's final run; None for any other folder."""
    path = folder / "crossval.json"
    if not path.is_file():
        return None
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def _data(subject: EvaluatedModel, setting: Setting) -> dict[str, Any]:
    """What was trained on and judged: hashes, counts, groups, sites, what was left out, what looks alike."""
    facts, data = subject.facts, setting.data
    known = facts.get("data", {})
    alike = facts.get("near_duplicates") or {}
    skipped = list(data.skipped) or facts.get("skipped") or []
    value = {
        "name": data.name,
        "hash": data.hash,
        "training_hash": subject.data_hash,
        "split_hash": subject.split_hash,
        "n": known.get("n", {}),
        "groups": len({sample.group for sample in data.samples if sample.group is not None}),
        "ungrouped": bool(facts.get("ungrouped") or subject.config.data.ungrouped),
        "near_duplicates": alike.get("count", 0) if alike else None,
        "pairs": alike.get("pairs", [])[:_WORST],
        "shortcuts": shortcut_lines([Shortcut(**each) for each in facts.get("shortcuts", [])]),
        "skipped": len(skipped),
        "skipped_files": [str(name) for name in skipped[:_WORST]],
        "sites": sorted({sample.site for sample in data.samples if sample.site}),
        "parts": [],
    }
    if setting.parts is not None:
        value["parts"] = [row for part in (*PARTS, OUT_OF_FOLD, HELD_OUT) if (row := _part(data, setting.parts, part))]
    return value


def _part(data: DataSet, parts: Mapping[str, str], part: str) -> dict[str, Any] | None:
    chosen = [sample for sample in data.samples if parts.get(sample.id) == part]
    if not chosen:
        return None
    counts = Counter(name for sample in chosen for name in _names(sample.label, data.classes))
    return {
        "part": part,
        "n": len(chosen),
        "groups": len({sample.group for sample in chosen if sample.group is not None}),
        "classes": {name: counts[name] for name in data.classes},
    }


def _names(label: Label, classes: Sequence[str]) -> list[str]:
    return (
        [name for name, mark in zip(classes, label, strict=True) if mark]
        if isinstance(label, tuple)
        else [classes[label]]
    )


def _model(subject: EvaluatedModel) -> dict[str, Any]:
    config, facts = subject.config, subject.facts
    steps = config.preprocess.steps
    train = config.train
    return {
        "arch": f"{facts.get('arch') or config.model.arch}{config.model.cut}",
        "size": next(step.size for step in steps if isinstance(step, Resize)),
        "weights": facts.get("weights"),
        "steps": [str(step["step"]) for step in steps_to_json(steps)],
        "temperature": subject.operating_point.temperature,
        "training": f"Up to {train.epochs} epochs in batches of {train.batch_size}, {train.optimizer} at {train.lr:g}, "
        f"schedule {train.schedule}, seed {train.seed}; the epoch with the best {train.metric} "
        f"{_REFITTED if train.refit else 'was kept.'}",
        "refit": train.refit,
        "versions": facts.get("versions", {}),
        "commit": facts.get("commit"),
        "bundle": facts.get("bundle"),
    }


def _curves(judged: ScoredPredictions, points: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """One curve for the decision, or (two classes) for the second; else one for each class or label."""
    for name, scores, positive in curve_scores(judged):
        if positive.any() and not positive.all():
            yield name, points(scores, positive)


def curve_scores(judged: ScoredPredictions) -> Iterator[tuple[str, Floats, Bools]]:
    """Name, scores ``[n]`` and truth ``[n]`` of everything that has a curve."""
    if judged.decided:
        yield "refer", judged.decided.scores, judged.decided.positive
        if judged.task == "multiclass":
            return
    probabilities, labels = judged.probabilities, judged.labels
    if judged.task == "multiclass" and len(judged.classes) == 2:
        yield judged.classes[1], probabilities[:, 1], labels == 1
    elif len(judged.classes) <= MOST_CURVES:
        for column, name in enumerate(judged.classes):
            yield name, probabilities[:, column], labels == column if labels.ndim == 1 else labels[:, column] == 1


def _calibration(judged: ScoredPredictions) -> dict[str, Any]:
    return {
        name: {
            "ece": metrics.ece(values, judged.labels),
            "bins": [bar.__dict__ for bar in metrics.reliability(values, judged.labels, 10)],
        }
        for name, values in (("before", judged.uncalibrated), ("after", judged.probabilities))
    }


def _decision_tables(judged: ScoredPredictions, prevalence: float | None) -> dict[str, Any]:
    """Predictive values elsewhere, and what other thresholds would do, for all and for each site."""
    decided = judged.decided
    if decided is None or not decided.positive.any() or decided.positive.all():
        return {}
    share = float(decided.positive.mean()) if prevalence is None else prevalence
    sites = sorted({sample.site for sample in judged.samples if sample.site})[:MOST_CURVES]
    by_site = {site: judged.part(np.array([s.site == site for s in judged.samples])).decided for site in sites}
    return {
        "prevalences": [at_prevalence(decided.reported, decided.positive, p) for p in sorted({*PREVALENCES, share})],
        "thresholds": {"prevalence": share, "given": prevalence is not None, "rows": threshold_table(decided, share)},
        "thresholds_by_site": {
            site: threshold_table(one, share)
            for site, one in by_site.items()
            if len(sites) > 1 and one and one.positive.any() and not one.positive.all()
        },
    }


def _subgroup_columns(judged: ScoredPredictions) -> dict[str, list[str | None]]:
    columns = list(dict.fromkeys(column for sample in judged.samples for column, _ in sample.subgroups))
    return {column: [dict(sample.subgroups).get(column) for sample in judged.samples] for column in columns}


def _subsets(judged: ScoredPredictions, columns: Mapping[str, Sequence[str | None]]) -> Iterator[dict[str, Any]]:
    """A row per value of each column, the largest first."""
    for column, values in columns.items():
        for value, _ in Counter(v for v in values if v).most_common(MOST_CURVES):
            part = judged.part(np.array([v == value for v in values]))
            yield {"column": column, "name": value, **subset_row(part)}


def mistakes(judged: ScoredPredictions, most: int = _WORST) -> list[dict[str, Any]]:
    """The worst ones: positives with the lowest scores, negatives with the highest; without a decision the images
    whose true class was given least."""
    decided, found = judged.decided, []
    if decided is not None:
        missed = np.flatnonzero(decided.positive & ~decided.reported)
        alarms = np.flatnonzero(~decided.positive & decided.reported)
        found += [("missed", i) for i in missed[np.argsort(decided.scores[missed])][:most]]
        found += [("false alarm", i) for i in alarms[np.argsort(-decided.scores[alarms])][:most]]
    else:
        wrong = np.flatnonzero(metrics.correct(judged.probabilities, judged.labels) < 1)
        found += [("wrong", i) for i in wrong[np.argsort(_given(judged)[wrong])][: 2 * most]]
    return [_mistake(judged, kind, int(index)) for kind, index in found]


def _given(judged: ScoredPredictions) -> Floats:
    """How much probability the truth got, ``[n]``: of the true class, or of the label it got least for."""
    probabilities, labels = judged.probabilities, judged.labels
    if judged.task == "multilabel":
        return np.asarray(np.where(labels == 1, probabilities, 1 - probabilities).min(axis=1))
    return np.asarray(probabilities[np.arange(len(labels)), labels])


def _mistake(judged: ScoredPredictions, kind: str, index: int) -> dict[str, Any]:
    sample, row = judged.samples[index], judged.probabilities[index]
    best = int(row.argmax())
    return {
        "kind": kind,
        "index": index,
        "id": sample.id,
        "site": sample.site,
        "true": label_name(sample.label, judged.classes) or "nothing",
        "said": judged.classes[best],
        "probability": float(row[best]),
        "score": float(judged.decided.scores[index]) if judged.decided else None,
    }


def _imageability(judged: ScoredPredictions, figures: Evaluation, answers: Answers | None) -> dict[str, Any] | None:
    """How many images passed the gate, and the figures over those alone."""
    if judged.readable is None:
        return None
    count = int(judged.readable.sum())
    return {
        "n": len(judged.readable),
        "readable": count,
        "share": count / len(judged.readable),
        "share_interval": list(metrics.wilson(count, len(judged.readable))),
        "reasons": answers.reasons if answers else {},
        "all": subset_row(judged),
        "only_readable": subset_row(judged.part(judged.readable)) if count else None,
    }
