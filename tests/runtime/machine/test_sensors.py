"""Sensors of an Orin, of a PC, and of a machine that has none."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from fieldlens.runtime.machine import host
from fieldlens.runtime.machine.sensors import SensorReading, Sensors, own_cpu_seconds
from tests.runtime.layouts import cpu_clock, gpu_clock, orin_nano, proc_stat, rail, workstation, write


def test_an_orins_power_is_that_of_its_rails(tmp_path: Path) -> None:
    sample = Sensors(orin_nano(tmp_path)).read()
    assert sample.power_w == pytest.approx({"VDD_IN": 7.624, "VDD_CPU_GPU_CV": 2.364, "VDD_SOC": 2.043}, abs=1e-3)
    assert sample.energy_j is None


def test_an_orins_zones_are_read_and_the_sleeping_one_is_left_out(tmp_path: Path) -> None:
    root = orin_nano(tmp_path)
    assert Sensors(root).read().temperature_c == {"cpu": 51.25, "gpu": 49.906, "soc0": 48.312, "tj": 51.25}
    write(root, "sys/class/thermal/thermal_zone1/temp", -256_000)
    assert "gpu" not in Sensors(root).read().temperature_c


def test_an_orins_clocks_and_load(tmp_path: Path) -> None:
    root = orin_nano(tmp_path)
    sample = Sensors(root).read()
    assert sample.clock_mhz == {"cpu": 1344.0, "gpu": 408.0}
    assert sample.gpu_load == pytest.approx(0.423)
    assert host.clocks(root) == "cpu free, 115–1510 MHz; gpu free, 306–625 MHz"
    for policy in (0, 4):
        cpu_clock(root, policy, 1_510_400, 1_510_400, 1_510_400)
    gpu_clock(root, 624_750_000, 624_750_000, 624_750_000)
    assert host.clocks(root) == "cpu locked at 1510 MHz; gpu locked at 625 MHz"


def test_an_orins_throttling_is_counted_and_its_fan_is_none(tmp_path: Path) -> None:
    root = orin_nano(tmp_path)
    sample = Sensors(root).read()
    assert sample.throttles == {"under-voltage": 0, "over-current": 7}
    assert sample.cooling == {"cpufreq-cpu0": 0, "gpu-throttle-alert": 0}
    write(root, "sys/class/thermal/cooling_device2/cur_state", 1)
    assert Sensors(root).read().cooling["gpu-throttle-alert"] == 1


def test_what_an_orin_is(tmp_path: Path) -> None:
    root = orin_nano(tmp_path)
    found = host.conditions(root)
    assert found["device"] == "NVIDIA Jetson Orin Nano Engineering Reference Developer Kit Super"
    assert found["jetpack"] == "JetPack 6.2 (Jetson Linux 36.4.3)"
    assert found["power_mode"] == "0 (15W)"
    assert found["cuda"] == "12.6.11"
    assert host.is_jetson(root)
    (root / "var/lib/dpkg/status").unlink()
    assert host.jetpack(root) == "Jetson Linux 36.4.3"


def test_a_pc_without_boards_rails(tmp_path: Path) -> None:
    root = workstation(tmp_path)
    sample = Sensors(root).read()
    assert sample.temperature_c == {"acpitz": 27.8, "x86_pkg_temp": 54.0, "coretemp Package id 0": 55.0}
    assert sample.energy_j == 1.0
    assert set(sample.clock_mhz) == {"cpu"}
    cores = len(host.usable_core_ids())
    assert sample.throttles == {"heat": 8 * cores}
    assert sample.cooling == {"Processor": 0, "intel_powerclamp": 0}  # neither screen brightness nor a fixed offset
    assert host.nvidia_driver(root) == "550.54.14"
    assert host.conditions(root)["cpu"].startswith("Intel")
    assert not host.is_jetson(root)


def test_a_machine_without_sensors_gives_an_empty_sample(tmp_path: Path) -> None:
    sample = Sensors(tmp_path).read()
    assert sample == SensorReading(second=sample.second)
    assert host.clocks(tmp_path) == host.jetpack(tmp_path) == host.power_mode(tmp_path) == ""


def test_a_sensor_that_goes_away_is_left_out(tmp_path: Path) -> None:
    root = orin_nano(tmp_path)
    sensors = Sensors(root)
    rail(root, 1, 5000, 2000)
    (root / "sys/class/hwmon/hwmon1/curr2_input").unlink()
    write(root, "sys/class/hwmon/hwmon1/curr3_input", "n/a")
    assert sensors.read().power_w == {"VDD_IN": 10.0}


def test_the_time_that_others_take(tmp_path: Path) -> None:
    """A tenth of a second of work on each core, half of it ours."""
    cores = len(host.usable_core_ids())
    write(tmp_path, "proc/stat", proc_stat(1000))
    own = iter([5.0, 5.0 + 0.05 * cores])
    sensors = Sensors(tmp_path, own_cpu_s=lambda: next(own))
    began = time.monotonic()
    assert sensors.read().others_share is None  # nothing to compare with yet
    time.sleep(0.2)
    write(tmp_path, "proc/stat", proc_stat(1008, steal_ticks=2))
    share = sensors.read().others_share
    assert share == pytest.approx(0.05 / (time.monotonic() - began), rel=0.2)


def test_a_containers_quota_is_counted(tmp_path: Path) -> None:
    write(tmp_path, "sys/fs/cgroup/cpu.max", "150000 100000")
    write(tmp_path, "sys/fs/cgroup/cpu.stat", "usage_usec 1\nnr_periods 9\nnr_throttled 4\nthrottled_usec 123")
    assert Sensors(tmp_path).read().throttles == {"CPU quota": 4}
    assert host.conditions(tmp_path)["cpu_quota"] == "1.5 cores"


def test_our_own_time_grows_with_our_work() -> None:
    before = own_cpu_seconds()
    end = time.process_time() + 0.05
    while time.process_time() < end:
        pass
    assert own_cpu_seconds() - before >= 0.05


def test_this_machine_can_be_read() -> None:
    sample = Sensors().read()
    assert all(-40 < value < 150 for value in sample.temperature_c.values())
    assert all(value > 0 for value in sample.clock_mhz.values())
