"""A model file run node by node in torch on the CPU: looked into for calibration, or rounded to FP16 at every node.

No CPU library shows what FP16 does: ONNX Runtime computes FP16 nodes in FP32 and OpenVINO in bfloat16 (measured:
300·300·0.001 gave 90, in true FP16 it is infinite). Here each node computes in FP32, as tensor cores accumulate, and
its output is rounded to FP16, where more than 65504 becomes infinite.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import torch
import torch.nn.functional as F
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor

from fieldlens.convert.graph.contract import ConversionError

FLOATS = (TensorProto.FLOAT, TensorProto.FLOAT16)
_QUANTISERS = ("QuantizeLinear", "DequantizeLinear")
_RANGES = {TensorProto.INT8: (-128, 127), TensorProto.UINT8: (0, 255)}
_EXACT = ("Relu", "MaxPool", "Transpose", "Flatten", "QuantizeLinear")
"""What these give is among the numbers they were given, or an integer: nothing to round, and no new peak."""

Watch = Callable[[str, Tensor], None]
"""Called with a node's output name and float32 values."""


@dataclass(frozen=True)
class _Step:
    """One node, its attributes read. ``low`` and ``high``: the integers that QuantizeLinear gives."""

    name: str
    kind: str
    inputs: tuple[str, ...]
    output: str
    attributes: dict[str, Any]
    low: int = 0
    high: int = 255


class Executor:
    """A loaded graph. ``peaks``: the largest absolute value that each node has given so far, while nobody watched."""

    def __init__(self, model: onnx.ModelProto, *, half: bool) -> None:
        """``half``: round weights and every node's output to FP16, whatever the file's own type.

        Scales stay as they are stored. Raises ConversionError for an operator that is not known here.
        """
        self._half = half
        self._outputs = tuple(value.name for value in model.graph.output)
        self._values = _constants(model, half)
        types = {tensor.name: tensor.data_type for tensor in model.graph.initializer}
        self.peaks: dict[str, float] = {}
        self._steps: list[_Step] = []
        for node in model.graph.node:
            step = _step(node, types)
            if all(name in self._values for name in step.inputs):
                self._values[step.output] = self._compute(step, self._values)  # quantised weights, once
            else:
                self._steps.append(step)
        used = Counter(name for step in self._steps for name in step.inputs if name not in self._values)
        self._uses = used + Counter(self._outputs)

    @torch.inference_mode()
    def run(self, image: npt.NDArray[np.uint8], watch: Watch | None = None) -> dict[str, npt.NDArray[np.float32]]:
        """uint8 ``[N,S,S,3]`` → the graph's outputs by name, float32."""
        values = {**self._values, "image": torch.from_numpy(image)}
        left = Counter(self._uses)
        for step in self._steps:
            result = self._compute(step, values)
            values[step.output] = result
            if watch is not None:
                watch(step.output, result)
            elif step.kind not in _EXACT:
                low, high = dense(result).aminmax()
                # max() passes over NaN, which is the worst there is: as infinite.
                peak = max(-float(low), float(high)) if not torch.isnan(low + high) else float("inf")
                self.peaks[step.name] = max(self.peaks.get(step.name, 0.0), peak)
            for name in step.inputs:
                left[name] -= 1
                if left[name] == 0:
                    del values[name]
        return {name: values[name].numpy() for name in self._outputs}

    def _compute(self, step: _Step, values: dict[str, Tensor]) -> Tensor:
        inputs = [values[name] for name in step.inputs]
        result = _OPERATORS[step.kind](step, inputs)
        if not self._half or step.kind in _EXACT:
            return result
        if any(result is value for value in inputs):  # a Cast of what is float already
            return result.half().float()
        return result.copy_(result.half())


def dense(values: Tensor) -> Tensor:
    """All values in the order in which they lie in memory, ``[n]``, without a copy where they lie without gaps.

    The convolutions give channels last, and torch copies such a tensor whole before it looks for its extremes: a fifth
    of the time of a run.
    """
    strides = values.stride()
    return values.permute(sorted(range(values.ndim), key=strides.__getitem__, reverse=True)).reshape(-1)


def _constants(model: onnx.ModelProto, half: bool) -> dict[str, Tensor]:
    """Initializers as float32 (the integers, too); shapes and axes as int64."""
    exact = {name for node in model.graph.node if node.op_type in _QUANTISERS for name in node.input[1:]}
    found = {}
    for tensor in model.graph.initializer:
        value = torch.from_numpy(numpy_helper.to_array(tensor).copy())
        if tensor.data_type != TensorProto.INT64:
            value = value.float()
        if half and tensor.data_type in FLOATS and tensor.name not in exact:
            value = value.half().float()
        found[tensor.name] = value
    return found


def _step(node: onnx.NodeProto, types: dict[str, TensorProto.DataType]) -> _Step:
    name = node.name or node.output[0]
    if node.op_type not in _OPERATORS or len(node.output) != 1 or "" in node.input:
        raise ConversionError(
            f"the check by emulation does not know {node.op_type} as {name} uses it",
            "report it: the graph of this network has changed",
        )
    attributes = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
    zero = types.get(node.input[2], TensorProto.UINT8) if len(node.input) > 2 else TensorProto.UINT8
    low, high = _RANGES.get(zero, (0, 255))
    return _Step(name, node.op_type, tuple(node.input), node.output[0], attributes, low, high)


def _cast(step: _Step, inputs: Sequence[Tensor]) -> Tensor:
    return inputs[0].float()


def _transpose(step: _Step, inputs: Sequence[Tensor]) -> Tensor:
    return inputs[0].permute(*step.attributes["perm"])


def _padded(step: _Step, value: Tensor, filling: float) -> Tensor:
    """ONNX gives ``[top, left, bottom, right]``, torch takes ``(left, right, top, bottom)``."""
    top, left, bottom, right = step.attributes.get("pads", (0, 0, 0, 0))
    return F.pad(value, (left, right, top, bottom), value=filling) if top or left or bottom or right else value


def _conv(step: _Step, inputs: Sequence[Tensor]) -> Tensor:
    top, left, bottom, right = step.attributes.get("pads", (0, 0, 0, 0))
    even = top == bottom and left == right
    return F.conv2d(
        inputs[0] if even else _padded(step, inputs[0], 0.0),
        inputs[1],
        inputs[2] if len(inputs) > 2 else None,
        tuple(step.attributes.get("strides", (1, 1))),
        (top, left) if even else 0,
        tuple(step.attributes.get("dilations", (1, 1))),
        step.attributes.get("group", 1),
    )


def _max_pool(step: _Step, inputs: Sequence[Tensor]) -> Tensor:
    value = _padded(step, inputs[0], float("-inf"))
    return F.max_pool2d(value, tuple(step.attributes["kernel_shape"]), tuple(step.attributes.get("strides", (1, 1))))


def _reduce_mean(step: _Step, inputs: Sequence[Tensor]) -> Tensor:
    axes = inputs[1].tolist() if len(inputs) > 1 else list(step.attributes["axes"])
    return inputs[0].mean(axes, keepdim=bool(step.attributes.get("keepdims", 1)))


def _along(step: _Step, parameter: Tensor, value: Tensor) -> Tensor:
    """A scale or zero point, per tensor or per channel, shaped to meet ``value``."""
    if parameter.numel() == 1:
        return parameter.reshape(())
    axis = step.attributes.get("axis", 1)
    return parameter.reshape([-1 if place == axis else 1 for place in range(value.ndim)])


def _quantize(step: _Step, inputs: Sequence[Tensor]) -> Tensor:
    """Integers, kept in float32. Rounds halves to even, as ONNX says."""
    whole = (inputs[0] / _along(step, inputs[1], inputs[0])).round_()
    if len(inputs) > 2:
        whole += _along(step, inputs[2], inputs[0])
    return whole.clamp_(step.low, step.high)


def _dequantize(step: _Step, inputs: Sequence[Tensor]) -> Tensor:
    scale = _along(step, inputs[1], inputs[0])
    if len(inputs) == 2:
        return inputs[0] * scale
    return (inputs[0] - _along(step, inputs[2], inputs[0])).mul_(scale)


_OPERATORS: dict[str, Callable[[_Step, Sequence[Tensor]], Tensor]] = {
    "Cast": _cast,
    "Transpose": _transpose,
    "Sub": lambda step, inputs: inputs[0] - inputs[1],
    "Mul": lambda step, inputs: inputs[0] * inputs[1],
    "Add": lambda step, inputs: inputs[0] + inputs[1],
    "Conv": _conv,
    "Relu": lambda step, inputs: torch.relu(inputs[0]),
    "MaxPool": _max_pool,
    "ReduceMean": _reduce_mean,
    "GlobalAveragePool": lambda step, inputs: inputs[0].mean((2, 3), keepdim=True),
    "Flatten": lambda step, inputs: inputs[0].flatten(step.attributes.get("axis", 1)),
    "QuantizeLinear": _quantize,
    "DequantizeLinear": _dequantize,
}
