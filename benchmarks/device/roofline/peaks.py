"""What this machine does at best: bytes moved by a plain copy, multiply-adds done by a known kernel.

The kernel is a chain of 1×1 convolutions of 1024 channels over 32×32 positions, in OpenVINO: each one is a matrix
product 1024×1024×1024, which no library can shorten (no Winograd for 1×1), and the library is the one that runs the
network. So a peak is what these cores give to a perfect layer, not what their data sheet says.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

CHANNELS, SIDE, LAYERS = 1024, 32, 4
OPERATIONS = 2 * LAYERS * CHANNELS * CHANNELS * SIDE * SIDE
COPY_BYTES = 64 << 20
PRECISIONS = ("fp32", "bf16", "int8")
_SCALE = 0.02
"""Of the INT8 kernel's activations."""
_HINT = {"fp32": "f32", "bf16": "bf16", "int8": "f32"}


@dataclass(frozen=True)
class Measured:
    """A figure and how far it may be off, down and up."""

    value: float
    low: float
    high: float

    @classmethod
    def peak(cls, rates: list[float]) -> Measured:
        """The 90th percentile of single rates, from the median to the best: whatever disturbs only makes slower."""
        low, value, high = np.percentile(rates, [50, 90, 100])
        return cls(float(value), float(low), float(high))

    def __str__(self) -> str:
        return f"{_three_digits(self.value)} [{_three_digits(self.low)}, {_three_digits(self.high)}]"


def _three_digits(value: float) -> str:
    """Three significant digits, never an exponent."""
    return f"{value:.0f}" if value >= 1000 else f"{value:.3g}"


def bandwidth(threads: int, repeats: int) -> Measured:
    """Gigabytes a second, read and written, of a copy of 64 MB per thread: far more than a cache holds.

    As STREAM's copy counts it: a cache that reads a line before it overwrites it moves half as much again.
    """
    pairs = [(np.ones(COPY_BYTES, np.uint8), np.zeros(COPY_BYTES, np.uint8)) for _ in range(threads)]

    def copy(pair: tuple[Any, Any]) -> None:
        np.copyto(pair[1], pair[0])  # releases the interpreter's lock

    rates = []
    with ThreadPoolExecutor(threads) as pool:
        for _ in range(repeats + 1):
            seconds = _timed(lambda: list(pool.map(copy, pairs)))
            rates.append(2 * COPY_BYTES * threads / seconds / 1e9)
    return Measured.peak(rates[1:])


def multiply_adds(precision: str, threads: int, repeats: int) -> Measured:
    """Gigaoperations a second (a multiply-add is two) of the kernel at fp32, bf16 or int8."""
    import openvino as ov

    model = _chain_int8() if precision == "int8" else _chain_float()
    core = ov.Core()
    config = {
        "INFERENCE_PRECISION_HINT": _HINT[precision],
        "INFERENCE_NUM_THREADS": threads,
        "PERFORMANCE_HINT": "LATENCY",
    }
    request = core.compile_model(model, "CPU", config).create_infer_request()
    kind = np.uint8 if precision == "int8" else np.float32
    image = np.ones((1, CHANNELS, SIDE, SIDE), kind)
    request.set_input_tensor(ov.Tensor(image, shared_memory=True))
    rates = [OPERATIONS / _timed(request.infer) / 1e9 for _ in range(repeats + 2)]
    return Measured.peak(rates[2:])


def _timed(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def _weights() -> np.ndarray[Any, np.dtype[np.float32]]:
    return np.random.default_rng(0).normal(0, 0.02, (CHANNELS, CHANNELS, 1, 1)).astype(np.float32)


def _chain_float() -> Any:
    import openvino as ov
    from openvino import opset8 as ops

    image = ops.parameter([1, CHANNELS, SIDE, SIDE], np.float32, "image")
    value, weight = image, ops.constant(_weights())
    for _ in range(LAYERS):
        value = ops.relu(_convolution(value, weight))
    return ov.Model([value], [image], "peak")


def _chain_int8() -> Any:
    """Unsigned activations and signed weights, as OpenVINO reads the explicit Q/DQ of ``model.int8-cpu.onnx``."""
    import openvino as ov
    from openvino import opset8 as ops

    image = ops.parameter([1, CHANNELS, SIDE, SIDE], np.uint8, "image")
    levels = ops.constant(np.rint(_weights() * 1000).clip(-127, 127).astype(np.int8))
    weight = ops.multiply(ops.convert(levels, "f32"), ops.constant(np.array(0.001, np.float32)))
    value = ops.multiply(ops.convert(image, "f32"), ops.constant(np.array(_SCALE, np.float32)))
    low, high = (ops.constant(np.array(end, np.float32)) for end in (0.0, 255 * _SCALE))
    for layer in range(LAYERS):
        value = ops.relu(_convolution(value, weight))
        if layer < LAYERS - 1:
            value = ops.fake_quantize(value, low, high, low, high, 256)
    return ov.Model([value], [image], "peak")


def _convolution(value: Any, weight: Any) -> Any:
    from openvino import opset8 as ops

    return ops.convolution(value, weight, [1, 1], [0, 0], [0, 0], [1, 1])
