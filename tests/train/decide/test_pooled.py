"""Scores of several networks on one scale: what that is worth for a threshold that another network is to use."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from scipy import stats

from fieldlens.runtime.bundle.decision import calibrated
from fieldlens.train.config import DecisionConfig
from fieldlens.train.decide.pooled import carried_over, on_scale_of, pooled_point

Floats = npt.NDArray[np.floating[Any]]
FOLDS, IMAGES, APART, SPREAD = 5, 28, 3.0, 1.5
CONFIG = DecisionConfig(positive=("sick",))


def logits_of(margin: Floats) -> Floats:
    return np.stack([-margin / 2, margin / 2], axis=1)


def drawn(count: int, offset: float, factor: float, random: np.random.Generator) -> tuple[Floats, npt.NDArray[Any]]:
    """Margins of a network, half of them of the sick, and the labels."""
    labels = (np.arange(count) < count // 2).astype(np.int64)
    return factor * SPREAD * random.normal(np.where(labels, APART / 2, -APART / 2), 1) + offset, labels


def kept_and_specificity(offset: float, factor: float, draws: int = 100) -> dict[str, tuple[float, float]]:
    """Networks that differ by so much: how often the pooled threshold keeps its promise, and its mean specificity."""
    random, found = np.random.default_rng(1), dict[str, list[tuple[bool, float]]]()
    for _ in range(draws):
        folds = [
            drawn(IMAGES, random.normal(0, offset), np.exp(random.normal(0, factor)), random) for _ in range(FOLDS)
        ]  # fmt: skip
        place, stretch = random.normal(0, offset), np.exp(random.normal(0, factor))
        own = logits_of(drawn(30, place, stretch, random)[0])
        raw, labels = logits_of(np.concatenate([fold[0] for fold in folds])), np.concatenate([f[1] for f in folds])
        network = np.repeat(np.arange(FOLDS), IMAGES)
        names = [str(number) for number in range(len(labels))]
        for name, logits in (("raw", raw), ("on its scale", on_scale_of(own, raw, network, False))):
            point, _ = pooled_point(logits, labels, ("well", "sick"), names, CONFIG, FOLDS)
            assert point.decision is not None
            score = point.decision.threshold
            margin = point.temperature * np.log(score / (1 - score))
            border = (margin - place) / stretch / SPREAD
            sensitivity = 1 - stats.norm.cdf(border - APART / 2)
            promised = float(point.decision.target.partition(">=")[2])
            found.setdefault(name, []).append((sensitivity >= promised, stats.norm.cdf(border + APART / 2)))
    return {name: (float(np.mean([a for a, _ in rows])), float(np.mean([b for _, b in rows])))
            for name, rows in found.items()}  # fmt: skip


def test_a_threshold_carries_over_to_a_network_whose_scores_lie_elsewhere() -> None:
    found = kept_and_specificity(1.0, 0.2)
    print(found)
    assert found["on its scale"][0] >= 0.88
    assert found["on its scale"][0] > found["raw"][0]
    assert found["on its scale"][1] > found["raw"][1] + 0.1
    alike = kept_and_specificity(0, 0)  # what it costs where there is nothing to bring together
    assert alike["on its scale"][0] >= 0.88
    assert alike["on its scale"][1] == pytest.approx(alike["raw"][1], abs=0.02)


@pytest.mark.parametrize("several", [False, True])
def test_mean_and_spread_are_those_of_the_kept_network(several: bool) -> None:
    random = np.random.default_rng(2)
    one, own = random.normal(0, 2, (40, 3)), random.normal(1, 0.5, (30, 3))
    factors = np.array([2.0, 3.0, 4.0]) if several else 2.0
    network = np.repeat([0, 1], 40)
    both = np.concatenate([one, factors * one + np.array([1.0, -1.0, 2.0])])
    found = on_scale_of(own, both, network, several)
    assert found[:40] == pytest.approx(found[40:])  # the same answers, whatever each network's scale
    centred = own if several else own - own.mean(axis=1, keepdims=True)
    assert found[:40].mean(axis=0) == pytest.approx(centred.mean(axis=0))
    spread = (found[:40].std(axis=0), own.std(axis=0)) if several else (
        np.sqrt(found[:40].var(axis=0).mean()), np.sqrt(centred.var(axis=0).mean()))  # fmt: skip
    assert spread[0] == pytest.approx(spread[1])
    same = calibrated(found[:40], 1.0, "multilabel" if several else "multiclass")
    assert same.argmax(1).tolist() == found[:40].argmax(1).tolist()
    assert np.isfinite(on_scale_of(own, np.zeros((4, 3)), np.zeros(4, int), several)).all()


def test_what_carries_over_is_counted_for_the_kept_network_beside_the_others() -> None:
    random = np.random.default_rng(3)
    margin, labels = drawn(200, 0, 1, random)
    names = [str(number) for number in range(200)]
    point, value = pooled_point(logits_of(margin), labels, ("well", "sick"), names, CONFIG, 4)
    found = carried_over(logits_of(margin - 2), logits_of(margin), labels, ("well", "sick"), point)
    assert found["others"]["sensitivity"] == value["decision"]["reached"]["sensitivity"]
    assert found["sensitivity"] < found["others"]["sensitivity"]
    assert found["specificity"] > found["others"]["specificity"]
