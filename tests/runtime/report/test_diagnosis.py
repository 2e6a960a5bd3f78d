"""The diagnosis names what held a run back, and is silent about a clean one."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fieldlens.runtime.backends.base import Backend, BackendInfo, Image, Outputs
from fieldlens.runtime.bundle.opened import Bundle
from fieldlens.runtime.classifier import Classifier
from fieldlens.runtime.machine.sensors import SensorReading
from fieldlens.runtime.machine.telemetry import TelemetryRecord
from fieldlens.runtime.report.diagnosis import RULES, Evidence, diagnose
from fieldlens.runtime.running.latency import LatencyLog
from fieldlens.runtime.running.run import ClassificationRun
from fieldlens.runtime.sources.inputs import Sources
from tests.runtime.conftest import jpeg, png, scene

CLEAN = {"decode": 0.9, "preprocess": 0.9, "inference": 4.6, "postprocess": 0.2}


def simulated(inference: Callable[[float], float] | None = None, count: int = 3000, **stages: float) -> LatencyLog:
    """A run of ``count`` answers whose stages take what is given, ±2%; ``inference`` may depend on the second."""
    rng = np.random.default_rng(5)
    log, second = LatencyLog(), 0.0
    for _ in range(count):
        exact = {**CLEAN, **stages}
        if inference is not None:
            exact["inference"] = inference(second)
        found = {stage: value * float(rng.uniform(0.98, 1.02)) for stage, value in exact.items()}
        found["total"] = sum(value for stage, value in found.items() if stage != "enqueue")
        second += found["total"] / 1e3
        log.add(second, found)
    return log


def quiet(count: int = 20) -> list[SensorReading]:
    """A machine at rest but for us: steady clocks, warm, nothing throttled."""
    return [
        SensorReading(
            float(second), temperature_c={"cpu": 50.0 + second / 10}, power_w={"VDD_IN": 8.0},
            clock_mhz={"cpu": 1510.0, "gpu": 624.0}, others_share=0.02, throttles={"over-current": 7},
            cooling={"cpufreq-cpu0": 0},
        )
        for second in range(count)
    ]  # fmt: skip


def changed(**fields: Callable[[SensorReading], Any]) -> TelemetryRecord:
    return TelemetryRecord(
        [dataclasses.replace(s, **{name: make(s) for name, make in fields.items()}) for s in quiet()]
    )


def rules_of(evidence: Evidence) -> list[str]:
    return [finding.rule for finding in diagnose(evidence)]


@pytest.mark.parametrize(
    "record", [None, TelemetryRecord([]), TelemetryRecord(quiet())], ids=["unwatched", "no sensors", "watched"]
)
def test_a_clean_run_says_nothing(record: TelemetryRecord | None) -> None:
    assert diagnose(Evidence(simulated(), record, percentile=99.9)) == ()


def test_a_clean_run_on_a_gpu_says_nothing() -> None:
    log = simulated(host_to_device=0.06, device_to_host=0.03, enqueue=0.3)
    assert diagnose(Evidence(log, TelemetryRecord(quiet()))) == ()


@pytest.mark.parametrize(
    ("stages", "rule", "figure"),
    [
        ({"decode": 30.0}, "decode-bound", "30."),
        ({"preprocess": 9.0}, "preprocess-bound", "9."),
        ({"postprocess": 5.5}, "postprocess-bound", "5."),
        ({"host_to_device": 1.8, "device_to_host": 1.0}, "copy-bound", "2.8"),
        ({"enqueue": 4.1}, "enqueue-bound", "4.1"),
    ],
)
def test_a_stage_that_bounds_the_run(stages: dict[str, float], rule: str, figure: str) -> None:
    (finding,) = diagnose(Evidence(simulated(None, 3000, **stages), TelemetryRecord(quiet())))
    assert finding.rule == rule
    assert figure[:2] in finding.words
    assert finding.advice


def test_workers_that_share_the_decoding_are_counted() -> None:
    log = simulated(decode=8.0)
    assert rules_of(Evidence(log)) == ["decode-bound"]
    assert rules_of(Evidence(log, workers=2)) == []
    assert "among 3 workers" in diagnose(Evidence(simulated(decode=30.0), workers=3))[0].words


def test_clocks_that_sensors_show() -> None:
    record = changed(clock_mhz=lambda s: {"cpu": 1510.0, "gpu": 624.0 if int(s.second) % 6 < 4 else 408.0})
    (finding,) = diagnose(Evidence(simulated(), record))
    assert finding.rule == "clocks-wandering"
    assert "gpu 408–624 MHz" in finding.words
    assert "cpu" not in finding.words
    assert "jetson_clocks" in finding.advice


def test_the_clock_before_the_work_does_not_count() -> None:
    """An idle processor runs slowly: the first reading is from before the first image."""
    record = changed(clock_mhz=lambda s: {"cpu": 800.0 if s.second == 0 else 4200.0})
    assert rules_of(Evidence(simulated(), record)) == []


def test_clocks_that_only_the_timing_shows() -> None:
    log = simulated(inference=lambda second: 4.6 if second % 8 < 4 else 5.6)
    (finding,) = diagnose(Evidence(log, TelemetryRecord([])))
    assert finding.rule == "clocks-wandering"
    assert "as if the clocks did" in finding.words


def test_timing_accuses_no_clock_where_the_sensors_clear_it_or_others_were_at_work() -> None:
    log = simulated(inference=lambda second: 4.6 if second % 8 < 4 else 5.6)
    assert rules_of(Evidence(log, TelemetryRecord(quiet()))) == []
    busy = TelemetryRecord([SensorReading(float(second), others_share=0.4) for second in range(9)])
    assert rules_of(Evidence(log, busy)) == ["busy-machine"]


def test_outliers_are_no_wandering_clock() -> None:
    slow = iter(range(10_000))
    log = simulated(inference=lambda second: 40.0 if next(slow) % 20 == 0 else 4.6)
    assert rules_of(Evidence(log)) == []


def test_heat() -> None:
    record = changed(
        temperature_c=lambda s: {"tj": 97.0}, cooling=lambda s: {"cpufreq-cpu0": 2 if s.second >= 10 else 0}
    )
    (finding,) = diagnose(Evidence(simulated(), record))
    assert finding.rule == "thermal-throttling"
    assert "cpufreq-cpu0 50% of the run" in finding.words
    assert "tj reached 97 °C" in finding.words


def test_heat_that_only_a_counter_shows() -> None:
    record = changed(throttles=lambda s: {"heat": 40 + int(s.second)})
    (finding,) = diagnose(Evidence(simulated(), record))
    assert (finding.rule, "heat 19×" in finding.words) == ("thermal-throttling", True)


@pytest.mark.parametrize(
    ("kind", "rule"),
    [("over-current", "power-throttling"), ("under-voltage", "power-throttling"), ("CPU quota", "cpu-quota")],
)
def test_other_throttling(kind: str, rule: str) -> None:
    assert rules_of(Evidence(simulated(), changed(throttles=lambda s: {kind: int(s.second)}))) == [rule]


def test_a_busy_machine() -> None:
    (finding,) = diagnose(Evidence(simulated(), changed(others_share=lambda s: 0.35)))
    assert finding.rule == "busy-machine"
    assert "35%" in finding.words


def test_dropped_frames() -> None:
    assert rules_of(Evidence(simulated(), dropped=3000)) == ["frames-dropped"]
    assert rules_of(Evidence(simulated(), dropped=10)) == []


@pytest.mark.parametrize(
    ("count", "percent", "few"),
    [(298, 99.0, True), (299, 99.0, False), (40, 90.0, False), (2994, 99.9, True), (20, 90.0, True), (1, 50.0, False)],
)
def test_too_few_samples_for_the_percentile_asked(count: int, percent: float, few: bool) -> None:
    assert rules_of(Evidence(simulated(count=count), percentile=percent)) == (["too-few-samples"] if few else [])


def test_nothing_but_that_is_said_of_a_handful_of_images() -> None:
    assert rules_of(Evidence(simulated(count=29, decode=50.0), percentile=50.0)) == []
    assert rules_of(Evidence(simulated(count=30, decode=50.0), percentile=50.0)) == ["decode-bound"]
    assert diagnose(Evidence(LatencyLog())) == ()


def test_every_rule_has_its_place_in_the_documentation() -> None:
    """docs/latency.md gives each rule's threshold and reason."""
    text = (Path(__file__).parents[3] / "docs/latency.md").read_text(encoding="utf-8")
    for rule in RULES:
        assert rule.__name__.replace("_", "-") in text or rule.__name__ in ("host_bound", "throttled")
    for name in ("decode-bound", "thermal-throttling", "power-throttling", "cpu-quota", "too-few-samples"):
        assert f"`{name}`" in text


class Scripted(Backend):
    """Answers after ``compute_ms(seconds since the first call)``, and says that copies took ``copies_ms`` more."""

    def __init__(self, compute_ms: Callable[[float], float], copies_ms: float = 0.0) -> None:
        self.info = BackendInfo("fake", "1", "none", "fp32", 1)
        self._compute_ms, self._copies_ms = compute_ms, copies_ms
        self._began: float | None = None
        if copies_ms:
            self.measured_ms = {"host_to_device": copies_ms * 0.75, "device_to_host": copies_ms * 0.25}

    def infer(self, image: Image) -> Outputs:
        self._began = self._began or time.monotonic()
        time.sleep((self._compute_ms(time.monotonic() - self._began) + self._copies_ms) / 1e3)
        return Outputs(np.zeros((1, 2), np.float32), np.zeros((1, 2, 7, 7), np.float32), np.zeros((1, 16), np.float32))

    def close(self) -> None: ...


def real_run(bundle: Bundle, folder: Path, picture: bytes, backend: Backend, count: int) -> list[str]:
    """Classify ``image`` ``count`` times for real; the rules that spoke."""
    (folder / "image").write_bytes(picture)
    with Classifier(bundle, backend) as classifier:
        log = ClassificationRun(classifier, [])(Sources([str(folder / "image")] * count))
    assert log.answered == count
    return rules_of(Evidence(log.latency, percentile=90.0))


def test_real_runs_say_what_they_are(bundle: Bundle, tmp_path: Path) -> None:
    small = jpeg(scene(1, 120, 160))
    assert real_run(bundle, tmp_path, small, Scripted(lambda s: 5.0), 400) == []
    assert real_run(bundle, tmp_path, png(scene(1, 1500, 2000)), Scripted(lambda s: 2.0), 40) == ["decode-bound"]
    assert real_run(bundle, tmp_path, small, Scripted(lambda s: 4.0, copies_ms=4.0), 60) == ["copy-bound"]
    assert real_run(bundle, tmp_path, small, Scripted(lambda s: 4.0 if s < 1.2 else 6.0), 400) == ["clocks-wandering"]


def test_copies_that_a_backend_measures_are_stages_of_their_own(bundle: Bundle) -> None:
    with Classifier(bundle, Scripted(lambda s: 4.0, copies_ms=8.0)) as classifier:
        latency_ms = classifier.classify_bytes(jpeg(scene(1, 120, 160)), "a.jpg").latency_ms
    assert (latency_ms["host_to_device"], latency_ms["device_to_host"]) == (6.0, 2.0)
    assert 4.0 <= latency_ms["inference"] < 12.0
    assert latency_ms["total"] >= sum(latency_ms[stage] for stage in ("host_to_device", "inference", "device_to_host"))
