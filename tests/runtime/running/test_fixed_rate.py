"""Images that arrive by the clock: what a stall costs them, and what asking one after the other hides of it."""

from __future__ import annotations

import json
import signal
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fieldlens.runtime.backends.base import Outputs
from fieldlens.runtime.backends.fake import FakeBackend
from fieldlens.runtime.bundle.opened import Bundle
from fieldlens.runtime.classifier import Classifier
from fieldlens.runtime.prediction import ALWAYS
from fieldlens.runtime.running.fixed_rate import (
    ArrivalCounts,
    ArrivalPace,
    FixedRateResult,
    Late,
    judge,
    run_fixed_rate,
)
from fieldlens.runtime.running.rules import BY_THE_RULES
from fieldlens.runtime.running.run import RunLog
from fieldlens.runtime.running.single_stream import SingleStreamResult, run_single_stream
from tests.runtime.conftest import BROKEN, jpeg, scene
from tests.runtime.test_classify import run

ANSWER_S, STALL_S = 0.020, 0.300


class Clock:
    """Seconds that pass only where somebody says so."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds + 1e-9


class Stalling(FakeBackend):
    """Answers within 20 ms, and once a second stands still for ``stall_s``: a garbage collector, a card that writes."""

    def __init__(self, clock: Clock, stall_s: float = STALL_S) -> None:
        super().__init__("fp32", 2, 7, 16)
        self._clock, self._stall_s = clock, stall_s
        self._next = clock.now + 1

    def infer(self, image: np.ndarray) -> Outputs:
        self._clock.now += ANSWER_S
        if self._clock.now >= self._next:
            self._clock.now += self._stall_s
            self._next = self._clock.now + 1
        return super().infer(image)


def images() -> list[tuple[str, bytes]]:
    return [(f"{seed}.jpg", jpeg(scene(seed, 24, 32))) for seed in range(3)]


def one_after_the_other(bundle: Bundle) -> SingleStreamResult:
    clock = Clock()
    with Classifier(bundle, Stalling(clock)) as classifier:
        return run_single_stream(classifier, images(), seconds=60, clock=clock)[1]


def by_the_clock(
    bundle: Bundle, late: Late, stall_s: float = STALL_S, rate: float = 30
) -> tuple[RunLog, FixedRateResult]:
    clock = Clock()
    with Classifier(bundle, Stalling(clock, stall_s)) as classifier:
        pace = ArrivalPace(rate, late)
        return run_fixed_rate(classifier, images(), 60, pace, clock=clock, sleep=clock.sleep)


def test_what_single_stream_hides_of_a_stall_once_a_second(bundle: Bundle) -> None:
    """The same device: VALID at 20 ms, and of images that come 30 a second more than a quarter are lost or late."""
    hides = one_after_the_other(bundle)
    assert hides.valid
    assert hides.p90_ms == pytest.approx(20, rel=0.01)

    _, dropping = by_the_clock(bundle, "drop")
    assert not dropping.valid
    assert [rule.rule for rule in dropping.checks if not rule.held] == ["dropped images"]
    assert 0.2 < dropping.dropped / dropping.arrived < 0.3
    assert dropping.in_time_share < 0.8

    log, waiting = by_the_clock(bundle, "queue")
    assert waiting.dropped == 0
    assert waiting.waited > 0.3 * waiting.arrived
    assert 280 < waiting.p99_ms < 320
    assert log.latency.stages["total"].percentile(90) > 10 * hides.p90_ms
    assert log.latency.stages["wait"].max_ms == pytest.approx(STALL_S * 1e3, rel=0.1)


@pytest.mark.parametrize("late", ["drop", "queue"])
def test_every_image_is_accounted_for(bundle: Bundle, late: Late) -> None:
    log, found = by_the_clock(bundle, late)
    assert found.arrived == 1800
    assert found.answered + found.dropped + log.failed == found.arrived
    assert log.answered == found.answered
    assert log.dropped == found.dropped
    assert found.waited < found.answered


def test_a_device_that_keeps_up_is_valid(bundle: Bundle) -> None:
    log, found = by_the_clock(bundle, "drop", stall_s=0.0)
    assert found.valid
    assert (found.dropped, found.waited, found.in_time_share) == (0, 0, 1)
    assert found.p99_ms == pytest.approx(ANSWER_S * 1e3, rel=0.01)
    assert log.seconds == pytest.approx(60, abs=0.01)
    assert not found.comparable


@pytest.mark.parametrize(("late", "answered"), [("drop", 3000), ("queue", 3500)])
def test_a_device_that_is_too_slow_ends_and_says_so(bundle: Bundle, late: Late, answered: int) -> None:
    """100 a second where 50 can be answered: half are dropped as they come, or wait until the end and then count."""
    _, found = by_the_clock(bundle, late, stall_s=0.0, rate=100)
    assert not found.valid
    assert found.arrived == 6000
    assert found.answered == pytest.approx(answered, abs=30)
    assert found.dropped == found.arrived - found.answered
    low, high = (20, 30.1) if late == "drop" else (33_000, 36_000)
    assert low < found.p99_ms < high


def good() -> tuple[RunLog, ArrivalCounts]:
    log = RunLog(seconds=60.0, ended_by=BY_THE_RULES)
    for index in range(1800):
        log.latency.add(index / 30, dict.fromkeys(ALWAYS, 5.0))
    counts = ArrivalCounts(arrived=1800, answered=1800, in_time=1800)
    for _ in range(1800):
        counts.overslept.add(0.1)
    return log, counts


def broken(log: RunLog, counts: ArrivalCounts, changed: int = 0, seconds: float = 60.0) -> list[str]:
    return [
        rule.rule for rule in judge(log, counts, changed, 3, ArrivalPace(), seconds=seconds).checks if not rule.held
    ]


def test_a_run_that_keeps_every_rule() -> None:
    log, counts = good()
    assert broken(log, counts) == []
    counts.dropped = 18  # one in a hundred
    assert broken(log, counts) == []
    log.seconds = 600.0
    assert judge(log, counts, 0, 3, ArrivalPace(), seconds=600).comparable


def test_each_rule_can_be_broken_alone() -> None:
    log, counts = good()
    assert broken(log, replace(counts, arrived=1023)) == ["images"]
    assert broken(log, replace(counts, dropped=19)) == ["dropped images"]
    assert broken(log, counts, changed=1) == ["images with a changed answer"]
    assert broken(log, counts, seconds=61) == ["duration"]
    log.failed = 1
    assert broken(log, counts) == ["images without an answer"]
    log.failed, log.ended_by = 0, "SIGINT"
    assert broken(log, counts) == ["ended by itself"]
    log.ended_by = BY_THE_RULES
    for _ in range(40):
        counts.overslept.add(3.4)
    assert broken(log, counts) == ["load generator late, p99"]


def test_it_always_says_that_it_is_not_official() -> None:
    found = judge(*good(), 0, 3, ArrivalPace())
    assert "not an official MLPerf result: VALID" in found.text()
    assert found.to_json()["official"] is False


def test_an_image_that_cannot_be_read_is_counted(bundle: Bundle) -> None:
    clock = Clock()
    with Classifier(bundle, Stalling(clock, 0.0)) as classifier:
        pictures = [*images(), ("bad.jpg", BROKEN["truncated.jpg"]())]
        log, found = run_fixed_rate(classifier, pictures, 1, ArrivalPace(50), clock=clock, sleep=clock.sleep, fewest=50)
    assert log.failed > 0
    assert found.answered + log.failed == 50
    assert "images without an answer" in [rule.rule for rule in found.checks if not rule.held]


def test_a_signal_ends_it_while_it_waits(bundle: Bundle) -> None:
    timer = threading.Timer(0.3, signal.raise_signal, [signal.SIGTERM])
    timer.start()
    with Classifier(bundle, FakeBackend("fp32", 2, 7, 16)) as classifier:
        log, found = run_fixed_rate(classifier, images(), 30, ArrivalPace(0.5), fewest=1)
    timer.join()
    assert log.ended_by == "SIGTERM"
    assert log.seconds < 2
    assert found.arrived == found.answered == 0
    assert not found.valid


def test_the_command_measures_by_the_real_clock(bundle_folder: Path, pictures: Path, tmp_path: Path) -> None:
    done = run(
        "classify", pictures, "--bundle", bundle_folder, "--state", tmp_path, "--backend", "fake",
        "--mode", "fixed-rate", "--rate", 1000, "--late", "queue", "--seconds", 1, "--report", tmp_path / "f.html",
    )  # fmt: skip
    assert done.returncode == 4, done.stderr
    assert "fixed-rate, not an official MLPerf result: INVALID" in done.stdout
    facts = json.loads((tmp_path / "f.json").read_text())
    assert facts["single_stream"] is None
    found = facts["fixed_rate"]
    assert found["arrived"] == 1024
    assert found["answered"] + found["dropped"] == 1024
    assert "duration" in [check["rule"] for check in found["checks"] if not check["held"]]
    assert facts["run"]["latency_ms"]["wait"]["n"] == found["answered"]
    assert "from the scheduled arrival" in (tmp_path / "f.html").read_text()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--mode", "fixed-rate", "--csv", "x.csv"), "--csv does not go with --mode fixed-rate"),
        (("--rate", "30"), "--rate belongs to --mode fixed-rate"),
        (("--mode", "single-stream", "--late", "queue"), "--late belongs to --mode fixed-rate"),
        (("--mode", "fixed-rate", "--rate", "0"), "is not between 0.1 and 10,000"),
    ],
)
def test_options_that_do_not_go_together(
    bundle_folder: Path, pictures: Path, tmp_path: Path, options: tuple[str, ...], words: str
) -> None:
    done = run("classify", pictures, "--bundle", bundle_folder, "--state", tmp_path, "--backend", "fake", *options)
    assert done.returncode == 2
    assert words in done.stderr
