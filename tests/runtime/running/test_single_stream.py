"""The benchmark by MLPerf-style rules: when it is VALID, and that it says what it is not."""

from __future__ import annotations

import json
import math
import signal
import subprocess
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from fieldlens.runtime.backends.base import Outputs
from fieldlens.runtime.backends.fake import FakeBackend
from fieldlens.runtime.bundle.opened import Bundle
from fieldlens.runtime.classifier import Classifier
from fieldlens.runtime.errors import KitError
from fieldlens.runtime.prediction import ALWAYS, Prediction
from fieldlens.runtime.running.latency import Histogram
from fieldlens.runtime.running.rules import load_images, upper_bound
from fieldlens.runtime.running.run import RunLog
from fieldlens.runtime.running.single_stream import judge, run_single_stream
from fieldlens.runtime.sources.inputs import Sources
from tests.runtime.conftest import BROKEN, jpeg, scene
from tests.runtime.test_classify import ROOT, command, run

RULES_ENDED = "the rules: time and queries reached"


def log_of(count: int, seconds: float, failed: int = 0, ended_by: str = RULES_ENDED) -> RunLog:
    log = RunLog(failed=failed, seconds=seconds, ended_by=ended_by)
    for index in range(count):
        log.latency.add(index * seconds / count, dict.fromkeys(ALWAYS, 5.0))
    log.outcomes["refer"] = count
    return log


def broken_rules(log: RunLog, changed: int = 0, seconds: float = 60.0) -> list[str]:
    return [check.rule for check in judge(log, changed, 10, seconds=seconds).checks if not check.held]


def test_a_run_that_keeps_every_rule_is_valid() -> None:
    verdict = judge(log_of(1024, 60.0), 0, 10)
    assert verdict.valid
    assert verdict.word == "VALID"
    assert not verdict.comparable
    assert judge(log_of(1024, 600.1), 0, 10, seconds=600.0).comparable


@pytest.mark.parametrize(
    ("log", "changed", "seconds", "rule"),
    [
        (log_of(1023, 60.0), 0, 60.0, "queries"),
        (log_of(1024, 59.9), 0, 60.0, "duration"),
        (log_of(1024, 30.0), 0, 30.0, "duration"),
        (log_of(1024, 599.0), 0, 600.0, "duration"),
        (log_of(1024, 60.0, failed=1), 0, 60.0, "queries without an answer"),
        (log_of(1024, 60.0), 1, 60.0, "images with a changed answer"),
        (log_of(1024, 60.0, ended_by="SIGINT"), 0, 60.0, "ended by itself"),
    ],
)
def test_each_rule_can_be_broken_alone(log: RunLog, changed: int, seconds: float, rule: str) -> None:
    assert broken_rules(log, changed, seconds) == [rule]


def test_it_always_says_that_it_is_not_official() -> None:
    verdict = judge(log_of(1024, 60.0), 0, 10)
    assert "not an official MLPerf result" in verdict.text()
    assert verdict.to_json()["official"] is False


@pytest.mark.parametrize(("percent", "fewest"), [(90.0, 44), (99.0, 459)])
def test_the_bound_needs_as_many_queries_as_loadgens_early_stopping(percent: float, fewest: int) -> None:
    """h_min(t=0): the smallest n with p^n <= 1%; LoadGen's published values for p99 are the same."""
    histogram = Histogram()
    for _ in range(fewest - 1):
        histogram.add(1.0)
    assert upper_bound(histogram, percent) is None
    histogram.add(1.0)
    assert upper_bound(histogram, percent) == 1.0
    assert math.ceil(math.log(0.01) / math.log(percent / 100)) == fewest


def test_the_bound_holds_in_99_runs_of_100() -> None:
    rng = np.random.default_rng(7)
    truth = float(np.exp(0.5 * 1.2815516))
    exceeded = 0
    for _ in range(400):
        histogram = Histogram()
        for value in rng.lognormal(0, 0.5, 1024):
            histogram.add(float(value))
        bound = upper_bound(histogram, 90.0)
        assert bound is not None
        exceeded += truth > bound
    assert exceeded <= 12  # 4 are expected


class Moody(FakeBackend):
    """Gives another answer every now and then."""

    def __init__(self) -> None:
        super().__init__("fp32", 2, 7, 16)
        self._calls = 0

    def infer(self, image: np.ndarray) -> Outputs:
        self._calls += 1
        outputs = super().infer(image)
        return outputs._replace(logits=outputs.logits + np.array([0, self._calls % 90 == 0], np.float32))


def few_images() -> list[tuple[str, bytes]]:
    return [(f"{seed}.jpg", jpeg(scene(seed, 60, 80))) for seed in range(5)]


def test_it_asks_until_both_time_and_queries_are_reached(bundle: Bundle) -> None:
    with Classifier(bundle, FakeBackend("fp32", 2, 7, 16)) as classifier:
        by_queries, _ = run_single_stream(classifier, few_images(), seconds=0.001, fewest=50)
        by_time, verdict = run_single_stream(classifier, few_images(), seconds=0.5, fewest=1)
    assert by_queries.answered == 50
    assert 0.5 <= by_time.seconds < 2
    assert by_time.answered > 1
    assert verdict.p90_ms == by_time.latency.stages["total"].percentile(90)
    total, parts = by_time.latency.median("total"), by_time.latency.median("decode", "preprocess", "inference")
    assert total >= parts * 0.9


class Listening(Classifier):
    """Notes which images it is asked about."""

    def __init__(self, bundle: Bundle) -> None:
        super().__init__(bundle, FakeBackend("fp32", 2, 7, 16))
        self.asked: list[str] = []

    def classify_bytes(self, data: bytes, source: str) -> Prediction:
        self.asked.append(source)
        return super().classify_bytes(data, source)


def order(bundle: Bundle, seed: int) -> list[str]:
    classifier = Listening(bundle)
    with classifier:
        run_single_stream(classifier, few_images(), seconds=0.001, seed=seed, fewest=60)
    return classifier.asked[20:]  # after the warm-up


def test_the_order_is_drawn_by_the_seed(bundle: Bundle) -> None:
    assert order(bundle, 1) == order(bundle, 1) != order(bundle, 2)
    assert set(order(bundle, 1)) == {f"{seed}.jpg" for seed in range(5)}


def test_a_changed_answer_is_noticed(bundle: Bundle) -> None:
    with Classifier(bundle, Moody()) as classifier:
        _, verdict = run_single_stream(classifier, few_images(), seconds=0.001, fewest=400)
    assert "images with a changed answer" in [check.rule for check in verdict.checks if not check.held]


def test_a_signal_ends_it(bundle: Bundle) -> None:
    timer = threading.Timer(0.3, signal.raise_signal, [signal.SIGTERM])
    timer.start()
    with Classifier(bundle, FakeBackend("fp32", 2, 7, 16)) as classifier:
        log, verdict = run_single_stream(classifier, few_images(), seconds=30, fewest=1)
    timer.join()
    assert log.ended_by == "SIGTERM"
    assert not verdict.valid


def test_images_that_cannot_be_asked_about(tmp_path: Path) -> None:
    with pytest.raises(KitError, match="no such file"):
        load_images(Sources([str(tmp_path / "none.jpg")]))
    with pytest.raises(KitError, match="no images"):
        load_images(Sources([str(tmp_path)]))


def test_the_command_is_invalid_when_it_is_short(bundle_folder: Path, pictures: Path, tmp_path: Path) -> None:
    done = run(
        "classify", pictures, "--bundle", bundle_folder, "--state", tmp_path, "--backend", "fake",
        "--mode", "single-stream", "--seconds", 1, "--report", tmp_path / "s.html",
    )  # fmt: skip
    assert done.returncode == 4, done.stderr
    assert "not an official MLPerf result: INVALID" in done.stdout
    facts = json.loads((tmp_path / "s.json").read_text())["single_stream"]
    assert facts["verdict"] == "INVALID"
    assert [check["rule"] for check in facts["checks"] if not check["held"]] == ["duration"]
    page = (tmp_path / "s.html").read_text()
    assert "INVALID" in page
    assert "not an official MLPerf result" in page


def test_a_broken_image_makes_it_invalid(bundle_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "good.jpg").write_bytes(jpeg(scene(1, 60, 80)))
    (tmp_path / "bad.jpg").write_bytes(BROKEN["truncated.jpg"]())
    done = run(
        "classify", tmp_path / "good.jpg", tmp_path / "bad.jpg", "--bundle", bundle_folder, "--state", tmp_path,
        "--backend", "fake", "--mode", "single-stream", "--seconds", 1,
    )  # fmt: skip
    assert done.returncode == 4
    assert "FAIL queries without an answer" in done.stdout


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--mode", "single-stream", "--json", "-"), "--json does not go with"),
        (("--mode", "single-stream", "--duration", "5"), "--duration does not go with"),
        (("--seconds", "60"), "belongs to --mode single-stream and fixed-rate"),
    ],
)
def test_options_that_do_not_go_together(
    bundle_folder: Path, pictures: Path, tmp_path: Path, options: tuple[str, ...], words: str
) -> None:
    done = run("classify", pictures, "--bundle", bundle_folder, "--state", tmp_path, "--backend", "fake", *options)
    assert done.returncode == 2
    assert words in done.stderr


@pytest.mark.full
def test_a_whole_minute_is_valid(bundle_folder: Path, pictures: Path, tmp_path: Path) -> None:
    arguments = command(
        "classify", pictures, "--bundle", bundle_folder, "--state", tmp_path, "--backend", "fake",
        "--mode", "single-stream", "--seconds", "60",
    )  # fmt: skip
    began = time.monotonic()
    done = subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert ": VALID" in done.stdout
    assert time.monotonic() - began >= 60
