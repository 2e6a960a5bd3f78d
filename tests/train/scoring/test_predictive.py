from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics as theirs

from fieldlens.train.scoring.predictive import at_prevalence, pr_points, roc_points, threshold_table
from fieldlens.train.scoring.scored_predictions import Decided


def reported(hits: int, sick: int, passes: int, well: int) -> tuple[np.ndarray, np.ndarray]:
    """Referred and truth with these counts."""
    referred = np.array([True] * hits + [False] * (sick - hits) + [False] * passes + [True] * (well - passes))
    return referred, np.array([True] * sick + [False] * well)


def test_bayes_rule_on_a_textbook_case() -> None:
    """90% sensitivity, 90% specificity, 1% prevalence: one in twelve who are referred has it."""
    row = at_prevalence(*reported(90, 100, 90, 100), prevalence=0.01)
    assert row["ppv"] == pytest.approx(0.009 / (0.009 + 0.099))
    assert row["npv"] == pytest.approx(0.891 / (0.891 + 0.001))
    assert row["referred_per_1000"] == pytest.approx(108)
    assert row["found_per_1000"] + row["missed_per_1000"] == pytest.approx(10)


def test_at_the_sets_own_prevalence_it_is_the_plain_share() -> None:
    referred, truth = reported(45, 50, 120, 150)
    row = at_prevalence(referred, truth, 0.25)
    assert row["ppv"] == pytest.approx(truth[referred].mean())
    assert row["npv"] == pytest.approx((~truth)[~referred].mean())
    assert row["ppv_interval"][0] < row["ppv"] < row["ppv_interval"][1]


def test_the_interval_covers_as_often_as_it_says() -> None:
    """2000 studies of 80 and 120 people, true rates 0.9 and 0.8, at 10% prevalence."""
    random = np.random.default_rng(0)
    true_ppv = 0.1 * 0.9 / (0.1 * 0.9 + 0.9 * 0.2)
    inside = 0
    for hits, passes in zip(random.binomial(80, 0.9, 2000), random.binomial(120, 0.8, 2000), strict=True):
        low, high = at_prevalence(*reported(int(hits), 80, int(passes), 120), 0.1)["ppv_interval"]
        inside += low <= true_ppv <= high
    assert inside / 2000 == pytest.approx(0.95, abs=0.02)


def test_without_a_miss_the_interval_is_open_on_one_side_only() -> None:
    row = at_prevalence(*reported(40, 40, 60, 60), 0.1)
    assert row["ppv"] == row["npv"] == 1
    assert 0.3 < row["ppv_interval"][0] < row["ppv_interval"][1] == 1
    assert at_prevalence(np.ones(3, bool), np.ones(3, bool), 0.1) == {"prevalence": 0.1}


def made(n: int = 400) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(1)
    truth = random.random(n) < 0.3
    return np.round(random.normal(size=n) + 1.5 * truth, 1), truth


def test_curves_against_scikit_learn() -> None:
    scores, truth = made()
    curve = roc_points(scores, truth)
    fpr, tpr, _ = theirs.roc_curve(truth, scores, drop_intermediate=False)
    assert curve["fpr"] == pytest.approx(fpr, abs=1e-5)
    assert curve["tpr"] == pytest.approx(tpr, abs=1e-5)
    found = pr_points(scores, truth)
    assert found["average_precision"] == pytest.approx(theirs.average_precision_score(truth, scores))
    precision, recall, _ = theirs.precision_recall_curve(truth, scores)
    assert found["recall"] == pytest.approx(recall[:-1][::-1], abs=1e-5)
    assert found["precision"] == pytest.approx(precision[:-1][::-1], abs=1e-5)


def test_a_long_curve_is_thinned_and_keeps_its_ends() -> None:
    random = np.random.default_rng(2)
    scores, truth = random.random(5000), random.random(5000) < 0.5
    curve = roc_points(scores, truth)
    assert len(curve["fpr"]) == 400
    assert (curve["fpr"][0], curve["tpr"][0], curve["fpr"][-1], curve["tpr"][-1]) == (0, 0, 1, 1)


def test_the_threshold_table_marks_the_chosen_one_and_its_band() -> None:
    scores, truth = made()
    scores = 1 / (1 + np.exp(-scores))
    decided = Decided(truth, scores, 0.42, (0.35, 0.5), ("refer",) * len(truth), "sensitivity >= 0.95")
    rows = threshold_table(decided, 0.05)
    assert {row["note"]: row["threshold"] for row in rows if row["note"]} == {
        "chosen": 0.42,
        "band, low end": 0.35,
        "band, high end": 0.5,
    }
    assert [row["threshold"] for row in rows] == sorted(row["threshold"] for row in rows)
    assert np.all(np.diff([row["sensitivity"] for row in rows]) <= 0)
    assert np.all(np.diff([row["referred_per_1000"] for row in rows]) <= 0)


def test_thresholds_that_judge_every_image_alike_share_a_row() -> None:
    truth = np.array([False, False, True, True])
    scores = np.array([0.12, 0.32, 0.72, 0.93])
    decided = Decided(truth, scores, 0.6, (0.0, 0.0), ("refer",) * 4, "sensitivity >= 0.95")
    rows = threshold_table(decided, 0.05)
    assert [row["threshold"] for row in rows] == [0.05, 0.2, 0.6, 0.8, 0.95]  # 0.4 to 0.7 are what 0.6 is
    assert [row["note"] for row in rows] == ["", "", "chosen", "", ""]
    rates = [(row["sensitivity"], row["specificity"]) for row in rows]
    assert len(set(rates)) == len(rates)
