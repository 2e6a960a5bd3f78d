from __future__ import annotations

import numpy as np
import pytest

from fieldlens.runtime.bundle.decision import calibrated, decision_from_json
from fieldlens.runtime.errors import ConfigError
from fieldlens.train.config import DecisionConfig
from fieldlens.train.decide.operating_point import (
    check_decision,
    choose_decision,
    fit_operating_point,
    fit_temperature,
    parse_target,
    rates,
    threshold_for,
)
from fieldlens.train.metrics import ece, wilson

CLASSES = ("healthy", "mild", "severe")


def logits_of(n: int = 600, sharpness: float = 1.0, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Logits whose softmax at temperature ``sharpness`` is calibrated: labels are drawn from it."""
    random = np.random.default_rng(seed)
    logits = random.normal(0, 2, (n, 3))
    probabilities = calibrated(logits, 1.0, "multiclass")
    labels = np.array([random.choice(3, p=row) for row in probabilities])
    return logits * sharpness, labels


@pytest.mark.parametrize("sharpness", [0.5, 1.0, 3.0])
def test_temperature_finds_how_sharp_the_logits_were_made(sharpness: float) -> None:
    logits, labels = logits_of(4000, sharpness)
    assert fit_temperature(logits, labels) == pytest.approx(sharpness, rel=0.08)


def test_temperature_mends_overconfidence_and_keeps_the_classes() -> None:
    logits, labels = logits_of(2000, 4.0)
    before, after = (
        calibrated(logits, 1.0, "multiclass"),
        calibrated(logits, fit_temperature(logits, labels), "multiclass"),
    )
    assert ece(after, labels) < ece(before, labels) / 3
    assert np.array_equal(before.argmax(1), after.argmax(1))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(("aim", "price"), [("sensitivity", "specificity"), ("specificity", "sensitivity")])
def test_no_threshold_that_meets_the_target_costs_less(aim: str, price: str, seed: int) -> None:
    random = np.random.default_rng(seed)
    positive = random.random(120) < 0.4
    scores = np.round(random.beta(2, 2, 120) * 0.7 + 0.3 * positive, 2)
    chosen = rates(scores, positive, threshold_for(scores, positive, parse_target(f"{aim} >= 0.9")))
    assert chosen[aim] >= 0.9
    others = [rates(scores, positive, threshold) for threshold in np.arange(-0.005, 1.01, 0.01)]
    meeting = [other for other in others if other[aim] >= 0.9]
    assert chosen[price] == max(other[price] for other in meeting)
    assert chosen[aim] == max(other[aim] for other in meeting if other[price] == chosen[price])


def test_sensitivity_beyond_the_target_is_taken_where_it_is_free() -> None:
    scores = np.concatenate([np.linspace(0.7, 0.99, 40), np.linspace(0.01, 0.3, 40)])
    positive = scores > 0.5
    for target in ("sensitivity >= 0.8", "specificity >= 0.8"):
        threshold = threshold_for(scores, positive, parse_target(target))
        assert threshold == pytest.approx(0.5)


def test_nineteen_of_twenty_are_enough_for_95_percent() -> None:
    scores = np.array([0.1] + [0.8] * 19 + [0.3] * 10)
    positive = np.array([True] * 20 + [False] * 10)
    assert threshold_for(scores, positive, parse_target("sensitivity >= 0.95")) == pytest.approx(0.55)


def test_rates_carry_wilsons_intervals_and_counts() -> None:
    found = rates(np.array([0.9, 0.8, 0.2, 0.1]), np.array([True, True, True, False]), 0.5)
    assert found["sensitivity"] == pytest.approx(2 / 3)
    assert found["sensitivity_interval"] == list(wilson(2, 3))
    assert (found["n"], found["positives"], found["negatives"]) == (4, 3, 1)
    assert rates(np.array([0.9]), np.array([True]), 0.5)["specificity"] is None


def test_the_decision_meets_its_target_and_its_band_holds_the_threshold() -> None:
    logits, labels = logits_of()
    probabilities = calibrated(logits, 1.0, "multiclass")
    groups = [f"g{n // 3}" for n in range(len(labels))]
    config = DecisionConfig(positive=("mild", "severe"), rounds=200)
    decision = choose_decision(probabilities, labels, CLASSES, groups, config)
    assert decision is not None
    assert decision.reached["sensitivity"] >= 0.95
    assert decision.band[0] < decision.threshold < decision.band[1]
    assert 0 < decision.reached["uncertain"] < 0.5
    assert decision_from_json(decision.to_json(), CLASSES) == decision


def test_more_images_make_a_narrower_band() -> None:
    config = DecisionConfig(positive=("severe",), rounds=200)
    widths = []
    for n in (150, 6000):
        logits, labels = logits_of(n)
        decision = choose_decision(
            calibrated(logits, 1.0, "multiclass"), labels, CLASSES, [str(i) for i in range(n)], config
        )
        assert decision is not None
        widths.append(decision.band[1] - decision.band[0])
    assert widths[1] < widths[0] / 2


def test_no_band_if_none_is_wanted() -> None:
    logits, labels = logits_of()
    config = DecisionConfig(positive=("severe",), band=0.0)
    probabilities = calibrated(logits, 1.0, "multiclass")
    decision = choose_decision(probabilities, labels, CLASSES, [str(n) for n in range(600)], config)
    assert decision is not None
    assert decision.band == (decision.threshold, decision.threshold)
    assert decision.reached["uncertain"] == 0


def test_a_general_classifier_has_no_decision() -> None:
    logits, labels = logits_of()
    point, value = fit_operating_point(logits, labels, CLASSES, [str(n) for n in range(600)], DecisionConfig())
    assert point.decision is None
    assert value["decision"] is None
    assert value["fitted_on"] == {"split": "val", "n": 600, "groups": 600}
    assert value["ece_after"] < 0.1


@pytest.mark.parametrize(
    "target",
    ["sensitivity > 0.9", "sensitivty >= 0.9", "sensitivity >= 0", "sensitivity >= 1.1", "specificity >= 1.2.3"],
)
def test_wrong_targets_are_refused_before_training(target: str) -> None:
    with pytest.raises(ConfigError):
        check_decision(DecisionConfig(positive=("severe",), target=target), CLASSES)


@pytest.mark.parametrize("positive", [("sever",), ("healthy", "mild", "severe")])
def test_wrong_positive_classes_are_refused_before_training(positive: tuple[str, ...]) -> None:
    with pytest.raises(ConfigError):
        check_decision(DecisionConfig(positive=positive), CLASSES)
