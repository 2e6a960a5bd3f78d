"""What the kernel's files say of heat, power, clocks and load. No dependency; absent sensors are simply absent.

Written from the kernel's documents (hwmon/sysfs-interface, hwmon/ina3221, driver-api/thermal/sysfs-api,
power/powercap, filesystems/proc) and NVIDIA's Jetson Linux guide ("Platform Power and Performance").
``root`` stands for ``/``.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from fieldlens.runtime.machine.host import ROOT, cpu_clock_folders, gpu_clock_folders, number, read, usable_core_ids

TOTAL_RAILS = ("VDD_IN", "VIN", "POM_5V_IN")
"""INA3221 labels that stand for the whole board. Where there is none (AGX Orin) the rails are shown, never summed:
which of them contain which differs from board to board."""
_CPU_SENSORS = ("coretemp", "k10temp", "zenpower", "amdgpu")
_PLAUSIBLE_C = (-40.0, 150.0)
"""Powered-down zones of a Jetson read -256 °C."""
_SLOWING = re.compile(r"cpufreq|devfreq|throttle|powerclamp|processor", flags=re.IGNORECASE)
"""Cooling devices that make the machine slower when they act; not its fans, its screen or its radio."""


@dataclass(frozen=True)
class SensorReading:
    """All readings of one moment. ``throttles`` and ``energy_j`` only grow: what counts is the difference.
    ``cooling`` are states: above 0 the kernel holds the clocks down because of heat. Shares and loads are 0…1."""

    second: float
    temperature_c: dict[str, float] = field(default_factory=dict)
    power_w: dict[str, float] = field(default_factory=dict)
    clock_mhz: dict[str, float] = field(default_factory=dict)
    gpu_load: float | None = None
    others_share: float | None = None
    throttles: dict[str, int] = field(default_factory=dict)
    cooling: dict[str, int] = field(default_factory=dict)
    energy_j: float | None = None


class Sensors:
    """Finds the sensors once, then reads them. About 1 ms a reading on a board, most of it waiting for the kernel."""

    def __init__(self, root: Path = ROOT, own_cpu_s: Callable[[], float] | None = None) -> None:
        self._root = root
        self._began = time.monotonic()
        self._cores = usable_core_ids()
        self._own_cpu_s = own_cpu_s or own_cpu_seconds
        self._last_cpu: tuple[float, float, float] | None = None
        hwmon = _hwmon_folders(root)
        self._temperatures = dict([*_zones(root), *_cpu_temperatures(hwmon)])
        self._rails = list(_rails(hwmon))
        self._powers = list(_powers(hwmon))
        self._energy = _energy_counters(root)
        self._cpu_clocks = [folder / "scaling_cur_freq" for folder in cpu_clock_folders(root)]
        self._gpu_clocks = [folder / "cur_freq" for folder in gpu_clock_folders(root)]
        self._gpu_loads = [folder / "device/load" for folder in gpu_clock_folders(root)]
        self._throttles = list(_throttle_counters(root, hwmon, self._cores))
        self._cooling = list(_cooling_devices(root))

    def read(self) -> SensorReading:
        """One reading of everything. A sensor that fails now is left out of this sample."""
        loads = _values(self._gpu_loads)
        return SensorReading(
            second=time.monotonic() - self._began,
            temperature_c=self._read_temperatures(),
            power_w=self._read_power(),
            clock_mhz=self._read_clocks(),
            gpu_load=max(loads) / 1000 if loads else None,
            others_share=self._read_others(),
            throttles=self._read_throttles(),
            cooling=self._read_cooling(),
            energy_j=self._read_energy(),
        )

    def _read_temperatures(self) -> dict[str, float]:
        found = {name: number(path) for name, path in self._temperatures.items()}
        celsius = {name: value / 1e3 for name, value in found.items() if value is not None}
        return {name: value for name, value in celsius.items() if _PLAUSIBLE_C[0] < value < _PLAUSIBLE_C[1]}

    def _read_power(self) -> dict[str, float]:
        found = {}
        for label, millivolts, milliamperes in self._rails:
            volts, amperes = number(millivolts), number(milliamperes)
            if volts is not None and amperes is not None:
                found[label] = volts * amperes / 1e6
        for label, microwatts in self._powers:
            if (value := number(microwatts)) is not None:
                found[label] = value / 1e6
        return found

    def _read_clocks(self) -> dict[str, float]:
        """The fastest of the cores that this process may use: while it works, one of them is at work."""
        found = {}
        if cpu := _values(self._cpu_clocks):
            found["cpu"] = max(cpu) / 1e3
        if gpu := _values(self._gpu_clocks):
            found["gpu"] = max(gpu) / 1e6
        return found

    def _read_others(self) -> float | None:
        """Share of our cores' time since the last reading that went to other programs or machines."""
        busy_s = _busy_seconds(self._root, self._cores)
        if busy_s is None:
            return None
        now, own_s = time.monotonic(), self._own_cpu_s()
        last, self._last_cpu = self._last_cpu, (now, busy_s, own_s)
        if last is None or now - last[0] < 0.05:  # /proc/stat counts in hundredths of a second
            return None
        others_s = (busy_s - last[1]) - (own_s - last[2])
        return min(max(others_s / ((now - last[0]) * len(self._cores)), 0.0), 1.0)

    def _read_throttles(self) -> dict[str, int]:
        found: dict[str, int] = {}
        for kind, path in self._throttles:
            found[kind] = found.get(kind, 0) + int(number(path) or 0)
        if quota := re.search(r"nr_throttled (\d+)", read(self._root / "sys/fs/cgroup/cpu.stat")):
            found["CPU quota"] = int(quota[1])
        return found

    def _read_cooling(self) -> dict[str, int]:
        found: dict[str, int] = {}
        for kind, path in self._cooling:
            found[kind] = max(found.get(kind, 0), int(number(path) or 0))
        return found

    def _read_energy(self) -> float | None:
        values = _values(self._energy)
        return sum(values) / 1e6 if values else None


def _values(paths: list[Path]) -> list[float]:
    return [value for path in paths if (value := number(path)) is not None]


def _hwmon_folders(root: Path) -> list[Path]:
    """Each sensor chip once, though the kernel shows it under its class and under its bus."""
    patterns = ("sys/class/hwmon/hwmon*", "sys/bus/i2c/devices/*/hwmon/hwmon*")
    folders: dict[Path, Path] = {}
    for pattern in patterns:
        for path in sorted(root.glob(pattern)):
            folders.setdefault(path.resolve(), path)
    return list(folders.values())


def _zones(root: Path) -> Iterator[tuple[str, Path]]:
    for zone in sorted(root.glob("sys/class/thermal/thermal_zone*")):
        name = read(zone / "type")
        yield (name.removesuffix("-thermal").removesuffix("_therm") or zone.name), zone / "temp"


def _cpu_temperatures(hwmon: list[Path]) -> Iterator[tuple[str, Path]]:
    """The processor's own sensor on a PC; one per package, not one per core."""
    for chip in hwmon:
        if read(chip / "name") in _CPU_SENSORS:
            for path in sorted(chip.glob("temp*_input")):
                label = read(path.with_name(path.name.replace("_input", "_label")))
                if re.match(r"Package|Tctl|Tdie|edge", label):
                    yield f"{read(chip / 'name')} {label}", path


def _rails(hwmon: list[Path]) -> Iterator[tuple[str, Path, Path]]:
    """INA3221: volts and amperes of each labelled rail. Channel 7 is a sum of shunt voltages and has no current."""
    for chip in hwmon:
        for label_file in sorted(chip.glob("in*_label")):
            channel = label_file.name.removeprefix("in").removesuffix("_label")
            current = chip / f"curr{channel}_input"
            if read(chip / "name").startswith("ina") and current.exists():
                yield read(label_file), chip / f"in{channel}_input", current


def _powers(hwmon: list[Path]) -> Iterator[tuple[str, Path]]:
    """Chips that tell watts themselves (INA238 on Thor, graphics cards), in microwatts."""
    for chip in hwmon:
        for path in (*sorted(chip.glob("power*_input")), *sorted(chip.glob("power*_average"))):
            prefix = path.name.rpartition("_")[0]
            yield read(chip / f"{prefix}_label") or read(chip / "name"), path


def _energy_counters(root: Path) -> list[Path]:
    """RAPL: energy of each processor package since the start, in microjoules. Root's to read since CVE-2020-8694."""
    packages = sorted(root.glob("sys/class/powercap/intel-rapl:[0-9]"))
    return [path / "energy_uj" for path in packages if read(path / "name").startswith("package")]


def _throttle_counters(root: Path, hwmon: list[Path], cores: tuple[int, ...]) -> Iterator[tuple[str, Path]]:
    """Counters that only grow: heat on x86 (per core and package), voltage and current on Orin (``soctherm_oc``)."""
    for core in cores:
        folder = root / f"sys/devices/system/cpu/cpu{core}/thermal_throttle"
        for name in ("core_throttle_count", "package_throttle_count"):
            if (folder / name).exists():
                yield "heat", folder / name
    for chip in hwmon:
        for path in sorted(chip.glob("oc*_event_cnt")):
            kind = "under-voltage" if path.name.startswith("oc1") else "over-current"
            yield kind, path


def _cooling_devices(root: Path) -> Iterator[tuple[str, Path]]:
    """What the kernel slows down when a thermal zone passes its trip point."""
    for device in sorted(root.glob("sys/class/thermal/cooling_device*")):
        if _SLOWING.search(kind := read(device / "type")):
            yield kind, device / "cur_state"


def _busy_seconds(root: Path, cores: tuple[int, ...]) -> float | None:
    """Time that our cores did not idle since the start, in s; steal (another virtual machine) counts as busy."""
    total, wanted = 0, {f"cpu{core}" for core in cores}
    lines = [line.split() for line in read(root / "proc/stat").splitlines() if line.startswith("cpu")]
    found = [[int(field) for field in fields[1:9]] for fields in lines if fields[0] in wanted]
    if not found:
        return None
    for user, nice, system, _idle, _wait, irq, softirq, steal in found:
        total += user + nice + system + irq + softirq + steal
    return total / os.sysconf("SC_CLK_TCK")


def own_cpu_seconds() -> float:
    """CPU time of this process and of the processes it started (a capture process, decoding workers), in s."""
    ended = os.times()
    spent = time.process_time() + ended.children_user + ended.children_system
    for task in Path("/proc/self/task").glob("*/children"):
        for child in read(task).split():
            fields = read(Path(f"/proc/{child}/stat")).rpartition(")")[2].split()
            if len(fields) > 12:
                spent += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return spent
