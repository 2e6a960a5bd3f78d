"""A clinic whose scores are shifted by a known amount: found, and the new threshold is right within its interval."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from fieldlens.runtime.bundle.band import BandPromise
from fieldlens.runtime.bundle.decision import Decision, logit
from fieldlens.runtime.bundle.promise import Promise
from fieldlens.runtime.site.figures import Costs, Local, candidates, cheapest, drift, propose, row_at, wilson

GRID = np.linspace(0, 1, 21)
SICK, WELL = stats.norm(2, 1.5), stats.norm(-2, 1.5)


def sigmoid(value: np.ndarray) -> np.ndarray:
    return np.asarray(1 / (1 + np.exp(-value)))


def decision(measure: str = "sensitivity") -> Decision:
    """A bundle's, chosen on 200 and 300 images of these distributions."""
    random = np.random.default_rng(0)
    scores = {
        "sick": np.quantile(sigmoid(SICK.rvs(200, random)), GRID).tolist(),
        "well": np.quantile(sigmoid(WELL.rvs(300, random)), GRID).tolist(),
    }
    reached = {"scores": scores, "positives": 200, "negatives": 300}
    return Decision("sum", ("sick",), {"sick": 0.3}, (0.3, 0.6), f"{measure} >= 0.95", reached)


def site(shift: float, seed: int, sick: int = 150, well: int = 300) -> Local:
    random = np.random.default_rng(seed)
    raw = np.concatenate([SICK.rvs(sick, random), WELL.rvs(well, random)]) + shift
    return Local(sigmoid(raw), np.arange(sick + well) < sick, tuple(map(str, range(sick + well))))


@pytest.mark.parametrize("shift", [-1.5, 1.0])
def test_a_known_shift_is_found_on_both_sides(shift: float) -> None:
    found = drift(site(shift, 1), decision().reached)
    assert [each.side for each in found] == ["sick", "well"]
    for each in found:
        assert each.found
        assert each.low < shift < each.high
        assert "differ from the bundle's" in each.words()


def test_no_shift_is_found_where_there_is_none_as_often_as_it_says() -> None:
    reached = {**decision().reached, "scores": {
        "sick": sigmoid(SICK.ppf(np.clip(GRID, 0.002, 0.998))).tolist(),
        "well": sigmoid(WELL.ppf(np.clip(GRID, 0.002, 0.998))).tolist(),
    }}  # fmt: skip
    false = [each.found for seed in range(60) for each in drift(site(0, seed), reached)]
    assert np.mean(false) <= 0.1
    assert drift(site(0, 0), {}) == []


@pytest.mark.parametrize("measure", ["sensitivity", "specificity"])
@pytest.mark.parametrize("shift", [-1.5, 1.0])
def test_the_new_threshold_is_right_within_its_interval_and_keeps_the_target(measure: str, shift: float) -> None:
    side, share = (SICK, 0.05) if measure == "sensitivity" else (WELL, 0.95)
    exact = float(sigmoid(side.ppf(share) + shift))
    inside, kept = [], []
    for seed in range(100):
        found = propose(site(shift, seed), decision(measure))
        inside.append(found.threshold_range[0] <= exact <= found.threshold_range[1])
        kept.append(found.threshold <= exact if measure == "sensitivity" else found.threshold >= exact)
        assert found.promise.kept
        assert found.band[0] <= found.threshold <= found.band[1]
    assert np.mean(inside) >= 0.84
    assert np.mean(kept) >= 0.84


def test_five_people_are_too_few_to_say_that_scores_differ() -> None:
    """Also where they have many images."""
    few = site(-3, 1, sick=5, well=40)
    assert [each.side for each in drift(few, decision().reached)] == ["well"]
    many = site(-3, 1, sick=60, well=40)
    grouped = replace(many, groups=tuple(str(n % 5) if n < 60 else f"w{n}" for n in range(100)))
    assert [each.side for each in drift(grouped, decision().reached)] == ["well"]


def test_the_interval_of_an_even_count_is_around_its_median() -> None:
    for each in drift(site(0, 2, sick=6, well=6), decision().reached):
        assert each.low <= each.shift <= each.high


def test_two_sites_of_the_same_people_differ_by_the_shift_alone() -> None:
    """One clinic's camera adds 1.2 to every logit: there drift is found and the threshold moves by just that."""
    one, another = site(0, 5), site(1.2, 5)
    assert [each.found for each in drift(one, decision().reached)] == [False, False]
    assert [each.found for each in drift(another, decision().reached)] == [True, True]
    here, there = propose(one, decision()), propose(another, decision())
    for first, second in zip((here.threshold, *here.band), (there.threshold, *there.band), strict=True):
        assert logit(second) - logit(first) == pytest.approx(1.2)
    assert here.promise == there.promise


def test_the_band_has_the_shares_of_the_bundles_own() -> None:
    def promised(measure: str, share: float) -> dict[str, object]:
        return Promise(measure, share, share, 0.9, 200, 200, 45).to_json()

    local, own = site(0, 6, sick=400, well=400), decision()
    narrow, wide = (
        replace(own, reached={**own.reached, "band": {"low": promised("sensitivity", 1 - low), "high": promised(
            "specificity", 1 - high)}})
        for low, high in ((0.05, 0.2), (0.02, 0.02))
    )  # fmt: skip
    none = propose(local, replace(own, reached={**own.reached, "band": {}}))
    assert none.band == (none.threshold, none.threshold)
    bands = [propose(local, each).band for each in (narrow, wide)]
    assert bands[1][0] < none.threshold
    assert bands[0][0] == none.threshold
    assert bands[0][1] < bands[1][1]
    assert np.mean(local.scores[local.positive] < bands[1][0]) <= 0.02
    assert np.mean(local.scores[~local.positive] > bands[1][1]) <= 0.02


def test_the_band_gives_way_here_too_rather_than_hold_a_third_of_the_cases() -> None:
    local, own = site(-1.5, 8, sick=60, well=60), decision()
    low = Promise("sensitivity", 0.95, 0.95, 0.9, 200, 200, 45)
    high = Promise("specificity", 0.9, 0.9, 0.9, 200, 200, 22)
    found = {
        most: propose(local, replace(own, reached={**own.reached, "band": BandPromise(low, high, 0.1, most).to_json()}))
        for most in (0.05, 1.0)
    }
    narrow, wide = found[0.05], found[1.0]
    assert narrow.threshold == wide.threshold
    assert narrow.band[0] == wide.band[0]
    assert narrow.band[1] < wide.band[1]
    assert narrow.band_promise is not None
    assert narrow.band_promise.high.wanted < 0.9 - 1e-6
    assert np.mean(local.scores[~local.positive] > narrow.band[1]) <= 1 - narrow.band_promise.high.wanted


def test_the_exact_threshold_has_an_open_end_where_so_few_prove_nothing() -> None:
    assert propose(site(0, 0, sick=20), decision()).threshold_range[0] == 0.0
    assert propose(site(0, 0, well=20), decision("specificity")).threshold_range[1] == 1.0


def test_too_few_local_cases_say_how_many_are_needed() -> None:
    found = propose(site(0, 0, sick=20), decision())
    assert not found.promise.kept
    assert found.needed[:2] == ((0, 45), (1, 77))
    assert "20 positives can prove a sensitivity of at most 0.891" in found.promise.words()


def test_the_table_agrees_with_counting_and_bayes() -> None:
    local = site(0, 3)
    row = row_at(local, 0.4, Costs(0.1, 50, 2))
    referred = local.scores >= 0.4
    sensitivity = referred[local.positive].mean()
    specificity = (~referred[~local.positive]).mean()
    assert [row.sensitivity, row.specificity] == pytest.approx([sensitivity, specificity])
    assert row.ppv == pytest.approx(0.1 * sensitivity / (0.1 * sensitivity + 0.9 * (1 - specificity)))
    assert row.npv == pytest.approx(0.9 * specificity / (0.9 * specificity + 0.1 * (1 - sensitivity)))
    assert row.found + row.missed == pytest.approx(100)
    assert row.cost == pytest.approx(row.missed * 50 + row.referred * 2)
    assert row.cost_range is not None
    assert row.cost is not None
    assert row.cost_range[0] < row.cost < row.cost_range[1]
    assert row.ppv_range[0] < row.ppv < row.ppv_range[1]
    theirs = stats.binomtest(3, 20).proportion_ci(method="wilson")
    assert list(wilson(3, 20)) == pytest.approx([theirs.low, theirs.high], abs=1e-9)
    assert list(wilson(0, 0)) == [0.0, 1.0]


def test_a_dearer_miss_lowers_the_cheapest_threshold() -> None:
    local = site(0, 4)
    best = []
    for miss in (5.0, 500.0):
        rows = [row_at(local, threshold, Costs(0.1, miss, 1)) for threshold in candidates(local, 0.3)]
        cheap = cheapest(rows)
        assert cheap is not None
        best.append(cheap.threshold)
    assert best[1] < best[0]
    assert cheapest([row_at(local, 0.3, Costs(0.1))]) is None
    assert 0.3 in candidates(local, 0.3)
