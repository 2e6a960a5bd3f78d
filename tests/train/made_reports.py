"""Made answers and the report of them: no network, no images."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from fieldlens.runtime.bundle.manifest import ClassInfo
from fieldlens.runtime.pixels.preprocess import Pixels
from fieldlens.train.config import Config, DataConfig, DecisionConfig, RecipeConfig
from fieldlens.train.data.samples import DataSet, Sample
from fieldlens.train.decide.operating_point import fit_operating_point
from fieldlens.train.report.contents import Setting, build
from fieldlens.train.scoring.answers import Answers
from fieldlens.train.scoring.evaluated_model import EvaluatedModel
from fieldlens.train.scoring.figures import evaluation
from fieldlens.train.scoring.scored_predictions import ScoredPredictions, labels_of, scored

NASTY = '<script>alert("$x_1$")</script>'
"""A class name that is HTML, and a formula."""


class Nothing(DataSet):
    """Samples without images."""

    hash = "ab" * 32

    def read(self, sample: Sample) -> bytes | Pixels:
        raise AssertionError(f"nobody should read {sample.id}")


def binary(
    n: int = 240, apart: float = 3.0, names: tuple[str, ...] = ("clear", "ill"), seed: int = 0
) -> dict[str, Any]:
    """``apart``: how far the logits of the two classes lie; 30 and more is perfect."""
    random = np.random.default_rng(seed)
    truth = (np.arange(n) % 3 == 0).astype(int)
    logits = np.stack([np.zeros(n), random.normal(size=n) + apart * (truth - 0.5)], axis=1)
    return {"labels": truth.tolist(), "logits": logits, "names": names, "positive": names[1:]}


def ordinal(n: int = 240) -> dict[str, Any]:
    random = np.random.default_rng(1)
    truth = np.arange(n) % 4
    logits = -0.8 * (np.arange(4) - truth[:, None] - random.normal(0, 0.6, (n, 1))) ** 2
    names = ("Mayo 0", "Mayo 1", "Mayo 2", "Mayo 3")
    return {"labels": truth.tolist(), "logits": logits, "names": names, "positive": names[2:], "ordinal": True}


def several(n: int = 240, labels: int = 5) -> dict[str, Any]:
    random = np.random.default_rng(2)
    truth = (random.random((n, labels)) < np.linspace(0.05, 0.3, labels)).astype(int)
    logits = random.normal(size=(n, labels)) + 3 * truth - 2
    names = tuple(f"finding {index}" for index in range(labels))
    rows = [tuple(map(int, row)) for row in truth]
    return {"labels": rows, "logits": logits, "names": names, "positive": names, "task": "multilabel"}


def answers_of(
    labels: list[Any], logits: np.ndarray, names: tuple[str, ...], positive: tuple[str, ...] = (),
    ordinal: bool = False, task: str = "multiclass", groups: int = 2,
) -> tuple[EvaluatedModel, ScoredPredictions, DataSet]:  # fmt: skip
    """The first half is validation and gives the operating point; the second half is judged."""
    n = len(labels)
    samples = tuple(
        Sample(
            f"clinic/{i:04d}.png", labels[i], f"p{i // groups}", ("hill", "river")[i // 2 % 2],
            subgroups=(("sex", "fm"[i % 2]),),
        )
        for i in range(n)
    )  # fmt: skip
    config = Config(
        recipe=RecipeConfig(name="made", title="Made answers"),
        data=DataConfig(task=task, classes=names, ordinal=ordinal, subgroup_columns=("sex",)),
        decision=DecisionConfig(positive=positive, rounds=50),
    )
    val, test = samples[: n // 2], samples[n // 2 :]
    point, _ = fit_operating_point(
        logits[: n // 2], labels_of(val), names, [str(s.group) for s in val], config.decision
    )  # fmt: skip
    facts = {"arch": "resnet18", "weights": "none", "data": {"n": {"train": 0, "val": len(val), "test": len(test)}}}
    infos = tuple(ClassInfo(name, name) for name in names)
    subject = EvaluatedModel("run", Path("run"), "made", infos, config, point, Nothing.hash, "cd" * 32, facts)
    readable = np.arange(len(test)) % 20 != 7
    result = scored(
        test, names, labels_of(test), logits[n // 2 :], point.temperature, point.decision, readable, ordinal
    )  # fmt: skip
    return subject, result, Nothing("made data", names, samples)


def report_of(made: dict[str, Any], opened: int = 1, **facts: Any) -> dict[str, Any]:
    """The report of made answers; keywords are added to what the run says of itself."""
    subject, result, data = answers_of(**made)
    subject = replace(subject, facts={**subject.facts, **facts})
    decision = subject.operating_point.decision
    figures = evaluation(result, decision.thresholds if decision else None)
    assert result.readable is not None
    findings = tuple(() if good else ("sharpness",) for good in result.readable)
    inference = {"mean_ms": 1.5, "single_p50_ms": 2.5, "what": "network alone", "where": "here"}
    answers = Answers("fp32", result.logits.astype(np.float32), findings, inference, np.zeros(len(findings), np.int64))
    judged_ids = {sample.id for sample in result.samples}
    parts = {sample.id: "test" if sample.id in judged_ids else "val" for sample in data.samples}
    rows = [{"epoch": e, "train_loss": 1 / e, "val_loss": 1.2 / e, "val_auc": 1 - 0.3 / e} for e in (1, 2, 3)]
    return build(subject, result, figures, answers, Setting("test", opened, data, parts, [("made", rows)]))
