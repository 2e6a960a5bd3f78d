"""The proof behind a threshold, against SciPy and against counting."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from fieldlens.runtime.bundle import promise as ours
from fieldlens.runtime.errors import BundleError


@pytest.mark.parametrize(("a", "b"), [(45, 1), (12.4, 3.3), (1, 1), (389, 12), (0.5, 700)])
def test_the_incomplete_beta_function_is_scipys(a: float, b: float) -> None:
    for x in (0.0, 1e-6, 0.01, 0.3, 0.8, 0.97, 1.0):
        assert ours.beta_below(x, a, b) == pytest.approx(stats.beta.cdf(x, a, b), abs=1e-11)


@pytest.mark.parametrize(("misses", "groups"), [(0, 15), (3, 135), (12, 389), (0, 1)])
def test_what_is_proved_is_scipys_exact_lower_limit(misses: int, groups: int) -> None:
    exact = stats.binomtest(groups - misses, groups, alternative="greater").proportion_ci(0.9, "exact").low
    assert ours.proved_share(misses, groups, 0.9) == pytest.approx(exact, abs=1e-9)
    assert ours.proves(misses, groups, exact - 1e-6, 0.9)
    assert not ours.proves(misses, groups, exact + 1e-6, 0.9)


def test_nothing_is_proved_by_nobody() -> None:
    assert ours.proved_share(0, 0, 0.9) == ours.proved_share(3, 3, 0.9) == 0.0


@pytest.mark.parametrize(
    ("share", "confidence", "misses", "needed"),
    [(0.95, 0.9, 0, 45), (0.95, 0.9, 1, 77), (0.9, 0.9, 0, 22), (0.95, 0.95, 0, 59), (1.0, 0.9, 0, 2**53)],
)
def test_how_many_groups_are_needed(share: float, confidence: float, misses: int, needed: int) -> None:
    assert ours.groups_needed(share, confidence, misses) == needed


def test_a_group_counts_once_however_many_images_it_has() -> None:
    scores = np.array([0.9, 0.8, 0.7, 0.6, 0.2, 0.1])
    side = ours.side_of(scores, np.ones(6, bool), ["a", "a", "a", "a", "b", "c"], rising=True)
    assert side.groups == 3
    assert side.weights.tolist() == [1, 1, 0.25, 0.25, 0.25, 0.25]
    border, proved = ours.promised_border(side, 0.03, 0.9)
    assert (border, proved) == (0.6, ours.proved_share(2, 3, 0.9))


def test_equal_scores_are_right_or_missed_together() -> None:
    scores = np.repeat([0.3, 0.6], 40)
    side = ours.side_of(scores, np.ones(80, bool), [str(n) for n in range(80)], rising=True)
    assert ours.promised_border(side, 0.9, 0.9)[0] == 0.3
    assert ours.promised_border(side, 0.3, 0.9)[0] == 0.6


def test_an_empty_side_has_no_border() -> None:
    with pytest.raises(ValueError, match="no border"):
        ours.promised_border(ours.side_of(np.ones(2), np.zeros(2, bool), ["a", "b"], rising=True), 0.9, 0.9)


def test_words_and_records() -> None:
    few = ours.Promise("specificity", 0.95, 0.8579, 0.9, 12, 15, 45)
    assert few.words().startswith("12 negative groups can prove a specificity of at most 0.857; 0.95 needs 45")
    assert few.target == "specificity >= 0.857"
    assert ours.promise_of({"promise": few.to_json()}) == few
    assert ours.promise_of({}) is None
    with pytest.raises(BundleError, match="proved"):
        ours.promise_of({"promise": {**few.to_json(), "proved": 2}}, error=BundleError)
