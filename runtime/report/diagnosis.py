"""What held a run back, in words, with what to do about it. A clean run gets no line.

The first rules are trtexec's (NVIDIA/TensorRT, samples/common/sampleReporting.cpp: enqueue above 0.8 of the compute
time, copies against compute, a compute time that wanders); the others are about what happens around a network. Every
threshold is here, and docs/latency.md says why it is where it is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from fieldlens.runtime.machine.telemetry import TelemetryRecord
from fieldlens.runtime.running.latency import LatencyLog, TimeLine, milliseconds, needed

FEWEST = 30
"""With fewer answers nothing but that is diagnosed: a median of less says little about the next run."""
ENQUEUE_SHARE = 0.8
COPY_SHARE = 0.5
CLOCK_SPREAD = 0.05
TIMING_SPREAD = 0.10
BUSY_SHARE = 0.10
DROPPED_SHARE = 0.01
_GROUPS = 20
_FEWEST_PER_GROUP = 10

HOST_ADVICE = {
    "decode": "give smaller images (JPEG rather than PNG), a lower camera resolution, or more --workers",
    "preprocess": "give smaller images, or crop in the camera: denoise and CLAHE steps cost the most",
    "postprocess": "see the quality gate's part with `fieldlens info BUNDLE`, and report it",
}


@dataclass(frozen=True)
class Diagnosis:
    """One finding: the rule's name, what was seen (with figures), and what to do."""

    rule: str
    words: str
    advice: str


@dataclass(frozen=True)
class Evidence:
    """What the rules look at. ``record`` is None where the machine was not watched; ``percentile`` is the one that
    the reader asked for; ``dropped`` counts frames of cameras; ``workers`` prepare images ahead (0: none)."""

    latency: LatencyLog
    record: TelemetryRecord | None = None
    percentile: float = 99.0
    dropped: int = 0
    workers: int = 0

    @property
    def answered(self) -> int:
        """Images with an answer."""
        return self.latency.stages["total"].count

    @property
    def network_ms(self) -> float:
        """Median of the network with its copies."""
        return self.latency.median("host_to_device", "inference", "device_to_host")


def diagnose(evidence: Evidence) -> tuple[Diagnosis, ...]:
    """All findings, the most telling first. Empty for a clean run, and for one without answers."""
    if not evidence.answered:
        return ()
    few = too_few_samples(evidence)
    if evidence.answered < FEWEST:
        return (few,) if few else ()
    found = [rule(evidence) for rule in RULES]
    return tuple(finding for finding in (*found, few) if finding is not None)


def host_bound(evidence: Evidence) -> Diagnosis | None:
    """A stage of the CPU's that takes as long as the network: a faster network would hardly show.

    Workers share decoding and preprocessing, so only a part of it stands in the network's way.
    """
    shared = {"decode": evidence.workers or 1, "preprocess": evidence.workers or 1, "postprocess": 1}
    taken_ms = {stage: evidence.latency.median(stage) / among for stage, among in shared.items()}
    stage = max(taken_ms, key=lambda name: taken_ms[name])
    network_ms = evidence.network_ms
    if taken_ms[stage] < network_ms:
        return None
    among = f" among {evidence.workers} workers" if shared[stage] > 1 else ""
    words = (
        f"{stage} takes {milliseconds(taken_ms[stage])} ms{among}, the network {milliseconds(network_ms)} ms (medians)"
    )
    return Diagnosis(f"{stage}-bound", words, HOST_ADVICE[stage])


def copy_bound(evidence: Evidence) -> Diagnosis | None:
    """Copies to and from the device take half of the network's time or more: a third of the two together."""
    copies_ms = evidence.latency.median("host_to_device", "device_to_host")
    compute_ms = evidence.latency.median("inference")
    if copies_ms == 0 or copies_ms < COPY_SHARE * compute_ms:
        return None
    words = (
        f"copies to and from the device take {milliseconds(copies_ms)} ms, the network {milliseconds(compute_ms)} ms"
    )
    return Diagnosis(
        "copy-bound", words, "smaller batches; zero-copy on an integrated GPU (the conditions say whether it was used)"
    )


def enqueue_bound(evidence: Evidence) -> Diagnosis | None:
    """The CPU needs nearly as long to hand out the work as the device to do it."""
    enqueue_ms, compute_ms = evidence.latency.median("enqueue"), evidence.latency.median("inference")
    if enqueue_ms == 0 or enqueue_ms < ENQUEUE_SHARE * compute_ms:
        return None
    words = f"handing the work to the device takes {milliseconds(enqueue_ms)} of {milliseconds(compute_ms)} ms"
    return Diagnosis("enqueue-bound", words, "use a CUDA graph (the conditions say whether one was), or a faster CPU")


def throttled(evidence: Evidence) -> Diagnosis | None:
    """The kernel or the board counted throttling, or held clocks down because of heat."""
    if evidence.record is None:
        return None
    events, cooled = evidence.record.throttles(), evidence.record.cooled()
    counted = [f"{kind} {count}×" for kind, count in events.items()]
    counted += [f"{kind} {share:.0%} of the run" for kind, share in cooled.items()]
    if not counted:
        return None
    hottest = evidence.record.hottest()
    heat = f"; {hottest[0]} reached {hottest[3]:.0f} °C" if hottest else ""
    words = f"the machine was slowed down: {', '.join(counted)}{heat}"
    if cooled or "heat" in events:
        return Diagnosis("thermal-throttling", words, "cool it (fan, heat sink, shade), or choose a lower power mode")
    if "CPU quota" in events:
        return Diagnosis("cpu-quota", words, "raise the container's CPU limit")
    return Diagnosis("power-throttling", words, "a stronger power supply, or a lower power mode: sudo nvpmodel -m N")


def busy_machine(evidence: Evidence) -> Diagnosis | None:
    """Other programs, or other virtual machines on the same host, took a share of our cores."""
    share = evidence.record.others_share() if evidence.record else None
    if share is None or share < BUSY_SHARE:
        return None
    words = f"other programs took {share:.0%} of the cores' time"
    return Diagnosis("busy-machine", words, "stop them (top shows which), or give this run cores of its own: taskset")


def clocks_wandering(evidence: Evidence) -> Diagnosis | None:
    """By the clock sensors where there are any; otherwise by the fastest inference of each stretch of the run."""
    words = _clocks_seen(evidence.record) if evidence.record else ""
    if not words and not (evidence.record and evidence.record.series("clock_mhz")) and busy_machine(evidence) is None:
        words = _clocks_guessed(evidence.latency.line)
    if not words:
        return None
    lock = "lock them: sudo jetson_clocks (Jetson), sudo cpupower frequency-set --governor performance (PC)"
    return Diagnosis("clocks-wandering", words, lock)


def _clocks_seen(record: TelemetryRecord) -> str:
    """Between the slowest and the fastest twentieth of the readings; the first one is from before the work."""
    parts = []
    for kind, points in record.series("clock_mhz").items():
        values = sorted(value for _, value in points[1:])
        if len(values) < 3:
            continue
        low, high = values[len(values) // 20], values[-1 - len(values) // 20]
        if high - low > CLOCK_SPREAD * high:
            parts.append(f"{kind} {low:.0f}–{high:.0f} MHz")
    return f"the clocks wandered: {', '.join(parts)}" if parts else ""


def _clocks_guessed(line: TimeLine) -> str:
    """Other programs only ever slow an answer down, so each stretch's *fastest* inference shows the clock."""
    fastest = _fastest_by_stretch(line)
    if len(fastest) < _GROUPS // 2:
        return ""
    values = sorted(fastest)
    low, high = values[len(values) // 20], values[-1 - len(values) // 20]
    if low <= 0 or high - low <= TIMING_SPREAD * low:
        return ""
    return (
        f"the fastest inference of each stretch of the run wandered between {milliseconds(low)} and "
        f"{milliseconds(high)} ms, as if the clocks did (this machine shows no clock)"
    )


def _fastest_by_stretch(line: TimeLine) -> list[float]:
    """The run in about twenty stretches: the fastest inference of each that has ten answers or more, in ms."""
    if not line.windows:
        return []
    per_group = max((max(line.windows) + 1) / _GROUPS, 1.0)
    counts: dict[int, int] = {}
    fastest: dict[int, float] = {}
    for index, window in line.windows.items():
        group = int(index / per_group)
        counts[group] = counts.get(group, 0) + window.count
        fastest[group] = min(fastest.get(group, window.inference_ms), window.inference_ms)
    return [fastest[group] for group in sorted(fastest) if counts[group] >= _FEWEST_PER_GROUP]


def frames_dropped(evidence: Evidence) -> Diagnosis | None:
    """The camera is faster than the answers."""
    share = evidence.dropped / (evidence.dropped + evidence.answered)
    if share < DROPPED_SHARE:
        return None
    words = f"{share:.0%} of the camera's frames were dropped: it delivers faster than answers are given"
    return Diagnosis(
        "frames-dropped", words, "every answer is still about the newest frame; a lower frame rate saves power"
    )


def too_few_samples(evidence: Evidence) -> Diagnosis | None:
    """For the percentile that was asked for."""
    percent, count = evidence.percentile, evidence.answered
    if count >= needed(percent):
        return None
    words = f"{count} answers are too few for p{percent:g}, which needs {needed(percent)}"
    return Diagnosis("too-few-samples", words, "run longer, or ask for a lower percentile")


RULES: tuple[Callable[[Evidence], Diagnosis | None], ...] = (
    throttled, busy_machine, clocks_wandering, host_bound, copy_bound, enqueue_bound, frames_dropped,
)  # fmt: skip
