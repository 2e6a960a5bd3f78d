"""Samples of a run in bounded memory, and what they add up to."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from fieldlens.runtime.machine.sensors import SensorReading, Sensors
from fieldlens.runtime.machine.telemetry import Recorder, TelemetryRecord
from tests.runtime.layouts import orin_nano, write


def watts(*values: float) -> list[SensorReading]:
    return [SensorReading(float(i), power_w={"VDD_IN": value, "VDD_SOC": 1.0}) for i, value in enumerate(values)]


def test_a_recorder_samples_at_both_ends_and_in_between(tmp_path: Path) -> None:
    root = orin_nano(tmp_path)
    with Recorder(Sensors(root), interval_s=0.02) as watch:
        time.sleep(0.15)
        write(root, "sys/class/thermal/thermal_zone0/temp", 80_000)
        write(root, "sys/class/hwmon/hwmon3/oc3_event_cnt", 12)
    record = watch.record
    assert len(record.samples) >= 4
    assert record.hottest() == ("cpu", 51.25, 80.0, 80.0)
    assert record.throttles() == {"over-current": 5}


def test_a_long_run_keeps_its_first_sample_and_stays_small(tmp_path: Path) -> None:
    watch = Recorder(Sensors(tmp_path), interval_s=1.0, capacity=10)
    for _ in range(1000):
        watch._take()
    samples = watch.record.samples
    assert len(samples) < 10
    assert samples == sorted(samples, key=lambda sample: sample.second)
    assert watch._interval_s >= 64


def test_a_stopped_recorder_ends_at_once(tmp_path: Path) -> None:
    began = time.monotonic()
    with Recorder(Sensors(tmp_path), interval_s=3600):
        pass
    assert time.monotonic() - began < 2


def test_energy_is_that_of_the_whole_board(tmp_path: Path) -> None:
    record = TelemetryRecord(watts(8.0, 10.0, 12.0))
    assert record.power_w() == 10.0
    assert record.power_source() == "whole board (VDD_IN)"
    facts = record.to_json(seconds=20.0, answered=1000)
    assert facts["energy_per_picture_j"] == pytest.approx(0.2)
    json.dumps(facts, allow_nan=False)


def test_rails_are_never_summed() -> None:
    record = TelemetryRecord(
        [SensorReading(0.0, power_w={"VDD_GPU_SOC": 5.0}), SensorReading(1.0, power_w={"VDD_GPU_SOC": 6.0})]
    )
    assert record.power_w() is None
    assert record.power_source() == ""


def test_a_pcs_energy_counter_and_one_that_wrapped() -> None:
    record = TelemetryRecord([SensorReading(0.0, energy_j=100.0), SensorReading(4.0, energy_j=180.0)])
    assert record.power_w() == 20.0
    assert record.power_source() == "processor package only (RAPL)"
    assert TelemetryRecord([SensorReading(0.0, energy_j=180.0), SensorReading(4.0, energy_j=3.0)]).power_w() is None


def test_an_empty_record_has_no_figures() -> None:
    facts = TelemetryRecord([]).to_json(seconds=1.0, answered=10)
    assert facts["power_w"] is facts["hottest"] is facts["energy_per_picture_j"] is facts["others_share"] is None
    assert facts["throttle_events"] == facts["cooling_share"] == {}
