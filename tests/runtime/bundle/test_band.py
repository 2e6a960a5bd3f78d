"""The band's upper end: what it promises, when it gives way, and the words for it."""

from __future__ import annotations

import numpy as np
import pytest

from fieldlens.runtime.bundle.band import BandPromise, band_promise_of, few_uncertain, upper_shares
from fieldlens.runtime.bundle.promise import Promise
from fieldlens.runtime.errors import BundleError

LOW = Promise("sensitivity", 0.95, 0.858, 0.9, 15, 15, 45)


def high(wanted: float, proved: float) -> Promise:
    return Promise("specificity", wanted, proved, 0.9, 60, 60, 33)


@pytest.mark.parametrize(
    ("asked", "most", "shares"),
    [(0.1, 0.25, (0.1, 0.2, 0.4)), (0.2, 0.25, (0.2, 0.4, 0.5)), (0.6, 0.25, (0.6,)), (0.1, 1.0, (0.1,))],
)
def test_the_shares_that_are_tried_double_up_to_half_of_the_well(
    asked: float, most: float, shares: tuple[float, ...]
) -> None:
    assert upper_shares(asked, most) == pytest.approx(shares)


def test_few_uncertain_is_proved_by_groups_and_not_by_images() -> None:
    scores = np.linspace(0, 1, 100)
    alone = [str(n) for n in range(100)]
    assert few_uncertain(scores, alone, (0.4, 0.55), 0.25, 0.9)
    assert not few_uncertain(scores, alone, (0.4, 0.62), 0.25, 0.9), "22 of 100 do not prove at most 25%"
    assert few_uncertain(scores, alone, (0.4, 0.4), 0.25, 0.9), "no band holds nobody"
    of_ten_people = [str(n % 10) for n in range(100)]
    assert not few_uncertain(scores, of_ten_people, (0.4, 0.55), 0.25, 0.9)


def test_the_words_say_what_was_proved_and_what_gave_way() -> None:
    kept = BandPromise(Promise("sensitivity", 0.95, 0.951, 0.9, 60, 60, 45), high(0.9, 0.91), 0.1, 0.25)
    assert kept.words() == (
        "below it lie at most 5% of the sick, above it at most 10% of the well (each one-sided at 90%)"
    )
    wider = BandPromise(LOW, high(0.8, 0.83), 0.1, 0.25)
    assert wider.words() == (
        "below it lie at most 14.2% of the sick, above it at most 20% of the well (each one-sided at 90%); "
        "a band with 10% of the well above it would hold more than 25% of all images"
    )


def test_it_is_read_back_also_from_bundles_of_before() -> None:
    found = BandPromise(LOW, high(0.8, 0.83), 0.1, 0.25)
    assert band_promise_of({"band": found.to_json()}) == found
    before = band_promise_of({"band": {"low": LOW.to_json(), "high": high(0.9, 0.91).to_json()}})
    assert before is not None
    assert [before.referred_above, before.uncertain_most] == pytest.approx([0.1, 1.0])
    assert band_promise_of({}) is band_promise_of({"band": {}}) is None
    with pytest.raises(BundleError, match="band"):
        band_promise_of({"band": {"low": 1}}, BundleError, "manifest.json")
