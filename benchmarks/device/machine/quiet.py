"""Was the machine quiet enough to believe a figure? Three witnesses, none of which needs a privilege.

1. The load average, and what the cores do while we sleep, before the start.
2. The share of the cores' time that others took during the rounds (/proc/stat less our own processes), and the share
   that a hypervisor took from all of us (steal).
3. A fixed piece of work, timed in every round: if it wanders, so do the clocks, whatever the reason.

A busy machine gave two to four times higher figures *in another order* (design, decision 3): no averaging repairs it.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import resource
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from fieldlens.runtime.machine.host import usable_core_ids

LOAD_PER_CORE = 0.5
IDLE_SHARE = 0.05
OTHERS_SHARE = 0.05
STEAL_SHARE = 0.02
WANDER = 0.15
"""(95th − 5th percentile) / median of the reference loop. On a quiet machine it stays within a few percent."""
CALM_S = 20
"""Seconds that the reference loop must have been calm before the start; neighbours on a host come and go in spells."""

_BLOCK = bytes(1 << 20)
_TICK_S = 1.0 / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Ticks:
    """Seconds since boot of our cores together: working, stolen by the hypervisor, and in all."""

    busy_s: float
    steal_s: float
    total_s: float

    def __sub__(self, other: Ticks) -> Ticks:
        return Ticks(self.busy_s - other.busy_s, self.steal_s - other.steal_s, self.total_s - other.total_s)


def parse_stat(text: str, cores: Iterable[int]) -> Ticks:
    """``/proc/stat`` → the sums over ``cores`` (proc(5): user nice system idle iowait irq softirq steal)."""
    wanted = {f"cpu{core}" for core in cores}
    busy = steal = total = 0
    for line in text.splitlines():
        name, *rest = line.split()
        if name in wanted:
            numbers = [int(value) for value in rest[:8]]
            total += sum(numbers)
            steal += numbers[7]
            busy += sum(numbers) - numbers[3] - numbers[4] - numbers[7]
    return Ticks(busy * _TICK_S, steal * _TICK_S, total * _TICK_S)


def reference_loop_ms() -> float:
    """BLAKE2b over four megabytes, on one core: portable C without special instructions, so its time is the clock's."""
    start = time.perf_counter()
    digest = hashlib.blake2b()
    for _ in range(4):
        digest.update(_BLOCK)
    return (time.perf_counter() - start) * 1e3


def steady_ms() -> float:
    """The reference loop, median of three, so that one interrupt is not a wandering clock."""
    return sorted(reference_loop_ms() for _ in range(3))[1]


def wander(times_ms: Sequence[float]) -> float:
    """(95th − 5th percentile) / median."""
    low, middle, high = np.percentile(times_ms, [5, 50, 95])
    return float((high - low) / middle)


def cpu_seconds(pid: int) -> float:
    """CPU time of another process with all its threads (clock_getcpuclockid(3)); 0 where it has ended."""
    with contextlib.suppress(OSError):
        return time.clock_gettime((~pid << 3) | 2)
    return 0.0


def own_cpu_seconds(pids: Iterable[int] = ()) -> float:
    """Ours: this process, children that have ended, and living workers ``pids``."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + ended.ru_utime + ended.ru_stime + sum(cpu_seconds(pid) for pid in pids)


@dataclass
class Quiet:
    """What was seen. ``doubts`` says it in words; a run with doubts is INVALID."""

    cores: int
    load_1min: float = 0.0
    busy_before: float = 0.0
    others: float = 0.0
    steal: float = 0.0
    reference_ms: list[float] = field(default_factory=list)
    kept_spinning: set[str] = field(default_factory=set)

    @property
    def wander(self) -> float:
        """Spread of the reference loop; 0 with fewer than three rounds."""
        return wander(self.reference_ms) if len(self.reference_ms) >= 3 else 0.0

    def doubts(self) -> list[str]:
        """Each with the figure, its limit, and what to do."""
        found = []
        if self.load_1min > LOAD_PER_CORE * self.cores:
            found.append(
                f"load average {self.load_1min:.2f} on {self.cores} cores before the start (limit "
                f"{LOAD_PER_CORE * self.cores:.2f}): end other programs, wait a minute"
            )
        checks = (
            (self.busy_before, IDLE_SHARE, "of the cores' time was taken while we slept before the start"),
            (self.others, OTHERS_SHARE, "of the cores' time went to other processes during the rounds"),
            (self.steal, STEAL_SHARE, "of the cores' time was stolen by the hypervisor"),
            (self.wander, WANDER, "is how far the reference loop wandered between rounds (clocks, heat or neighbours)"),
        )
        found += [f"{value:.1%} {what} (limit {limit:.0%})" for value, limit, what in checks if value > limit]
        if self.kept_spinning:
            found.append(f"threads kept running between turns: {', '.join(sorted(self.kept_spinning))}")
        return found

    def to_json(self) -> dict[str, Any]:
        """Figures, limits and verdict, for the record."""
        return {
            "valid": not self.doubts(),
            "doubts": self.doubts(),
            "load_1min": self.load_1min,
            "busy_before": round(self.busy_before, 4),
            "others_cpu_share": round(self.others, 4),
            "steal_share": round(self.steal, 4),
            "reference_loop_ms": [round(value, 4) for value in self.reference_ms],
            "reference_wander": round(self.wander, 4),
            "limits": {
                "load_1min": LOAD_PER_CORE * self.cores,
                "busy_before": IDLE_SHARE,
                "others_cpu_share": OTHERS_SHARE,
                "steal_share": STEAL_SHARE,
                "reference_wander": WANDER,
            },
        }


class QuietWatch:
    """Watches from :meth:`before` to :meth:`finish`. ``pids``: the workers that live now; their time is ours."""

    def __init__(self, cores: list[int], pids: Callable[[], list[int]] = list) -> None:
        self._cores = cores
        self._pids = pids
        self._settle_s = 0.0
        self._say: Callable[[str], None] = print
        self._own_s = 0.0
        self._ticks = Ticks(0.0, 0.0, 0.0)
        self.seen = Quiet(len(cores))

    def before(self, settle_s: float, sample_s: float = 1.0, say: Callable[[str], None] = print) -> None:
        """Wait up to ``settle_s`` for the load average to fall, then sleep ``sample_s`` and see who else works."""
        self._settle_s, self._say = settle_s, say
        end = time.monotonic() + settle_s
        limit = LOAD_PER_CORE * len(self._cores)
        if (load := os.getloadavg()[0]) > limit and settle_s > 0:
            say(f"load average {load:.2f}: waiting up to {settle_s:.0f} s for it to fall below {limit:.2f}")
        while os.getloadavg()[0] > limit and time.monotonic() < end:
            time.sleep(1.0)
        self.seen.load_1min = os.getloadavg()[0]
        start = self._read()
        time.sleep(sample_s)
        passed = self._read() - start
        self.seen.busy_before = passed.busy_s / passed.total_s if passed.total_s else 0.0

    def start(self) -> None:
        """Wait for calm clocks, at most as long as :meth:`before` allows; then the rounds begin.

        Waiting decides when to measure, never what is kept: a run that turns busy later is INVALID.
        """
        _wait_for_calm(time.monotonic() + self._settle_s, self._say)
        self._own_s, self._ticks = own_cpu_seconds(self._pids()), self._read()

    def round(self) -> None:
        """At least once a round, while everybody sleeps."""
        self.seen.reference_ms.append(steady_ms())

    def finish(self) -> Quiet:
        """The rounds are over; the workers still live."""
        passed = self._read() - self._ticks
        own_s = own_cpu_seconds(self._pids()) - self._own_s
        if passed.total_s:
            self.seen.others = max(0.0, (passed.busy_s - own_s) / passed.total_s)
            self.seen.steal = passed.steal_s / passed.total_s
        return self.seen

    def _read(self) -> Ticks:
        try:
            text = Path("/proc/stat").read_text(encoding="ascii")
        except OSError:
            return Ticks(0.0, 0.0, 0.0)
        return parse_stat(text, self._cores)


def _wait_for_calm(end: float, say: Callable[[str], None]) -> None:
    """Until the reference loop stayed within half of WANDER for CALM_S seconds, or ``end`` (monotonic seconds)."""
    recent: deque[float] = deque(maxlen=CALM_S)
    said = False
    while time.monotonic() < end and (len(recent) < CALM_S or wander(recent) > WANDER / 2):
        if len(recent) == CALM_S and not said:
            said = True
            say(f"the reference loop wanders {wander(recent):.1%}: waiting for {CALM_S} calm seconds")
        recent.append(steady_ms())
        time.sleep(1.0)


def cores_for(threads: int) -> list[int]:
    """The cores that contenders are pinned to."""
    usable = list(usable_core_ids())
    return usable[:threads] if threads else usable
