"""From logits to calibrated probabilities, a score and an outcome: for trainer, converter and device alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt

from fieldlens.runtime.errors import ConfigError
from fieldlens.runtime.fields import Between, Count, OneOf, Unfit, nearest, shown
from fieldlens.runtime.files import bounds, records
from fieldlens.runtime.files.records import ErrorKind

Floats = npt.NDArray[np.floating[Any]]

TASKS = ("multiclass", "multilabel")


class Outcome(str, Enum):
    """What the device says of one image."""

    REFER = "refer"
    NO_SIGN_FOUND = "no-sign-found"
    UNCERTAIN = "uncertain"
    RETAKE = "retake"
    CLASSIFIED = "classified"

    def __str__(self) -> str:
        return self.value


def calibrated(logits: Floats, temperature: float, task: str) -> Floats:
    """Logits ``[…,C]`` → probabilities: softmax (``multiclass``) or sigmoid (``multilabel``) of ``logits / T``.

    Temperature scaling: Guo et al., On Calibration of Modern Neural Networks, ICML 2017.
    """
    scaled = np.asarray(logits, np.float64) / temperature
    if task == "multilabel":
        return np.asarray(0.5 * (1.0 + np.tanh(0.5 * scaled)))
    exponent = np.exp(scaled - np.maximum.reduce(scaled, -1, keepdims=True))
    return np.asarray(exponent / np.add.reduce(exponent, -1, keepdims=True))


def logit(probability: Floats | float) -> Floats:
    """Inverse of the sigmoid, kept finite at 0 and 1."""
    p = np.clip(np.asarray(probability, np.float64), 1e-9, 1 - 1e-9)
    return np.asarray(np.log(p) - np.log1p(-p))


@dataclass(frozen=True)
class Decision:
    """When to refer.

    ``sum``: the score is the summed probability of the ``positive`` classes, compared with one threshold.
    ``any``: each positive class has its own threshold; the score is the largest of
    ``sigmoid(logit(p) - logit(threshold))``, so that 0.5 is the border whatever the thresholds.
    ``band``: scores within ``[low, high]`` are uncertain.
    """

    rule: str
    positive: tuple[str, ...]
    thresholds: dict[str, float]
    band: tuple[float, float]
    target: str
    reached: dict[str, Any]

    @property
    def threshold(self) -> float:
        """The border on the score's scale."""
        return self.thresholds[self.positive[0]] if self.rule == "sum" else 0.5

    def score(self, probabilities: Floats, classes: Sequence[str]) -> Floats:
        """Probabilities ``[…,C]`` in the order of ``classes`` → scores ``[…]`` in [0, 1]."""
        columns = [classes.index(name) for name in self.positive]
        chosen = np.asarray(probabilities, np.float64)[..., columns]
        if self.rule == "sum":
            return np.asarray(np.minimum(chosen.sum(axis=-1), 1.0))
        borders = logit(np.array([self.thresholds[name] for name in self.positive]))
        return np.asarray((0.5 * (1.0 + np.tanh(0.5 * (logit(chosen) - borders)))).max(axis=-1))

    def driving(self, shares: Mapping[str, float]) -> str:
        """The positive class that the score comes from: of ``sum`` the likeliest, of ``any`` the one that lies highest
        over (or least below) its own threshold. ``shares``: probability by class."""
        if self.rule == "sum":
            return max(self.positive, key=lambda name: shares[name])
        return max(self.positive, key=lambda name: float(logit(shares[name]) - logit(self.thresholds[name])))

    def outcome(self, score: float) -> Outcome:
        """One score → refer, uncertain or no-sign-found.

        Only a score that is known to lie below the threshold and outside of the band is no-sign-found. Where a value
        is missing or no number within [0, 1], the comparisons do not hold and the answer is refer or uncertain.
        """
        low, high = self.band
        within = low <= score <= high and low < high
        known = 0.0 <= low <= 1.0 and 0.0 <= high <= 1.0
        if known and not within and 0.0 <= score < self.threshold <= 1.0:
            return Outcome.NO_SIGN_FOUND
        return Outcome.UNCERTAIN if within else Outcome.REFER

    def to_json(self) -> dict[str, Any]:
        """As in the manifest and ``operating-point.json``."""
        thresholds: Any = self.threshold if self.rule == "sum" else self.thresholds
        return {
            "rule": self.rule,
            "positive": list(self.positive),
            "thresholds": thresholds,
            "band": list(self.band),
            "target": self.target,
            "reached": self.reached,
        }


_Share = Annotated[float, Between(0, 1)]


@dataclass(frozen=True)
class _DecisionForm:
    """A decision as JSON has it: one threshold for a sum, else one for each positive class."""

    rule: Annotated[str, OneOf(("sum", "any"))]
    positive: Annotated[tuple[str, ...], Count(0, bounds.CLASSES)]
    thresholds: _Share | dict[str, _Share]
    band: tuple[_Share, _Share]
    target: str
    reached: dict[str, Any]

    def __post_init__(self) -> None:
        given = self.thresholds
        if len(set(self.positive)) != len(self.positive):
            raise Unfit("positive names a class twice", "name each finding once")
        clash = isinstance(given, dict) and self.rule == "sum" and len(set(given.values())) != 1
        if isinstance(given, dict) and (clash or set(given) != set(self.positive)):
            raise Unfit("a threshold per positive class is needed, and the same for all of a sum", "run fit again")
        if self.band[0] > self.band[1]:
            raise Unfit(f"the band {list(self.band)} runs from high to low", "run fit again")


def decision_from_json(
    value: Any, classes: Sequence[str], error: ErrorKind = ConfigError, where: str = "decision", renew: str = ""
) -> Decision | None:
    """Read a decision (``null`` stays None). Raises ``error`` for an unknown class or a threshold outside [0, 1]."""
    if value is None:
        return None
    form = records.read(_DecisionForm, value, where, error, renew=renew)
    for name in form.positive:
        if name not in classes:
            raise error(f"{where}: positive class {shown(name)} is not a class", renew or nearest(name, classes))
    if not form.positive or (form.rule == "sum" and len(form.positive) == len(classes)):
        advice = renew or "name the findings only"
        raise error(f"{where}: positive must name some of the classes, not none or all", advice)
    given = form.thresholds if isinstance(form.thresholds, dict) else dict.fromkeys(form.positive, form.thresholds)
    thresholds = {name: given[name] for name in form.positive}
    return Decision(form.rule, form.positive, thresholds, form.band, form.target, form.reached)
