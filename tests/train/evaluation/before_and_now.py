"""Out-of-fold sensitivity and specificity of a cross-validation: by the rule of before, and by the promise."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fieldlens.runtime.bundle.decision import calibrated
from fieldlens.train.checkpoint import load_run
from fieldlens.train.config import Config
from fieldlens.train.data.cache import load_tensors
from fieldlens.train.data.load import load_data
from fieldlens.train.epoch.loop import predict
from fieldlens.train.evaluation.crossval import ANSWERS, crossval
from fieldlens.train.evaluation.pooled_point import validation_of
from fieldlens.train.metrics import wilson
from tests.train.decide.test_promise_kept import rule_of_before


@dataclass(frozen=True)
class Found:
    """Images judged by networks that had not seen them: the sick that are referred, the well that are not. Those in the
    band count as referred, as the device acts."""

    hits: int
    positives: int
    passes: int
    negatives: int

    @property
    def sensitivity(self) -> float:
        return self.hits / self.positives

    @property
    def specificity(self) -> float:
        return self.passes / self.negatives

    def row(self, name: str) -> str:
        """A line of docs/evaluation.md."""
        cells = []
        for part, whole in ((self.hits, self.positives), (self.passes, self.negatives)):
            low, high = wilson(part, whole)
            cells.append(f"{part / whole:.3f} [{low:.3f}, {high:.3f}]")
        return f"| {name} | {' | '.join(cells)} |"

    def __add__(self, other: Found) -> Found:
        return Found(
            self.hits + other.hits, self.positives + other.positives, self.passes + other.passes,
            self.negatives + other.negatives,
        )  # fmt: skip


def both(name: str, config: Config, data_path: Path, out: Path) -> tuple[Found, Found]:
    """Cross-validate (or go on with it), print the rows of docs/evaluation.md: before and now."""
    report = crossval(config, data_path, out)
    pooled = json.loads((out / "crossval.json").read_text())["pooled"]
    decision = report.figures.decision
    assert decision is not None
    then, now = before(config, data_path, out), _now(pooled)
    print(f"\n{name}, AUC {pooled['auc']:.3f}, outcomes {decision['outcomes']}")
    print(then.row("before"), now.row("now"), decision["promise"], pooled.get("carried_over"), sep="\n", flush=True)
    return then, now


def _now(pooled: dict[str, Any]) -> Found:
    counts = pooled["uncertain_as_refer"]
    positives, negatives = int(counts["positives"]), int(counts["negatives"])
    hits, passes = round(counts["sensitivity"] * positives), round(counts["specificity"] * negatives)
    return Found(hits, positives, passes, negatives)


def before(config: Config, data_path: Path, out: Path) -> Found:
    """By each fold's own validation part and the rule of before."""
    data, counts = load_data(data_path, config.data, None), np.zeros(4, int)
    label = {sample.id: sample.label for sample in data.samples}
    place = data.classes.index(config.decision.positive[0])
    for fold in sorted(out.glob("fold-*")):
        run, answers = load_run(fold), json.loads((fold / ANSWERS).read_text())
        samples = validation_of(fold, data)
        own = predict(run.model, load_tensors(data, samples, run.preprocess, "validation").images)
        truth = np.array([sample.label == place for sample in samples])
        threshold = rule_of_before(_scores(own, place), truth)
        referred = _scores(np.array(answers["logits"]), place) >= threshold
        sick = np.array([label[name] == place for name in answers["ids"]])
        counts += [(referred & sick).sum(), sick.sum(), (~referred & ~sick).sum(), (~sick).sum()]
    return Found(*map(int, counts))


def _scores(logits: npt.NDArray[Any], place: int) -> npt.NDArray[Any]:
    return calibrated(logits, 1.0, "multiclass")[:, place]
