"""Calibration: the range of every activation on training images, by MinMax and by Entropy, in one pass.

onnxruntime's own calibrators run the network once per method, keep whole activations in memory, and with their 128
histogram bins Entropy gives exactly MinMax's ranges.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import onnx
import torch
from torch import Tensor

from fieldlens.convert.graph.execute import Executor, dense

METHODS = ("MinMax", "Entropy")
_BATCH = 16
_BINS = 2048
_LEVELS = 128
_STRIDE = 4
_SAMPLE = 2**18
_PRIMES = (1, 3, 11, 23, 47, 97, 197)
"""Of a batch's activation only every 3rd, 11th, … value is counted, so that about _SAMPLE are. They divide no side of a
map, so each column and channel is met. Least and largest value are taken from all."""

Counts = npt.NDArray[np.float64]


@dataclass
class ActivationHistogram:
    """One activation: least and largest value, and counts of absolute values in equal bins from 0 to ``top``."""

    low: float
    high: float
    top: float
    counts: Counts

    def add(self, values: Tensor) -> None:
        """Count ``values``; where they reach beyond ``top``, pairs of bins are merged until they fit."""
        low, high = extremes(values)
        self.low, self.high = min(self.low, low), max(self.high, high)
        while self.top < max(-low, high):
            merged = self.counts.reshape(-1, 2).sum(axis=1)
            self.counts = np.concatenate([merged, np.zeros(_BINS // 2)])
            self.top *= 2.0
        every = next((prime for prime in _PRIMES if values.numel() <= prime * _SAMPLE), _PRIMES[-1])
        self.counts += torch.histc(every_nth(values, every).abs(), _BINS, 0.0, self.top).double().numpy()


def extremes(values: Tensor) -> tuple[float, float]:
    """The least and the largest value."""
    low, high = dense(values).aminmax()
    return float(low), float(high)


def every_nth(values: Tensor, every: int) -> Tensor:
    """``values.flatten()[::every]``, without a copy of all where they lie in memory in another order."""
    whole = dense(values)
    if whole.data_ptr() != values.data_ptr():  # with gaps: it is a copy
        return values.flatten()[::every]
    return whole[_offsets(tuple(values.shape), values.stride(), every)]


@lru_cache(maxsize=64)
def _offsets(shape: tuple[int, ...], strides: tuple[int, ...], every: int) -> Tensor:
    """Where in memory every so many-th value of a tensor lies, int64. Some dozen layers share a shape."""
    place, offset = torch.arange(0, math.prod(shape), every), torch.zeros((), dtype=torch.int64)
    for size, stride in zip(reversed(shape), reversed(strides), strict=True):
        offset = offset + place % size * stride
        place = place // size
    return offset


@dataclass(frozen=True)
class Ranges:
    """``bounds``: tensor name → least and largest value that INT8 is to hold."""

    method: str
    bounds: dict[str, tuple[float, float]]


def observe(model: onnx.ModelProto, tensors: Sequence[npt.NDArray[np.uint8]]) -> dict[str, ActivationHistogram]:
    """Run the FP32 ``model`` on preprocessed images uint8 ``[S,S,3]`` and count every node's output."""
    seen: dict[str, ActivationHistogram] = {}

    def watch(name: str, values: Tensor) -> None:
        if name not in seen:
            low, high = extremes(values)
            seen[name] = ActivationHistogram(np.inf, -np.inf, max(-low, high, 1e-12), np.zeros(_BINS))
        seen[name].add(values)

    executor = Executor(model, half=False)
    for start in range(0, len(tensors), _BATCH):
        executor.run(np.stack(tensors[start : start + _BATCH]), watch)
    _offsets.cache_clear()  # some 100 MB for a ResNet-50
    return seen


def ranges(seen: dict[str, ActivationHistogram], method: str) -> Ranges:
    """MinMax: all that was seen. Entropy: cut where an 8-bit histogram tells least apart from the whole one."""
    if method not in METHODS:
        raise ValueError(f"unknown calibration method {method!r}")
    bounds = {}
    for name, histogram in seen.items():
        limit = entropy_threshold(histogram) if method == "Entropy" else np.inf
        bounds[name] = (max(histogram.low, -limit), min(histogram.high, limit))
    return Ranges(method, bounds)


def entropy_threshold(histogram: ActivationHistogram) -> float:
    """The absolute value at which clipping loses least information by the Kullback–Leibler divergence.

    Migacz, 8-bit Inference with TensorRT (GTC 2017), as in NVIDIA's pytorch-quantization: the first bin, which holds
    the zeros of ReLU, is replaced by the second, what lies beyond a threshold counts to the last bin kept, and 128
    levels are spread over the bins kept. Of equal thresholds the largest.
    """
    counts = histogram.counts.copy()
    counts[0] = counts[1]
    last = int(np.flatnonzero(counts)[-1]) + 1 if counts.any() else 0
    stops = range(_LEVELS, last + 1, _STRIDE)
    if len(stops) < 2:
        return histogram.top
    divergences = [_divergence(counts[:last], stop) for stop in stops]
    best = len(divergences) - 1 - int(np.argmin(divergences[::-1]))
    if best == len(divergences) - 1:
        return histogram.top
    return stops[best] * histogram.top / _BINS


def _divergence(counts: Counts, stop: int) -> float:
    """KL divergence of the first ``stop`` bins, quantised to 128 levels, from the whole histogram; may be infinite."""
    kept = counts[:stop]
    level = np.arange(stop) * _LEVELS // stop
    filled = kept > 0
    total = np.bincount(level, kept, _LEVELS)
    number = np.bincount(level, filled, _LEVELS)
    mean = np.divide(total, number, out=np.zeros(_LEVELS), where=number > 0)
    ours = np.where(filled, mean[level], 0.0)
    wanted = kept.copy()
    wanted[-1] += counts[stop:].sum()
    ours_sum, wanted_sum = ours.sum(), wanted.sum()
    if ours_sum == 0 or np.any((wanted > 0) & (ours == 0)):
        return float("inf")
    share, other = wanted[filled] / wanted_sum, ours[filled] / ours_sum
    return float(np.sum(share * np.log(share / other)))
