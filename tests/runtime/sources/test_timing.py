"""One image's times, from its source to its answer, on a clock that the test moves."""

from __future__ import annotations

import pytest

from fieldlens.runtime.prediction import ALWAYS, STAGES
from fieldlens.runtime.sources import timing
from fieldlens.runtime.sources.timing import Timing


class Clock:
    """perf_counter and monotonic, which begin elsewhere, as on systems where they are two clocks."""

    def __init__(self) -> None:
        self.now = 100.0

    def perf_counter(self) -> float:
        return self.now

    def monotonic(self) -> float:
        return self.now + 5000.0


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(timing, "time", made)
    return made


def answered(clock: Clock, prepared: Timing, measured_ms: dict[str, float] | None = None) -> dict[str, float]:
    """The network 4 ms, what follows 1 ms."""
    start = clock.now
    latency_ms = prepared.latency_ms(start, start + 0.004, start + 0.004, start + 0.005, measured_ms or {})
    assert set(ALWAYS) <= set(latency_ms) <= set(STAGES)
    return latency_ms


def prepared(clock: Clock, given: Timing, *, decode_s: float = 0.0, overlapped: bool = False) -> Timing:
    """Taken up now, decoded for ``decode_s``, preprocessed for 2 ms."""
    taken = given.taken_up(overlapped=overlapped)
    if decode_s:
        clock.now += decode_s
        taken = taken.decoded()
    clock.now += 0.002
    return taken.preprocessed()


def test_reading_a_file_is_part_of_decoding_and_of_the_whole(clock: Clock) -> None:
    read = Timing(began=99.99, decode_ms=10.0)
    assert answered(clock, prepared(clock, read, decode_s=0.003)) == pytest.approx(
        {"decode": 13.0, "preprocess": 2.0, "inference": 4.0, "postprocess": 1.0, "total": 20.0}
    )


def test_bytes_at_hand_begin_when_they_are_taken_up(clock: Clock) -> None:
    given = Timing()
    clock.now += 7.0
    assert answered(clock, prepared(clock, given, decode_s=0.003))["total"] == pytest.approx(10.0)


def test_what_was_prepared_ahead_waits_for_its_turn(clock: Clock) -> None:
    ahead = prepared(clock, Timing(began=99.9, decode_ms=5.0), overlapped=True)  # 95 ms in a queue before that
    clock.now += 0.050
    latency_ms = answered(clock, ahead)
    assert latency_ms["wait"] == pytest.approx(145.0)
    assert latency_ms["preprocess"] == pytest.approx(2.0)
    assert latency_ms["total"] == pytest.approx(5.0 + 2.0 + 145.0 + 5.0)


@pytest.mark.parametrize(("decoded_before_ms", "decode_s"), [(0.0, 0.003), (3.0, 0.0)])
def test_a_cameras_image_is_as_old_as_its_capture_whoever_decoded_it(
    clock: Clock, decoded_before_ms: float, decode_s: float
) -> None:
    """Captured 30 ms before it was taken up: a decoded frame's age holds its decoding, which must not count twice."""
    shot = Timing(decode_ms=decoded_before_ms, captured_at=clock.monotonic() - 0.030)
    latency_ms = answered(clock, prepared(clock, shot, decode_s=decode_s))
    assert latency_ms["frame_age"] == pytest.approx(30.0)
    assert latency_ms["decode"] == pytest.approx(3.0)
    assert latency_ms["total"] == pytest.approx(10.0)
    assert latency_ms["camera_to_answer"] == pytest.approx(30.0 + decode_s * 1e3 + 2.0 + 5.0)


def test_copies_that_the_backend_measured_are_not_inference(clock: Clock) -> None:
    measured = {"host_to_device": 1.0, "device_to_host": 0.5, "enqueue": 0.2}
    latency_ms = answered(clock, prepared(clock, Timing()), measured)
    assert latency_ms["inference"] == pytest.approx(2.5)
    assert latency_ms["enqueue"] == 0.2
