"""Every function that decides, over finite, infinite and missing values: the unknown falls on the safe side."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from fieldlens.convert.engine.acceptance import MIN_GAIN, Race, too_slow
from fieldlens.convert.measure.evaluate import Figures
from fieldlens.convert.measure.tolerance import FP16_LIMIT, broken, overflow
from fieldlens.runtime.backends.selftest import SelfTest
from fieldlens.runtime.bundle.decision import Decision, Outcome, calibrated
from fieldlens.runtime.bundle.manifest import Tolerance
from fieldlens.runtime.bundle.quality_limits import CHECKS, Limits, Range
from fieldlens.runtime.quality.measures import Measures, judge
from fieldlens.runtime.quality.ood import OodModel

NAN, INF = math.nan, math.inf
VALUES = (-INF, -1.0, -1e-12, 0.0, 0.2, 0.45, 0.5, 0.55, 0.8, 1.0, 1.0 + 1e-9, 2.0, INF, NAN)


def decision(threshold: float, low: float, high: float) -> Decision:
    return Decision("sum", ("sign",), {"sign": threshold}, (low, high), "", {})


@pytest.mark.parametrize("threshold", VALUES)
def test_no_sign_found_is_only_said_of_what_is_known(threshold: float) -> None:
    """All 14^4 combinations: no-sign-found needs three known numbers that say so."""
    for score, low, high in itertools.product(VALUES, repeat=3):
        outcome = decision(threshold, low, high).outcome(score)
        known = all(0 <= value <= 1 for value in (score, threshold, low, high))
        below = score < threshold
        in_band = low < high and low <= score <= high
        if known:
            expected = Outcome.UNCERTAIN if in_band else Outcome.NO_SIGN_FOUND if below else Outcome.REFER
            assert outcome == expected, (score, threshold, low, high)
        else:
            assert outcome in (Outcome.REFER, Outcome.UNCERTAIN), (score, threshold, low, high)


@pytest.mark.parametrize("rule", ["sum", "any"])
@pytest.mark.parametrize("task", ["multiclass", "multilabel"])
def test_logits_that_are_no_numbers_never_give_no_sign_found(rule: str, task: str) -> None:
    classes = ("clear", "sign", "other")
    positive = ("sign", "other")
    rules = Decision(rule, positive, dict.fromkeys(positive, 0.5), (0.4, 0.45), "", {})
    for values in itertools.product((-INF, -50.0, 0.0, 50.0, INF, NAN), repeat=3):
        if all(map(math.isfinite, values)):
            continue
        with np.errstate(invalid="ignore"):
            score = float(rules.score(calibrated(np.array(values, np.float32), 1.5, task), classes))
        if any(map(math.isnan, values)) and task == "multiclass":
            assert math.isnan(score)
        if not math.isfinite(score):
            assert rules.outcome(score) is Outcome.REFER


@pytest.mark.parametrize("check", ["brightness", "clipped", "contrast", "noise", "side"])
def test_the_quality_gate_passes_only_what_it_measured(check: str) -> None:
    bounds: list[float | None] = [None, -INF, 0.0, 0.5, 1.0, INF, NAN]
    plain = dict.fromkeys(("brightness", "clipped", "contrast", "noise", "side"), 0.5)
    for value, low, high in itertools.product(VALUES, bounds, bounds):
        open_range: Range = (None, None)
        ranges = {**dict.fromkeys(CHECKS, open_range), check: (low, high)}
        found = judge(Measures({**plain, check: value}, np.zeros(3)), Limits(ranges, {}))
        within = (low is None or value >= low) and (high is None or value <= high) and not math.isnan(value)
        assert bool(found) != within, (value, low, high)


def test_the_distance_of_features_without_numbers_is_none() -> None:
    """A NaN distance passed the gate once: the classifier refuses what is not finite before it compares."""
    model = OodModel(np.eye(2, 3, dtype=np.float32), np.zeros(3, np.float32), (0.0,), 1.0)
    for features in itertools.product((0.0, INF, -INF, NAN), repeat=2):
        if not all(map(math.isfinite, features)):
            with np.errstate(invalid="ignore"):
                assert not math.isfinite(model.score(np.array(features, np.float32)))


@pytest.mark.parametrize("allowed", [0.0, 0.1, INF, NAN])
@pytest.mark.parametrize("difference", [0.0, 0.1, 0.2, INF, NAN])
@pytest.mark.parametrize("turned", [0, 1])
def test_a_self_test_passes_only_within_a_known_tolerance(allowed: float, difference: float, turned: int) -> None:
    result = SelfTest("b", "int8", 8, difference, allowed, turned, 0, 1.0)
    assert result.passed == (turned == 0 and difference <= allowed and math.isfinite(allowed))


@pytest.mark.parametrize(("fast", "slow"), list(itertools.product((0.0, 1.0, 2.0, INF, NAN, -1.0), repeat=2)))
def test_int8_has_to_show_its_gain(fast: float, slow: float) -> None:
    gained = math.isfinite(fast) and math.isfinite(slow) and 0 <= fast <= (1 - MIN_GAIN) * slow and slow > 0
    assert (too_slow(Race(fast, slow), "int8", "fp16") == "") == gained


def figures(**values: float | None) -> Figures:
    base = dict.fromkeys(Figures.__dataclass_fields__)
    sound = {
        "precision": "int8", "n": 1000, "auc_delta": 0.0, "accuracy_delta": 0.0, "decisions_changed": 0.0,
        "max_logit_difference": 0.0,
    }  # fmt: skip
    return Figures(**{**base, **sound, **values})  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["auc_delta", "accuracy_delta", "decisions_changed", "max_logit_difference"])
@pytest.mark.parametrize("value", [NAN, INF, -INF])
def test_a_precision_is_refused_for_a_figure_that_is_no_number(name: str, value: float) -> None:
    tolerance = Tolerance(0.002, 0.01, 0.02, 0.3)
    assert broken(figures(), tolerance) == []
    assert broken(figures(**{name: value}), tolerance)


@pytest.mark.parametrize("peak", [FP16_LIMIT, INF, NAN])
def test_an_activation_that_is_no_number_overflows(peak: float) -> None:
    assert overflow(figures(peak=peak))
