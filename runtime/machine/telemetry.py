"""The machine during a run: one reading a second by a thread of its own, in bounded memory, and what it adds up to."""

from __future__ import annotations

import threading
from dataclasses import asdict
from types import TracebackType
from typing import Any

from fieldlens.runtime.machine.sensors import TOTAL_RAILS, SensorReading, Sensors

INTERVAL_S = 1.0
CAPACITY = 600
"""When full, every second sample goes and the interval doubles: 10 minutes at one a second, a week at one in 17 min."""


class TelemetryRecord:
    """The samples of a run, oldest first, and figures over them. A figure is None where no sensor gives it."""

    def __init__(self, samples: list[SensorReading]) -> None:
        self.samples = samples

    def series(self, kind: str) -> dict[str, list[tuple[float, float]]]:
        """Sensor → ``(second, value)``; ``kind`` is a field of Sample: temperature_c, power_w or clock_mhz."""
        found: dict[str, list[tuple[float, float]]] = {}
        for sample in self.samples:
            for name, value in getattr(sample, kind).items():
                found.setdefault(name, []).append((sample.second, value))
        return found

    def hottest(self) -> tuple[str, float, float, float] | None:
        """The zone that got hottest: name, °C at the start, at the end, and at most."""
        zones = self.series("temperature_c")
        if not zones:
            return None
        name = max(zones, key=lambda zone: max(value for _, value in zones[zone]))
        values = [value for _, value in zones[name]]
        return name, values[0], values[-1], max(values)

    def throttles(self) -> dict[str, int]:
        """Kind of throttling → events during the run; kinds without an event are left out."""
        if len(self.samples) < 2:
            return {}
        first, last = self.samples[0].throttles, self.samples[-1].throttles
        grown = {kind: count - first.get(kind, 0) for kind, count in last.items()}
        return {kind: count for kind, count in grown.items() if count > 0}

    def cooled(self) -> dict[str, float]:
        """Cooling device → share of the run, 0…1, in which it held the clocks down; those that never did are out."""
        shares: dict[str, float] = {}
        for sample in self.samples:
            for kind, state in sample.cooling.items():
                if state > 0:
                    shares[kind] = shares.get(kind, 0.0) + 1 / len(self.samples)
        return shares

    def others_share(self) -> float | None:
        """Mean share of our cores' time, 0…1, that other programs or virtual machines took."""
        values = [sample.others_share for sample in self.samples if sample.others_share is not None]
        return sum(values) / len(values) if values else None

    def power_w(self) -> float | None:
        """Mean power of the whole board, or of the processor packages where only those are counted, in W."""
        for rail in TOTAL_RAILS:
            values = [sample.power_w[rail] for sample in self.samples if rail in sample.power_w]
            if values:
                return sum(values) / len(values)
        counted = [(sample.second, sample.energy_j) for sample in self.samples if sample.energy_j is not None]
        if len(counted) < 2 or counted[-1][1] <= counted[0][1]:  # a counter that wrapped says nothing
            return None
        return (counted[-1][1] - counted[0][1]) / (counted[-1][0] - counted[0][0])

    def power_source(self) -> str:
        """What ``power_w`` is of; empty where there is none."""
        if self.power_w() is None:
            return ""
        rails = [rail for rail in TOTAL_RAILS if any(rail in sample.power_w for sample in self.samples)]
        return f"whole board ({rails[0]})" if rails else "processor package only (RAPL)"

    def to_json(self, seconds: float, answered: int) -> dict[str, Any]:
        """Samples and figures; ``energy_per_picture_j`` is the mean power times the run, idle time included."""
        power_w = self.power_w()
        hottest = self.hottest()
        return {
            "samples": [asdict(sample) for sample in self.samples],
            "hottest": dict(zip(("zone", "start_c", "end_c", "max_c"), hottest, strict=True)) if hottest else None,
            "throttle_events": self.throttles(),
            "cooling_share": self.cooled(),
            "others_share": self.others_share(),
            "power_w": power_w,
            "power_of": self.power_source(),
            "energy_per_picture_j": power_w * seconds / answered if power_w is not None and answered else None,
        }


class Recorder:
    """Samples from ``with`` to its end, both ends included. ``record`` can be taken at any time."""

    def __init__(
        self, sensors: Sensors | None = None, interval_s: float = INTERVAL_S, capacity: int = CAPACITY
    ) -> None:
        self._sensors = sensors or Sensors()
        self._interval_s = interval_s
        self._capacity = capacity
        self._samples: list[SensorReading] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._keep_reading, name="telemetry", daemon=True)

    @property
    def record(self) -> TelemetryRecord:
        """What was seen so far."""
        return TelemetryRecord(list(self._samples))

    def _keep_reading(self) -> None:
        while not self._stop.wait(self._interval_s):
            self._take()

    def _take(self) -> None:
        self._samples.append(self._sensors.read())
        if len(self._samples) >= self._capacity:
            del self._samples[1::2]  # the first stays: it is what counters are compared with
            self._interval_s *= 2

    def __enter__(self) -> Recorder:
        self._take()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        self._take()
