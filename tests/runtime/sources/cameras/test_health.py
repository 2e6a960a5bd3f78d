"""The watchdog's rules, with a clock that the test turns."""

from __future__ import annotations

import pytest

from fieldlens.runtime.sources.cameras.health import NOTICED_S, Health, Mark, Pauses


def fed(health: Health, marks: list[Mark], start: float = 0.0, step: float = 0.1) -> float:
    """Frames every ``step`` seconds; the time of the last one."""
    now = start
    for mark in marks:
        now += step
        health.saw(mark, now)
    return now


def test_a_good_camera_has_no_fault() -> None:
    health = Health(0.0)
    now = fed(health, [Mark(n) for n in range(100)])
    assert health.fault(now) == ""
    assert health.well_until == now


def test_silence_is_noticed_within_three_seconds() -> None:
    health = Health(0.0)
    now = fed(health, [Mark(n) for n in range(10)])
    assert health.fault(now + NOTICED_S - 0.1) == ""
    assert health.fault(now + 3.0).startswith("no image for 3.0 s")
    assert health.well_until == now


def test_a_camera_that_never_delivers_is_noticed() -> None:
    assert Health(5.0).fault(8.0)


def test_the_same_image_for_ever_is_frozen_since_it_first_came() -> None:
    health = Health(0.0)
    now = fed(health, [Mark(1), Mark(2)])
    later = fed(health, [Mark(2)] * 28, now)
    assert health.fault(later).startswith("frozen")
    assert health.well_until == pytest.approx(now)


def test_a_covered_lens_is_not_frozen() -> None:
    health = Health(0.0)
    assert health.fault(fed(health, [Mark(1, flat=True)] * 100)) == ""


def test_the_flat_green_of_an_empty_buffer_is_garbage() -> None:
    health = Health(0.0)
    now = fed(health, [Mark(1)])
    later = fed(health, [Mark(2, flat=True, odd=True)] * 28, now)
    assert health.fault(later).startswith("garbage")
    assert health.fault(fed(health, [Mark(3)], later)) == ""


def test_frames_that_do_not_decode_are_garbage_and_one_that_does_ends_it() -> None:
    health = Health(0.0)
    now = fed(health, [Mark(n) for n in range(30)])
    health.refused(now - 2.6)
    health.refused(now)
    assert health.fault(now).startswith("garbage")
    health.accepted()
    assert health.fault(now) == ""


def test_the_image_at_which_it_froze_gets_no_answer_after_opening_again() -> None:
    health = Health(0.0, frozen_print=7)
    assert not health.saw(Mark(7), 0.1)
    assert health.saw(Mark(8), 0.2)


def test_pauses_grow_and_start_again_after_a_good_time() -> None:
    pauses = Pauses()
    assert [pauses.next_s(0.0) for _ in range(6)] == [0.5, 1.0, 2.0, 4.0, 5.0, 5.0]
    assert pauses.next_s(3.0) == 5.0
    assert pauses.next_s(60.0) == 0.5
