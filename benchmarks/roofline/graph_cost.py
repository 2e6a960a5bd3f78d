"""Operations and bytes of a network, counted from its graph."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import onnx

from fieldlens.runtime.errors import BundleError

BYTES = {"fp32": 4, "bf16": 2, "int8": 1}


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


def count(model: onnx.ModelProto) -> Cost:
    """Of a float graph, batch 1. Raises BundleError where shapes cannot be inferred."""
    one = onnx.ModelProto()
    one.CopyFrom(model)
    for value in (*one.graph.input, *one.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = 1
    inferred = onnx.shape_inference.infer_shapes(one)
    shapes = {
        value.name: [dim.dim_value for dim in value.type.tensor_type.shape.dim]
        for value in (*inferred.graph.input, *inferred.graph.value_info, *inferred.graph.output)
    }
    weights = {tensor.name: list(tensor.dims) for tensor in inferred.graph.initializer}
    return Cost(tuple(_layer(node, shapes, weights) for node in inferred.graph.node if node.op_type == "Conv"))


def _layer(node: onnx.NodeProto, shapes: dict[str, list[int]], weights: dict[str, list[int]]) -> Layer:
    try:
        weight, inputs, outputs = weights[node.input[1]], shapes[node.input[0]], shapes[node.output[0]]
    except KeyError as error:
        raise BundleError(f"the graph does not tell the shape of {error}", "give a bundle's FP32 file") from error
    if not all((*inputs, *outputs)):
        raise BundleError(f"the graph does not fix the shapes around {node.name}", "give a bundle's FP32 file")
    # Every output value is a sum over one filter: weight is [out, in / groups, height, width].
    return Layer(node.name, 2 * prod(outputs) * prod(weight[1:]), prod(weight), prod(inputs), prod(outputs))
