"""How far every stage is from what this machine could do at best (Williams et al., Roofline, CACM 2009)."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import cv2
import numpy as np
import simplejpeg

from fieldlens.benchmarks.device.compare.stage import Stage
from fieldlens.benchmarks.device.contenders.catalogue import REFERENCE, pick, why_not
from fieldlens.benchmarks.device.machine.quiet import Quiet, QuietWatch, cores_for
from fieldlens.benchmarks.device.machine.surroundings import surroundings
from fieldlens.benchmarks.device.roofline import peaks
from fieldlens.benchmarks.device.roofline.graph_cost import BYTES, Cost, count
from fieldlens.benchmarks.device.roofline.peaks import PRECISIONS, Measured
from fieldlens.runtime.backends.base import LoadOptions
from fieldlens.runtime.backends.select import load_backend
from fieldlens.runtime.classifier import Classifier
from fieldlens.runtime.errors import KitError


@dataclass(frozen=True)
class StageCost:
    """Median ms in the pipeline; ``bare_ms``: the one library call inside it, alone; ``floor_ms``: what the
    machine's peaks allow."""

    name: str
    p50_ms: float
    bare_ms: float
    floor_ms: Measured
    why: str


@dataclass(frozen=True)
class Roofline:
    """Peaks, the network's cost, its floor per precision, and the stages at the precision that ran."""

    bandwidth_gb_s: Measured
    peaks_gops: dict[str, Measured]
    operations: int
    weights: int
    floors_ms: dict[str, Measured]
    bound: dict[str, str]
    stages: tuple[StageCost, ...]
    precision: str
    quiet: Quiet
    conditions: dict[str, Any]

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {**asdict(self), "quiet": self.quiet.to_json()}


def measure(stage: Stage, threads: int, repeats: int, settle_s: float) -> Roofline:
    """Stages first, while the process has nothing else in it; then the peaks. Raises KitError without OpenVINO."""
    (ours,) = pick([REFERENCE])
    if reason := why_not(ours, list(stage.models)):
        raise KitError(f"the roofline needs {REFERENCE}: {reason}", "it is measured with OpenVINO's own kernels")
    cores = cores_for(threads)
    cv2.setNumThreads(len(cores))
    watch = QuietWatch(cores)
    watch.before(settle_s)
    watch.start()
    stages, bare, precision = _stages(stage, len(cores), repeats)
    watch.round()
    bandwidth = peaks.bandwidth(len(cores), repeats)
    watch.round()
    rates = {}
    for name in PRECISIONS:
        rates[name] = peaks.multiply_adds(name, len(cores), repeats)
        watch.round()
    quiet = watch.finish()
    cost = count(stage.bundle.model("fp32"))
    floors = {name: floor_ms(cost, BYTES[name], rates[name], bandwidth) for name in PRECISIONS}
    bound = {name: _bound(cost, BYTES[name], rates[name], bandwidth) for name in PRECISIONS}
    costs = _with_floors(stage, stages, bare, bandwidth, floors[precision], bound[precision])
    return Roofline(
        bandwidth, rates, cost.operations, cost.weights, floors, bound, costs, precision, quiet,
        surroundings(cores=cores),
    )  # fmt: skip


def floor_ms(cost: Cost, width: int, rate: Measured, bandwidth: Measured) -> Measured:
    """The larger of all operations at the peak rate and all weights once through memory: perfect overlap assumed.

    The activations are left out: between layers they can stay in a cache. So can the weights where the last-level
    cache holds them all; then the first term alone is the floor.
    """

    def at(operations: float, gigabytes: float) -> float:
        return max(cost.operations / operations / 1e9, cost.weights * width / gigabytes / 1e9) * 1e3

    return Measured(at(rate.value, bandwidth.value), at(rate.high, bandwidth.high), at(rate.low, bandwidth.low))


def _bound(cost: Cost, width: int, rate: Measured, bandwidth: Measured) -> str:
    compute = cost.operations / rate.value
    return "multiply-adds" if compute >= cost.weights * width / bandwidth.value else "memory (weights)"


def _stages(stage: Stage, threads: int, repeats: int) -> tuple[dict[str, float], dict[str, float], str]:
    """Medians of the runtime's own stage times, of the bare calls inside, and the precision as it says itself."""
    data = [path.read_bytes() for path in stage.pictures.paths]
    backend = load_backend(stage.bundle, "openvino", "int8", LoadOptions(threads=threads))
    times: dict[str, list[float]] = {}
    with Classifier(stage.bundle, backend) as classifier:
        for index in range(repeats * 10):
            prediction = classifier.classify_bytes(data[index % len(data)], "image")
            for name, value in prediction.latency_ms.items():
                times.setdefault(name, []).append(value)
        tensor = classifier.preprocess.empty()
        classifier.preprocess.from_bytes(data[0], "image", tensor[0])
        square = _square(data[0])
        bare = {
            "decode": _median_ms(lambda: _bare_decode(data[0]), repeats * 5),
            "preprocess": _median_ms(
                lambda: cv2.resize(square, tensor.shape[1:3], dst=tensor[0], interpolation=cv2.INTER_AREA), repeats * 5
            ),
            "inference": _median_ms(lambda: backend.infer(tensor), repeats * 10),
        }
    return {name: statistics.median(values) for name, values in times.items()}, bare, backend.info.precision


def _decoded(data: bytes) -> Any:
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    if pixels is None:
        raise KitError("the first image cannot be decoded", "give whole images")
    return pixels


def _square(data: bytes) -> Any:
    pixels = _decoded(data)
    height, width = pixels.shape[:2]
    side = min(height, width)
    return pixels[(height - side) // 2 : (height + side) // 2, (width - side) // 2 : (width + side) // 2]


def _bare_decode(data: bytes) -> object:
    return simplejpeg.decode_jpeg(data, "RGB") if data[:2] == b"\xff\xd8" else _decoded(data)


def _median_ms(work: Callable[[], object], repeats: int) -> float:
    times = []
    for _ in range(repeats + 3):
        start = time.perf_counter()
        work()
        times.append((time.perf_counter() - start) * 1e3)
    return statistics.median(times[3:])


def _with_floors(
    stage: Stage, times: dict[str, float], bare: dict[str, float], bandwidth: Measured, inference: Measured, bound: str
) -> tuple[StageCost, ...]:
    """Decoding and scaling have no arithmetic floor that is known; their bytes must move, so that is theirs."""
    data = stage.pictures.paths[0].read_bytes()
    square, size = _square(data), stage.bundle.manifest.size
    height, width = _decoded(data).shape[:2]

    def moved(count: float) -> Measured:
        return Measured(*(count / rate / 1e6 for rate in (bandwidth.value, bandwidth.high, bandwidth.low)))

    floors = {
        "decode": (moved(len(data) + height * width * 3), "bytes in and pixels out, at memory speed"),
        "preprocess": (
            moved(square.shape[0] * square.shape[1] * 3 + size * size * 3),
            "pixels in and out, at memory speed",
        ),
        "inference": (inference, f"bound by {bound}"),
    }
    return tuple(StageCost(name, times[name], bare[name], *floors[name]) for name in floors)


def show(result: Roofline) -> str:
    """For people: limits first, then stages."""
    gops = result.peaks_gops
    lines = [
        "",
        "this machine at best (90th percentile of the repeats [median, best])",
        f"  memory, copy        {result.bandwidth_gb_s} GB/s",
        *(f"  multiply-adds {name:<5} {gops[name]} Gop/s" for name in gops),
        f"the network: {result.operations / 1e9:.2f} Gop and {result.weights / 1e6:.1f} million weights an image",
        *(f"  floor at {name:<5} {result.floors_ms[name]} ms, bound by {result.bound[name]}" for name in gops),
        "",
        f"{'stage':<12}{'p50 ms':>8}{'bare call':>11}{'floor ms':>24}{'× floor':>9}",
    ]
    for stage in result.stages:
        times = stage.p50_ms / stage.floor_ms.value
        figures = f"{stage.p50_ms:>8.2f}{stage.bare_ms:>11.2f}{stage.floor_ms!s:>24}{times:>9.1f}"
        lines.append(f"{stage.name:<12}{figures}  {stage.why}")
    lines.append(f"stages at {result.precision}, through this runtime; p50 of the bare library call beside each")
    return "\n".join(lines)
