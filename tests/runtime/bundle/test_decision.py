"""Logits → probabilities → score → outcome."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit, softmax

from fieldlens.runtime.bundle.decision import Decision, Outcome, calibrated, decision_from_json
from fieldlens.runtime.errors import ConfigError

LOGITS = np.array([[2.0, -1.0, 0.5], [900.0, -900.0, 0.0]])


def test_softmax_and_sigmoid_agree_with_scipy_and_never_overflow() -> None:
    assert np.allclose(calibrated(LOGITS, 1.7, "multiclass"), softmax(LOGITS / 1.7, axis=1))
    assert np.allclose(calibrated(LOGITS, 1.7, "multilabel"), expit(LOGITS / 1.7))


def binary(band: tuple[float, float] = (0.4, 0.6)) -> Decision:
    return Decision("sum", ("b", "c"), {"b": 0.6, "c": 0.6}, band, "sensitivity >= 0.95", {})


@pytest.mark.parametrize(
    ("score", "outcome"),
    [(0.39, Outcome.NO_SIGN_FOUND), (0.4, Outcome.UNCERTAIN), (0.6, Outcome.UNCERTAIN), (0.61, Outcome.REFER)],
)
def test_a_sum_is_compared_with_band_and_threshold(score: float, outcome: Outcome) -> None:
    probabilities = np.array([1 - score, score / 4, score * 3 / 4])
    decision = binary()
    assert decision.score(probabilities, ["a", "b", "c"]) == pytest.approx(score)
    assert decision.outcome(round(float(decision.score(probabilities, ["a", "b", "c"])), 9)) is outcome


def test_an_empty_band_leaves_no_uncertainty() -> None:
    assert binary((0.6, 0.6)).outcome(0.6) is Outcome.REFER
    assert binary((0.6, 0.6)).outcome(0.5999) is Outcome.NO_SIGN_FOUND


def test_any_puts_each_class_against_its_own_threshold() -> None:
    decision = Decision("any", ("a", "b"), {"a": 0.2, "b": 0.7}, (0.5, 0.5), "", {})
    below, on_a, above_b = ([0.19, 0.69, 0.9], [0.2, 0.1, 0.0], [0.1, 0.71, 0.0])
    scores = decision.score(np.array([below, on_a, above_b]), ["a", "b", "x"])
    assert scores[0] < 0.5
    assert scores[1] == pytest.approx(0.5)
    assert scores[2] > 0.5


def test_json_round_trip() -> None:
    for decision in (binary(), Decision("any", ("a",), {"a": 0.3}, (0.4, 0.5), "x", {"n": 3})):
        assert decision_from_json(decision.to_json(), ["a", "b", "c"]) == decision
    assert decision_from_json(None, ["a"]) is None


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"rule": "some"}, "'rule' is 'some'"),
        ({"thresholds": "0.5"}, "'thresholds' must be float or an object, not '0.5'"),
        ({"thresholds": {"b": True, "c": 0.5}}, "thresholds.b must be float, not True"),
        ({"positive": ["b", "b"]}, "names a class twice"),
        ({"band": [0.6, 0.4]}, "runs from high to low"),
        ({"treshold": 1}, "unknown key 'treshold'"),
        ({"positive": []}, "some of the classes"),
        ({"positive": ["a", "b", "c"]}, "some of the classes"),
        ({"positive": ["d"]}, "'d' is not a class"),
        ({"thresholds": {"b": 0.5}}, "a threshold per positive class"),
        ({"thresholds": {"b": 0.5, "c": 0.6}}, "a threshold per positive class"),
        ({"band": [0.1]}, "'band' must have 2 items, not 1"),
        ({"band": [0.1, 2]}, r"band\[1\] must be between 0 and 1, not 2"),
    ],
)
def test_a_mistake_is_named(change: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        decision_from_json({**binary().to_json(), **change}, ["a", "b", "c"])
