from __future__ import annotations

import numpy as np
import pytest

from fieldlens.runtime.bundle.band import band_promise_of
from fieldlens.runtime.bundle.decision import calibrated, decision_from_json
from fieldlens.runtime.bundle.promise import promise_of
from fieldlens.runtime.errors import ConfigError
from fieldlens.train.config import DecisionConfig
from fieldlens.train.decide.operating_point import (
    check_decision,
    choose_decision,
    fit_operating_point,
    fit_temperature,
    rates,
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


def test_rates_carry_wilsons_intervals_and_counts() -> None:
    found = rates(np.array([0.9, 0.8, 0.2, 0.1]), np.array([True, True, True, False]), 0.5)
    assert found["sensitivity"] == pytest.approx(2 / 3)
    assert found["sensitivity_interval"] == list(wilson(2, 3))
    assert (found["n"], found["positives"], found["negatives"]) == (4, 3, 1)
    assert rates(np.array([0.9]), np.array([True]), 0.5)["specificity"] is None


def test_the_decision_promises_its_target_and_a_band_above_the_threshold() -> None:
    logits, labels = logits_of()
    probabilities = calibrated(logits, 1.0, "multiclass")
    groups = [f"g{n // 3}" for n in range(len(labels))]
    config = DecisionConfig(positive=("mild", "severe"), uncertain_most=1.0)
    decision = choose_decision(probabilities, labels, CLASSES, groups, config)
    assert decision is not None
    promise = promise_of(decision.reached)
    assert promise is not None
    assert (promise.kept, promise.target, decision.target) == (True, "sensitivity >= 0.95", "sensitivity >= 0.95")
    assert promise.groups < promise.images
    assert "positive groups" in promise.words()
    assert decision.reached["sensitivity"] > 0.95
    assert decision.band[0] == decision.threshold < decision.band[1]
    ends = [promise_of(decision.reached["band"], name) for name in ("low", "high")]
    assert [(end.measure, end.wanted, end.kept) for end in ends if end] == [
        ("sensitivity", 0.95, True), ("specificity", pytest.approx(0.9), True),
    ]  # fmt: skip
    assert 0 < decision.reached["uncertain"] < 0.6
    assert decision_from_json(decision.to_json(), CLASSES) == decision


def test_a_band_gives_way_above_rather_than_hold_a_third_of_all_images() -> None:
    """Sixty of each: 10% of the well above it would take a third of all images, twice that is few enough."""
    labels = np.arange(120) % 2
    margin = np.random.default_rng(2).normal(np.where(labels, 1.4, -1.4), 1)
    logits, names = np.stack([-margin / 2, margin / 2], axis=1), [str(n) for n in range(120)]
    found = {}
    for most in (1.0, 0.25):
        config = DecisionConfig(positive=("sick",), uncertain_most=most)
        point, _ = fit_operating_point(logits, labels, ("well", "sick"), names, config)
        assert point.decision is not None
        found[most] = point.decision
    wide, narrow = found[1.0], found[0.25]
    assert wide.reached["uncertain"] > 0.25 > narrow.reached["uncertain"]
    assert (narrow.threshold, narrow.band[0], narrow.target) == (wide.threshold, wide.band[0], wide.target)
    before, now = band_promise_of(wide.reached), band_promise_of(narrow.reached)
    assert before is not None
    assert now is not None
    assert [before.high.wanted, before.asked] == pytest.approx([0.9, 0.1])
    assert [now.high.wanted, now.asked] == pytest.approx([0.8, 0.1])
    assert now.high.kept
    assert now.words().endswith("; a band with 10% of the well above it would hold more than 25% of all images")


def test_a_target_of_specificity_gives_no_way_to_more_misses() -> None:
    logits, labels = logits_of(200)
    probabilities, names = calibrated(logits, 1.0, "multiclass"), [str(n) for n in range(200)]
    bands = []
    for most in (0.05, 1.0):
        config = DecisionConfig(positive=("severe",), target="specificity >= 0.9", uncertain_most=most)
        decision = choose_decision(probabilities, labels, CLASSES, names, config)
        assert decision is not None
        bands.append(decision.band)
    assert bands[0] == bands[1]
    assert bands[0][0] < bands[0][1]


def test_too_few_positives_say_what_they_can_prove() -> None:
    random = np.random.default_rng(1)
    labels = np.arange(40) % 40 < 15
    margin = random.normal(np.where(labels, 2, -2), 1)
    logits = np.stack([-margin / 2, margin / 2], axis=1)
    config = DecisionConfig(positive=("sick",))
    names = [str(n) for n in range(40)]
    point, value = fit_operating_point(logits, labels.astype(np.int64), ("well", "sick"), names, config)
    assert point.decision is not None
    promise = promise_of(point.decision.reached)
    assert promise is not None
    assert promise.words() == (
        "15 positives can prove a sensitivity of at most 0.857; 0.95 needs 45 without a miss (one-sided at 90%)"
    )
    assert point.decision.target == value["decision"]["target"] == "sensitivity >= 0.857"
    assert point.decision.reached["sensitivity"] == 1.0


@pytest.mark.parametrize("images", [9, 60, 600])
def test_what_validation_separates_does_not_collapse_the_temperature(images: int) -> None:
    labels = np.arange(images) % 2
    margin = np.where(labels == 1, 3.0, -3.0)
    logits = np.stack([-margin / 2, margin / 2], axis=1)
    sure = calibrated(logits, fit_temperature(logits, labels), "multiclass").max()
    assert sure == pytest.approx(1 - 1 / (images / 2 + 2), abs=0.02)
    people = ["one" if label else "another" for label in labels]
    of_two_people = calibrated(logits, fit_temperature(logits, labels, people), "multiclass").max()
    assert of_two_people == pytest.approx(2 / 3, abs=0.01)


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
