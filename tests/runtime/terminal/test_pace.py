"""How far work is and how long it will take."""

from __future__ import annotations

import pytest

from fieldlens.runtime.terminal.pace import Pace, duration


def test_the_rest_takes_as_long_as_what_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("time.perf_counter", lambda: now[0])
    work = Pace(10)
    assert work.left == "time left not known yet"
    now[0], work.done = 130.0, 3
    assert work.left_s == pytest.approx(70.0)
    assert work.left == "about 70 s left"
    now[0], work.done = 200.0, 10
    assert work.left == "done"


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.2, "1 s"), (89.4, "89 s"), (100, "2 min"), (3600, "60 min"), (7800, "2 h 10 min")]
)
def test_durations_are_as_exact_as_an_estimate(seconds: float, words: str) -> None:
    assert duration(seconds) == words
