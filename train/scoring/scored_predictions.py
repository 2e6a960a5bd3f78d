"""A model's answers on some images beside the truth: what every figure of a report is computed from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from fieldlens.runtime.bundle.band import band_promise_of
from fieldlens.runtime.bundle.decision import Decision, Outcome, calibrated
from fieldlens.runtime.bundle.promise import promise_of
from fieldlens.train.data.samples import Sample
from fieldlens.train.decide.operating_point import Bools, truly_positive
from fieldlens.train.metrics import Floats, Ints, multilabel


@dataclass(frozen=True)
class Decided:
    """What the operating point says: ``positive`` is the truth ``[n]``, ``scores`` ``[n]`` are compared with
    ``threshold``; ``outcomes`` are the device's words without its gate."""

    positive: Bools
    scores: Floats
    threshold: float
    band: tuple[float, float]
    outcomes: tuple[str, ...]
    target: str
    promise: str = ""
    """What the threshold promises for new patients, in words; empty for decisions of before there were promises."""
    band_promise: str = ""
    """What the band's ends promise, likewise; empty where there is no band."""
    aim: str = ""
    """``target``, and whether more was wanted than is proved; empty as ``promise``."""

    @property
    def referred(self) -> Bools:
        """At or above the threshold ``[n]``."""
        return np.asarray(self.scores >= self.threshold)

    @property
    def reported(self) -> Bools:
        """Referred, with ``uncertain`` counted as such ``[n]``: what a clinic acts on."""
        return np.array([outcome != str(Outcome.NO_SIGN_FOUND) for outcome in self.outcomes], bool)


@dataclass(frozen=True)
class ScoredPredictions:
    """Logits float ``[n,C]``, labels ``[n]`` or 0/1 ``[n,C]``; ``temperatures`` ``[n]`` (in cross-validation each fold
    has its own). ``readable`` ``[n]``: passed the device's gate; None where there is none."""

    samples: tuple[Sample, ...]
    classes: tuple[str, ...]
    labels: Ints
    logits: Floats
    temperatures: Floats
    decided: Decided | None
    readable: Bools | None = None
    ordinal: bool = False

    @property
    def task(self) -> str:
        """``multiclass`` or ``multilabel``."""
        return "multilabel" if multilabel(self.labels) else "multiclass"

    @property
    def scaled(self) -> Floats:
        """Logits divided by the temperature, ``[n,C]``."""
        return np.asarray(np.asarray(self.logits, np.float64) / self.temperatures[:, None])

    @property
    def probabilities(self) -> Floats:
        """After temperature scaling, ``[n,C]``."""
        return calibrated(self.scaled, 1.0, self.task)

    @property
    def uncalibrated(self) -> Floats:
        """Before temperature scaling, ``[n,C]``."""
        return calibrated(self.logits, 1.0, self.task)

    @property
    def groups(self) -> tuple[str, ...]:
        """What belongs together in a bootstrap: the group, or the image itself."""
        return tuple(s.id if s.group is None else f"={s.group}" for s in self.samples)

    def part(self, chosen: Bools | Ints) -> ScoredPredictions:
        """The same of some of the images."""
        index = np.arange(len(self.samples))[chosen]
        decided = self.decided
        if decided is not None:
            outcomes = tuple(decided.outcomes[i] for i in index)
            decided = replace(
                decided, positive=decided.positive[index], scores=decided.scores[index], outcomes=outcomes
            )
        return replace(
            self, samples=tuple(self.samples[i] for i in index), labels=self.labels[index], logits=self.logits[index],
            temperatures=self.temperatures[index], decided=decided,
            readable=None if self.readable is None else self.readable[index],
        )  # fmt: skip


def labels_of(samples: Sequence[Sample]) -> Ints:
    """int64 ``[n]``, or 0/1 ``[n,C]`` where an image may have several findings."""
    return np.array([sample.label for sample in samples], np.int64)


def scored(
    samples: Sequence[Sample], classes: Sequence[str], labels: Ints, logits: Floats, temperature: float,
    decision: Decision | None, readable: Bools | None = None, ordinal: bool = False,
) -> ScoredPredictions:  # fmt: skip
    """Answers ``[n,C]`` at one operating point."""
    plain = ScoredPredictions(
        tuple(samples), tuple(classes), labels, logits, np.full(len(labels), temperature), None, readable, ordinal
    )
    if decision is None:
        return plain
    return replace(plain, decided=decide(plain.probabilities, labels, decision, classes))


def decide(probabilities: Floats, labels: Ints, decision: Decision, classes: Sequence[str]) -> Decided:
    """Calibrated probabilities ``[n,C]`` at a decision."""
    scores = decision.score(probabilities, classes)
    outcomes: npt.NDArray[np.str_] = np.array([str(decision.outcome(float(score))) for score in scores])
    positive = truly_positive(labels, decision.positive, classes)
    promise, ends = promise_of(decision.reached), band_promise_of(decision.reached)
    return Decided(
        positive, scores, decision.threshold, decision.band, tuple(outcomes.tolist()), decision.target,
        promise.words() if promise else "", ends.words() if ends and decision.band[0] < decision.band[1] else "",
        promise.aim if promise else "",
    )  # fmt: skip
