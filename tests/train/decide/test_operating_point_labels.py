"""The operating point of several labels: a threshold each, one temperature, and a band around the joint border."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics as theirs

from fieldlens.runtime.bundle.decision import calibrated, decision_from_json
from fieldlens.runtime.bundle.promise import promise_of
from fieldlens.runtime.errors import ConfigError
from fieldlens.train.config import DecisionConfig
from fieldlens.train.decide.operating_point import (
    check_decision,
    counted,
    fit_operating_point,
    fit_temperature,
    truly_positive,
)
from fieldlens.train.scoring.scored_predictions import decide

NAMES = ("effusion", "mass", "nodule")


def made(n: int = 600, sharpness: float = 1.0, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Logits that are calibrated at temperature ``sharpness``: labels are drawn from their sigmoid."""
    random = np.random.default_rng(seed)
    logits = random.normal(-1, 2, (n, len(NAMES)))
    labels = (random.random(logits.shape) < calibrated(logits, 1.0, "multilabel")).astype(np.int64)
    return logits * sharpness, labels


def config(**values: object) -> DecisionConfig:
    return DecisionConfig(**{"positive": NAMES, "rounds": 60, "target": "sensitivity >= 0.9", **values})  # type: ignore[arg-type]


def groups(n: int) -> list[str]:
    return [f"g{index // 2}" for index in range(n)]


@pytest.mark.parametrize("sharpness", [0.5, 2.0])
def test_one_temperature_for_all_labels(sharpness: float) -> None:
    assert fit_temperature(*made(3000, sharpness)) == pytest.approx(sharpness, rel=0.08)


def test_every_label_meets_the_target_by_itself() -> None:
    logits, labels = made()
    point, value = fit_operating_point(logits, labels, NAMES, groups(600), config())
    decision = point.decision
    assert decision
    assert decision.rule == "any"
    probabilities = calibrated(logits, point.temperature, "multilabel")
    for column, name in enumerate(NAMES):
        said = probabilities[:, column] >= decision.thresholds[name]
        reached = value["decision"]["reached"]["labels"][name]
        assert reached["sensitivity"] == pytest.approx(theirs.recall_score(labels[:, column], said))
        assert reached["sensitivity"] >= 0.9
        assert reached["specificity"] == pytest.approx(theirs.recall_score(1 - labels[:, column], ~said))
        assert reached["chosen"]
    assert value["ece_after"] <= value["ece_before"] + 0.01


def test_the_image_is_referred_if_any_label_is() -> None:
    logits, labels = made()
    point, _ = fit_operating_point(logits, labels, NAMES, groups(600), config(band=0.0))
    assert point.decision
    probabilities = calibrated(logits, point.temperature, "multilabel")
    borders = np.array([point.decision.thresholds[name] for name in NAMES])
    found = decide(probabilities, labels, point.decision, NAMES)
    assert np.array_equal(found.referred, (probabilities >= borders).any(axis=1))
    assert np.array_equal(found.positive, labels.any(axis=1))
    joint = counted(found.referred, found.positive)
    assert {key: point.decision.reached[key] for key in joint} == joint


def test_the_number_of_labels_costs_confidence_and_is_said() -> None:
    logits, labels = made()
    promises = []
    for positive in (NAMES[:1], NAMES):
        point, _ = fit_operating_point(logits, labels, NAMES, groups(600), config(positive=positive))
        assert point.decision
        promises.append(promise_of(point.decision.reached))
        own = promise_of(point.decision.reached["labels"][NAMES[0]])
        assert own
        assert (own.labels, own.confidence) == (len(positive), 0.9)
    alone, together = promises
    assert alone
    assert together
    assert (alone.needed, together.needed) == (22, 33)
    assert "for all 3 labels together" in together.words()


def test_the_band_begins_at_the_joint_border() -> None:
    logits, labels = made(2400, seed=4)
    point, _ = fit_operating_point(logits, labels, NAMES, groups(2400), config(uncertain_most=1.0))
    assert point.decision
    low, high = point.decision.band
    assert low <= 0.5 < high
    probabilities = calibrated(logits, point.temperature, "multilabel")
    scores, sick = point.decision.score(probabilities, NAMES), labels.any(axis=1)
    assert np.mean(scores[sick] < low) <= 0.1
    assert np.mean(scores[~sick] > high) <= 0.2
    assert point.decision.reached["uncertain"] == pytest.approx(np.mean((scores >= low) & (scores <= high)))


def test_a_label_without_examples_says_that_nothing_was_chosen() -> None:
    logits, labels = made()
    labels[:, 1] = 0
    point, _ = fit_operating_point(logits, labels, NAMES, groups(600), config())
    assert point.decision
    assert point.decision.thresholds["mass"] == 0.5
    reached = point.decision.reached["labels"]["mass"]
    assert (reached["chosen"], reached["sensitivity"], reached["positives"]) == (False, None, 0)


def test_it_comes_back_from_json() -> None:
    logits, labels = made()
    point, value = fit_operating_point(logits, labels, NAMES, groups(600), config(positive=("mass", "nodule")))
    assert decision_from_json(value["decision"], NAMES) == point.decision


def test_all_labels_may_be_findings_but_not_all_classes() -> None:
    check_decision(config(), NAMES, "multilabel")
    with pytest.raises(ConfigError, match="every class"):
        check_decision(config(), NAMES, "multiclass")


def test_only_the_positive_labels_make_an_image_positive() -> None:
    labels = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 0]])
    assert truly_positive(labels, ("mass",), NAMES).tolist() == [False, True, False]
    assert truly_positive(np.array([0, 1, 2]), ("mass", "nodule"), NAMES).tolist() == [False, True, True]


def test_rates_against_scikit_learn() -> None:
    random = np.random.default_rng(0)
    truth, said = random.random(200) < 0.3, random.random(200) < 0.4
    found = counted(said, truth)
    assert found["ppv"] == pytest.approx(theirs.precision_score(truth, said))
    assert found["npv"] == pytest.approx(theirs.precision_score(~truth, ~said))
    empty = counted(np.zeros(3, bool), np.zeros(3, bool))
    assert (empty["sensitivity"], empty["ppv"], empty["ppv_interval"]) == (None, None, [0.0, 1.0])
