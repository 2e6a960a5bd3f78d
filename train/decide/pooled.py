"""An operating point from out-of-fold scores: where the images of one validation part prove too little.

Every image is scored by a network of the same recipe that had not seen its group, and all of them choose temperature
and threshold together. The proof is about those networks. The one that is kept is another, so how well the point
carries over to it is measured on images that it was not trained on, and the promise says whose scores it rests on.

Networks of one recipe differ in where their logits lie and how far they spread. Each network's are therefore brought
to mean and spread of the kept network's validation logits first (both are of stratified parts of the same data; no
label is used). In a simulation of the tests, offsets of 1 and factors of 1.2 otherwise cost 0.15 of the specificity,
and the target is kept less often than promised.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fieldlens.runtime.bundle.decision import calibrated
from fieldlens.runtime.bundle.promise import groups_needed
from fieldlens.train.config import DecisionConfig
from fieldlens.train.decide.operating_point import (
    OperatingPoint,
    fit_operating_point,
    rates,
    task_of,
    truly_positive,
)
from fieldlens.train.decide.thresholds import parse_target
from fieldlens.train.metrics import Floats, Ints, multilabel

SPLIT = "out-of-fold"
"""In ``fitted_on``, where others say ``val``."""


def groups_to_prove(labels: Ints, groups: Sequence[str], classes: Sequence[str], config: DecisionConfig) -> int:
    """How many groups could prove the target: of the sick or of the well; of several labels, of the rarest."""
    sick = parse_target(config.target).measure == "sensitivity"
    findings = [(name,) for name in config.positive] if multilabel(labels) else [config.positive]
    names = np.asarray(groups, str)
    sides = [truly_positive(labels, each, classes) == sick for each in findings]
    return min(len(np.unique(names[side])) for side in sides)


def proves_too_little(labels: Ints, groups: Sequence[str], classes: Sequence[str], config: DecisionConfig) -> bool:
    """Have these images fewer groups than the target needs? False without a decision."""
    if not config.positive:
        return False
    count = len(config.positive) if multilabel(labels) else 1
    needed = groups_needed(parse_target(config.target).least, 1 - (1 - config.confidence) / count)
    return groups_to_prove(labels, groups, classes, config) < needed


def on_scale_of(own: Floats, logits: Floats, network: Ints, several: bool) -> Floats:
    """Logits ``[n,C]`` of the networks numbered in ``network`` ``[n]``, with the mean and the spread of ``own``
    ``[m,C]``: of all classes together, or for each label where there may be several."""
    found = np.empty(logits.shape, np.float64)
    target, width = _place_and_spread(own, several)
    for number in np.unique(network):
        rows = network == number
        place, spread = _place_and_spread(logits[rows], several)
        found[rows] = (_centred(logits[rows], several) - place) * (width / spread) + target
    return found


def _centred(logits: Floats, several: bool) -> Floats:
    """A softmax does not see what all logits of an image share."""
    rows = np.asarray(logits, np.float64)
    return rows if several else rows - rows.mean(axis=1, keepdims=True)


def _place_and_spread(logits: Floats, several: bool) -> tuple[Floats, Floats]:
    """Mean ``[C]`` and standard deviation, ``[C]`` or of all classes together."""
    rows = _centred(logits, several)
    place = rows.mean(axis=0)
    squares = ((rows - place) ** 2).mean(axis=0)
    return place, np.maximum(np.sqrt(squares if several else squares.mean()), 1e-6)


def pooled_point(
    logits: Floats, labels: Ints, classes: Sequence[str], groups: Sequence[str], config: DecisionConfig, networks: int
) -> tuple[OperatingPoint, dict[str, Any]]:
    """The operating point of logits ``[n,C]`` by so many other networks (see :func:`on_scale_of`), and what
    ``operating-point.json`` holds."""
    point, value = fit_operating_point(logits, labels, classes, groups, config, networks)
    value["fitted_on"] = {**value["fitted_on"], "split": SPLIT, "networks": networks}
    return point, value


def carried_over(
    own: Floats, others: Floats, labels: Ints, classes: Sequence[str], point: OperatingPoint
) -> dict[str, Any]:
    """What the kept network reaches at the point on images ``[n]`` that it was not trained on (``own`` logits
    ``[n,C]``), and under ``others`` what the networks that chose it reach on the same images, at its scale."""
    decision = point.decision
    assert decision is not None
    positive = truly_positive(labels, decision.positive, classes)
    found = [
        rates(decision.score(calibrated(logits, point.temperature, task_of(labels)), classes), positive,
              decision.threshold)
        for logits in (own, others)
    ]  # fmt: skip
    return {**found[0], "others": found[1]}


def with_carried(value: dict[str, Any], carried: dict[str, Any]) -> dict[str, Any]:
    """What ``operating-point.json`` holds, with this measure; in ``reached`` too, which travels in the bundle."""
    decision = value["decision"]
    decision = {**decision, "reached": {**decision["reached"], "carried_over": carried}}
    return {**value, "decision": decision, "carried_over": carried}


def said(carried: dict[str, Any], name: str, networks: int) -> str:
    """One line for people; ``name``: of the run."""
    there = carried["others"]
    cells = [
        f"{measure} {carried[measure]:.3f} ({low:.3f}–{high:.3f}; theirs {there[measure]:.3f})"
        for measure in ("sensitivity", "specificity")
        if carried[measure] is not None
        for low, high in [carried[f"{measure}_interval"]]
    ]
    return (
        f"{name}: temperature and threshold are those of the out-of-fold scores of {networks} networks; its own "
        f"reaches {', '.join(cells)} there on {carried['n']} validation images"
    )
