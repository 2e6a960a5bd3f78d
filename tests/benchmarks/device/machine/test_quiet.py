"""Is a busy machine noticed, and is a quiet one believed?"""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from fieldlens.benchmarks.device.machine import quiet
from fieldlens.benchmarks.device.machine.quiet import Quiet, QuietWatch, Ticks, cores_for, parse_stat
from fieldlens.benchmarks.device.machine.validity import exit_code, verdict
from tests.benchmarks.conftest import burning

STAT = """cpu  30 0 30 200 20 5 5 10 0 0
cpu0 10 0 10 100 10 0 0 0 0 0
cpu1 20 0 20 100 10 5 5 10 0 0
intr 1
"""


def test_stat_is_summed_over_the_cores_that_are_used() -> None:
    tick = quiet._TICK_S
    assert parse_stat(STAT, [1]) == Ticks(50 * tick, 10 * tick, 170 * tick)
    assert parse_stat(STAT, [0, 1]) == Ticks(70 * tick, 10 * tick, 300 * tick)


def test_a_quiet_machine_has_no_doubts() -> None:
    seen = Quiet(2, load_1min=0.2, busy_before=0.01, others=0.01, reference_ms=[4.0, 4.1, 4.0, 4.05])
    assert seen.doubts() == []
    assert exit_code(seen) == 0
    assert verdict(seen).startswith("VALID")


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"load_1min": 1.5}, "load average 1.50"),
        ({"busy_before": 0.2}, "before the start"),
        ({"others": 0.1}, "other processes"),
        ({"steal": 0.05}, "hypervisor"),
        ({"reference_ms": [4.0, 4.0, 5.5, 4.0, 6.0]}, "wandered"),
        ({"kept_spinning": {"documents"}}, "documents"),
    ],
)
def test_each_witness_is_heard(change: dict, word: str) -> None:
    seen = Quiet(2, **change)
    assert len(seen.doubts()) == 1
    assert word in seen.doubts()[0]
    assert exit_code(seen) == 4
    assert verdict(seen).startswith("INVALID")
    assert seen.to_json()["valid"] is False


def test_our_own_work_is_not_somebody_elses(monkeypatch: pytest.MonkeyPatch) -> None:
    """The cores worked two seconds, and our own clock says that 1.9 of them were ours."""
    ticks = iter([Ticks(0, 0, 0), Ticks(2, 0.1, 10)])
    own = iter([5.0, 6.9])
    monkeypatch.setattr(QuietWatch, "_read", lambda self: next(ticks))
    monkeypatch.setattr(quiet, "own_cpu_seconds", lambda pids: next(own))
    watch = QuietWatch([0, 1])
    watch.start()
    seen = watch.finish()
    assert seen.others == pytest.approx(0.01)
    assert seen.steal == pytest.approx(0.01)


def test_our_cpu_time_is_measured() -> None:
    before, end = quiet.own_cpu_seconds(), time.process_time() + 0.2
    while time.process_time() < end:
        pass
    assert 0.15 < quiet.own_cpu_seconds() - before < 1.0


def test_loading_the_machine_makes_the_run_invalid() -> None:
    watch = QuietWatch(cores_for(0))
    with burning():
        watch.before(0.0, sample_s=0.3)
        watch.start()
        for _ in range(3):
            watch.round()
            time.sleep(0.1)
        seen = watch.finish()
    assert seen.busy_before > 0.5
    assert seen.others > 0.3
    assert exit_code(seen) == 4
    assert "other processes" in verdict(seen)


def test_waiting_for_the_load_to_fall_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.getloadavg", lambda: (9.0, 9.0, 9.0))
    said: list[str] = []
    watch = QuietWatch([0])
    began = time.monotonic()
    watch.before(1.0, sample_s=0.0, say=said.append)
    assert time.monotonic() - began < 4
    assert "waiting up to 1 s" in said[0]
    assert watch.seen.load_1min == 9.0


def invent_a_clock(monkeypatch: pytest.MonkeyPatch, now: list[float], loop: Callable[[], float]) -> None:
    """Time passes in ``loop`` alone, on an idle machine."""
    monkeypatch.setattr(quiet, "steady_ms", loop)
    monkeypatch.setattr("os.getloadavg", lambda: (0.0, 0.0, 0.0))
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    monkeypatch.setattr(time, "sleep", lambda _: None)


def test_the_rounds_begin_when_the_clocks_are_calm(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neighbours slow every fourth second until 28, then leave; of the last twenty readings one may stick out."""
    clock = iter(range(10_000))
    now = [0.0]

    def loop() -> float:
        now[0] = float(next(clock))
        return 4.5 if now[0] < 30 and now[0] % 4 == 0 else 3.0

    invent_a_clock(monkeypatch, now, loop)
    said: list[str] = []
    watch = QuietWatch([0])
    watch.before(120.0, say=said.append)
    watch.start()
    assert 24 <= now[0] - quiet.CALM_S < 28
    assert len(said) == 1
    assert "waiting for 20 calm seconds" in said[0]
    assert watch.seen.reference_ms == []


def test_waiting_for_calm_has_an_end_and_the_run_is_judged_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]

    def loop() -> float:
        now[0] += 1.0
        return 4.5 if now[0] % 4 == 0 else 3.0

    invent_a_clock(monkeypatch, now, loop)
    watch = QuietWatch([0])
    watch.before(60.0, say=lambda _: None)
    watch.start()
    assert now[0] == 60
    for _ in range(8):
        watch.round()
    assert any("wandered" in doubt for doubt in watch.finish().doubts())
