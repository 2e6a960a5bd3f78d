from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from fieldlens.train.learning_curve.forecast import forecast, over_draws

SIZES = (100, 200, 500)


def law(sizes: tuple[int, ...], draws: int = 5, noise: float = 0.0, seed: int = 0) -> npt.NDArray[np.float64]:
    """1 − 0.9 · n^(−0.5), each error times its own factor."""
    random = np.random.default_rng(seed)
    factor = np.exp(noise * random.standard_normal((draws, len(sizes))))
    return 1 - 0.9 * np.array(sizes, float) ** -0.5 * factor


def test_a_power_law_is_found_and_followed() -> None:
    found = forecast(SIZES, law(SIZES), 500)
    assert found.gain is not None
    assert found.gain.value == pytest.approx(0.9 * (500**-0.5 - 1000**-0.5))
    assert found.exponent == pytest.approx(0.5)
    assert found.at(1000) == pytest.approx(1 - 0.9 * 1000**-0.5)


def test_the_interval_holds_as_often_as_it_says() -> None:
    truth = 0.9 * (500**-0.5 - 1000**-0.5)
    found = [forecast(SIZES, law(SIZES, noise=0.15, seed=seed), 500).gain for seed in range(400)]
    held = np.mean([gain is not None and gain.low <= truth <= gain.high for gain in found])
    assert held > 0.92


@pytest.mark.parametrize(
    ("sizes", "figures", "more", "words"),
    [
        ((100, 200), law((100, 200)), 50, "needs 3 sizes"),
        (SIZES, law(SIZES, draws=2), 500, "needs 3 draws"),
        (SIZES, law(SIZES), 5000, "more than 2.5 times"),
        (SIZES, np.minimum(law(SIZES) + 0.05, 1.0), 500, "no error"),
        (SIZES, np.where(law(SIZES) > 0.95, np.nan, law(SIZES)), 500, "not defined"),
    ],
)
def test_when_nothing_can_be_said(
    sizes: tuple[int, ...], figures: npt.NDArray[np.float64], more: int, words: str
) -> None:
    found = forecast(sizes, figures, more)
    assert found.gain is None
    assert words in found.reason


def test_a_curve_that_levels_off_is_not_followed() -> None:
    """Four sizes show that the last is not on the law of the others."""
    sizes = (50, 100, 200, 400)
    figures = law(sizes, noise=0.02)
    figures[:, -1] = figures[:, -2]
    found = forecast(sizes, figures, 200)
    assert found.gain is None
    assert "no power law" in found.reason
    assert forecast(sizes, law(sizes, noise=0.02), 200).gain is not None


def test_an_interval_over_draws_is_students() -> None:
    found = over_draws([0.8, 0.9])
    assert found is not None
    assert found.high - found.value == pytest.approx(12.7062 * 0.0707107 / 2**0.5, rel=1e-4)
    assert over_draws([0.8]) is None
