"""``evaluate``: a run's figures on one part of its data, printed and stored in the run folder."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from runtime.atomic import write_bytes, write_json
from runtime.decision import Decision, Outcome, calibrated
from train import metrics, plots
from train.checkpoint import LOCAL, Run, load_run, read_split
from train.data import load_data
from train.dataset import Tensors, load_tensors
from train.errors import DataError, RunError
from train.loop import predict
from train.metrics import Floats, Ints
from train.operating_point import rates
from train.samples import DataSet


@dataclass(frozen=True)
class Evaluation:
    """One part's figures. Intervals are 95%; ``decision`` is None for a general classifier."""

    n: int
    groups: int
    accuracy: float
    accuracy_interval: tuple[float, float]
    balanced_accuracy: float
    auc: float
    auc_interval: tuple[float, float]
    ece: float
    log_loss: float
    classes: dict[str, dict[str, float]]
    confusion: list[list[int]]
    decision: dict[str, Any] | None


def evaluate(run_path: Path, data_path: Path | None = None, part: str = "test", other_data: bool = False) -> str:
    """Judge a run; writes ``evaluation.json`` and ``confusion-PART.png`` into it and returns the table for people.

    Raises RunError and DataError: a broken run, data that is gone or is not what the run was trained on.
    """
    run = load_run(run_path)
    # Another set may lack a class, or hold its labels in another order: the run's classes count.
    options = replace(run.config.data, classes=run.class_ids)
    data = load_data(data_path or _where_fit_found_it(run_path), options)
    key = part
    if data.hash == run.data.hash:
        parts = read_split(run_path)
        chosen = [sample for sample in data.samples if parts.get(sample.id) == part]
    elif other_data:
        key, chosen = f"other:{data.name}", list(data.samples)
    else:
        raise DataError(
            f"{data.name} is not the data that {run_path} was trained on (its hash differs)",
            "its split would not be honest; give the same data, or --other-data to judge all of it as a new set",
        )
    if not chosen:
        raise DataError(f"{data.name}: the run kept no {part} images", "choose another --split")
    tensors = load_tensors(data, chosen, run.preprocess, f"decoding {part}")
    result = judge(predict(run.model, tensors.images), tensors, run)
    _store(run, key, data, result)
    name = key.replace(":", "-").replace("/", "-")
    picture = plots.confusion_matrix(np.array(result.confusion), [c.display for c in run.classes], f"{run.name}: {key}")
    write_bytes(run_path / f"confusion-{name}.png", picture)
    return table(run, key, result)


def _where_fit_found_it(run_path: Path) -> Path:
    try:
        return Path(json.loads((run_path / LOCAL).read_text(encoding="utf-8"))["data"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunError(f"{run_path} does not say where its data is", "give --data DATA") from error


def judge(logits: Floats, tensors: Tensors, run: Run) -> Evaluation:
    """All figures from logits ``[n,C]`` at the run's operating point."""
    point, labels = run.operating_point, tensors.labels
    probabilities = calibrated(logits, point.temperature, run.task)
    counts = metrics.confusion(probabilities, labels)
    area = metrics.auc_interval(probabilities, labels, tensors.groups)
    right = int(np.trace(counts))
    scores = dict(zip(run.class_ids, metrics.per_class(counts), strict=True))
    return Evaluation(
        n=len(labels),
        groups=len(set(tensors.groups)),
        accuracy=metrics.accuracy(probabilities, labels),
        accuracy_interval=metrics.wilson(right, len(labels)),
        balanced_accuracy=metrics.balanced_accuracy(probabilities, labels),
        auc=area.value,
        auc_interval=(area.low, area.high),
        ece=metrics.ece(probabilities, labels),
        log_loss=metrics.log_loss(logits / point.temperature, labels),
        classes={name: asdict(score) for name, score in scores.items()},
        confusion=counts.tolist(),
        decision=decided(probabilities, labels, point.decision, run.class_ids) if point.decision else None,
    )


def decided(probabilities: Floats, labels: Ints, decision: Decision, classes: Sequence[str]) -> dict[str, Any]:
    """Sensitivity and specificity at the threshold, and what the device would say (``uncertain`` counts as refer)."""
    scores = decision.score(probabilities, classes)
    positive = np.isin(labels, [classes.index(name) for name in decision.positive])
    outcomes = np.array([str(decision.outcome(float(score))) for score in scores])
    told = outcomes != str(Outcome.NO_SIGN_FOUND)
    # The scores 0 and 1 stand for "told to go home" and "referred or uncertain".
    return {
        **rates(scores, positive, decision.threshold),
        "threshold": decision.threshold,
        "target": decision.target,
        "uncertain_as_refer": rates(told.astype(np.float64), positive, 0.5),
        "outcomes": {name: int((outcomes == name).sum()) for name in ("refer", "uncertain", "no-sign-found")},
    }


def _store(run: Run, key: str, data: DataSet, result: Evaluation) -> None:
    """Merge into ``evaluation.json``; a part's ``opened`` counts how often it has been looked at."""
    path = run.path / "evaluation.json"
    stored: dict[str, Any] = {}
    if path.is_file():
        try:
            stored = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise RunError(f"{path} is not JSON: {error}", "remove it; it is written anew") from error
    opened = int(stored.get(key, {}).get("opened", 0)) + 1
    stored[key] = {**_finite(asdict(result)), "data": {"path": data.name, "hash": data.hash}, "opened": opened}
    write_json(path, stored)


def _finite(value: Any) -> Any:
    """NaN (an AUC without one of its classes) becomes null: JSON has no NaN."""
    if isinstance(value, dict):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    return None if isinstance(value, float) and math.isnan(value) else value


def table(run: Run, key: str, result: Evaluation) -> str:
    """For people."""
    kind = "AUC" if len(run.classes) == 2 else "AUC (macro, one against the rest)"
    groups = f" of {result.groups} groups" if result.groups < result.n else ""
    lines = [
        f"{run.name} on {key}: {result.n} images{groups}",
        f"  accuracy {result.accuracy:.4f} {_range(result.accuracy_interval)}, balanced {result.balanced_accuracy:.4f}",
        f"  {kind} {result.auc:.4f} {_range(result.auc_interval)}",
        f"  ECE {result.ece:.4f}, log loss {result.log_loss:.4f} (temperature {run.operating_point.temperature:.3f})",
        f"  {'class':<20} {'precision':>9} {'recall':>9} {'F1':>9} {'images':>7}",
    ]
    for name, score in result.classes.items():
        lines.append(
            f"  {name:<20} {score['precision']:>9.4f} {score['recall']:>9.4f} {score['f1']:>9.4f} {score['support']:>7}"
        )
    if result.decision:
        lines += _decision_lines(result.decision)
    return "\n".join(lines)


def _decision_lines(decision: dict[str, Any]) -> list[str]:
    lines = [f"  at the threshold {decision['threshold']:.4f} (chosen on validation for {decision['target']}):"]
    for name, values in (("as referred", decision), ("uncertain as refer", decision["uncertain_as_refer"])):
        parts = [
            f"{measure} {values[measure]:.4f} {_range(values[f'{measure}_interval'])}"
            for measure in ("sensitivity", "specificity")
            if values[measure] is not None
        ]
        lines.append(f"    {name}: {', '.join(parts)}")
    counts = ", ".join(f"{name} {count}" for name, count in decision["outcomes"].items())
    return [*lines, f"    outcomes: {counts}; {decision['positives']} positives, {decision['negatives']} negatives"]


def _range(interval: Sequence[float]) -> str:
    return f"[{interval[0]:.4f}, {interval[1]:.4f}]"
