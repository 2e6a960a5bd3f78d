"""Operations and bytes of a network, counted from its graph as OpenVINO reads it."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

from fieldlens.runtime.errors import BundleError

BYTES = {"fp32": 4, "bf16": 2, "int8": 1}
_CONVOLUTIONS = ("Convolution", "GroupConvolution")


@dataclass(frozen=True)
class Layer:
    """One convolution: operations (a multiply-add is two), and how many values it reads and writes."""

    name: str
    operations: int
    weights: int
    inputs: int
    outputs: int


@dataclass(frozen=True)
class Cost:
    """A whole network for one image. What is not a convolution (ReLU, adds, pooling) fuses or is negligible."""

    layers: tuple[Layer, ...]

    @property
    def operations(self) -> int:
        """Of all convolutions."""
        return sum(layer.operations for layer in self.layers)

    @property
    def weights(self) -> int:
        """How many; each is read at least once an image."""
        return sum(layer.weights for layer in self.layers)


def count(model: bytes) -> Cost:
    """Of an ONNX file, float, at batch 1. Raises BundleError where it is none, or its shapes are not fixed."""
    import openvino as ov

    try:
        network = ov.Core().read_model(model, b"")
        (image,) = network.inputs
        network.reshape({image: [1, *list(image.get_partial_shape())[1:]]})
        return Cost(tuple(_layer(node) for node in network.get_ordered_ops() if node.get_type_name() in _CONVOLUTIONS))
    except (RuntimeError, ValueError) as error:
        line = str(error).strip().splitlines()[-1]
        raise BundleError(f"the graph's shapes are unknown ({line})", "give a bundle's FP32 file") from error


def _layer(node: Any) -> Layer:
    inputs, weight = (list(node.input(index).get_shape()) for index in (0, 1))
    outputs = list(node.output(0).get_shape())
    if node.get_type_name() == "GroupConvolution":  # [groups, out / groups, in / groups, height, width]
        weight = [weight[0] * weight[1], *weight[2:]]
    # Every output value is a sum over one filter: weight is [out, in / groups, height, width].
    return Layer(
        node.get_friendly_name(), 2 * prod(outputs) * prod(weight[1:]), prod(weight), prod(inputs), prod(outputs)
    )
