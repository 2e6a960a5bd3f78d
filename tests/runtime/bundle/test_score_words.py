"""Scores and thresholds as people read them."""

from __future__ import annotations

import math
import random
from decimal import Decimal

import pytest

from fieldlens.runtime.bundle.decision import Decision
from fieldlens.runtime.bundle.score_words import percents, score_words


@pytest.mark.parametrize(
    ("values", "shown"),
    [
        ((0.36, 0.364), ["36.0%", "36.4%"]),
        ((0.3639, 0.364), ["36.39%", "36.40%"]),
        ((0.36399, 0.364), ["36.399%", "36.400%"]),
        ((0.364, 0.364), ["36.4%", "36.4%"]),
        ((0.0, 1.0), ["0.0%", "100.0%"]),
        ((0.5, 0.45, 0.5), ["50.0%", "45.0%", "50.0%"]),
    ],
)
def test_digits_enough_to_tell_them_apart(values: tuple[float, ...], shown: list[str]) -> None:
    assert percents(*values) == shown


def test_two_that_differ_never_look_equal_and_keep_their_order() -> None:
    rng = random.Random(3)
    for _ in range(2000):
        threshold = rng.random()
        score = rng.choice(
            [math.nextafter(threshold, 0), threshold, threshold - 10 ** -rng.uniform(1, 14), rng.random()]
        )
        shown, border = percents(score, threshold)
        assert (shown == border) == (score == threshold)
        assert (Decimal(shown[:-1]) < Decimal(border[:-1])) == (score < threshold)


def test_the_words() -> None:
    assert score_words(0.36, 0.364, None) == "score 36.0%, refers from 36.4%"
    assert score_words(0.36, 0.364, (0.3, 0.35)) == "score 36.0%, refers from 36.4%"
    words = score_words(0.48, 0.5, (0.45, 0.5), uncertain=True)
    assert words == "score 48.0%, refers from 50.0%, uncertain from 45.0% to 50.0%"


def test_the_finding_that_is_named_is_the_one_that_drives_the_score() -> None:
    shares = {"polyp": 0.6, "ulcer": 0.3, "clear": 0.9}
    thresholds = {"polyp": 0.8, "ulcer": 0.1}
    either = Decision("any", ("polyp", "ulcer"), thresholds, (0.0, 0.0), "", {})
    assert either.driving(shares) == "ulcer"  # the likelier polyp is below its own threshold
    assert Decision("sum", ("polyp", "ulcer"), thresholds, (0.0, 0.0), "", {}).driving(shares) == "polyp"
