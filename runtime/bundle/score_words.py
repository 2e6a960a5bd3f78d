"""A score and its threshold for people, with digits enough that two different numbers never look equal."""

from __future__ import annotations

from decimal import Decimal

_MOST_DIGITS = 30
"""Doubles below 1 that are neighbours differ within these."""


def percents(*values: float) -> list[str]:
    """Fractions as percentages, all with the same number of digits: one, or as many as tell them apart."""
    different = len(set(values))
    for digits in range(1, _MOST_DIGITS):
        texts = [f"{Decimal(value):.{digits}%}" for value in values]  # exact: a float times 100 is rounded
        if len(set(texts)) == different:
            return texts
    return [f"{Decimal(value) * 100}%" for value in values]


def score_words(score: float, threshold: float, band: tuple[float, float] | None, *, uncertain: bool = False) -> str:
    """``score 36.0%, refers from 36.4%``; where the answer is uncertain also from where to where that is."""
    low, high = band or (threshold, threshold)
    if not uncertain:
        shown, border = percents(score, threshold)
        return f"score {shown}, refers from {border}"
    shown, border, lower, upper = percents(score, threshold, low, high)
    return f"score {shown}, refers from {border}, uncertain from {lower} to {upper}"
