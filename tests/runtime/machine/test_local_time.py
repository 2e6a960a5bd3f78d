"""Times for people, wherever the device stands."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from fieldlens.runtime.machine.local_time import ago, local_words


@pytest.fixture
def zone(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", request.param)
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    ("zone", "words"),
    [
        ("UTC", "2026-03-01 07:30:00 UTC"),
        ("Africa/Kampala", "2026-03-01 10:30:00 +03:00"),
        ("Asia/Kathmandu", "2026-03-01 13:15:00 +05:45"),
        ("America/Bogota", "2026-03-01 02:30:00 -05:00"),
    ],
    indirect=["zone"],
)
def test_local_time_says_how_far_it_is_from_utc(zone: None, words: str) -> None:
    assert local_words(1_772_350_200.9) == words


@pytest.mark.parametrize("time_s", [0.0, 86_400.0, 946_684_800.0])
def test_a_clock_that_was_never_set_says_so(time_s: float) -> None:
    assert local_words(time_s) == "clock not set"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (-1, "0 s ago"), (0.9, "0 s ago"), (59.9, "59 s ago"), (60, "1 min ago"), (3599, "59 min ago"),
        (7500, "2 h 5 min ago"), (86_400, "1 day ago"), (864_000, "10 days ago"),
    ],
)  # fmt: skip
def test_an_age_is_told_in_words(seconds: float, words: str) -> None:
    assert ago(seconds) == words
