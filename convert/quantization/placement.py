"""Where Q/DQ pairs stand in a file for TensorRT, put right and then checked.

A pair in the wrong place splits what TensorRT would fuse: INT8 is then slower than FP16 (TensorRT 8.6, RTX 3060:
0.566 ms against 0.527; yester31/quantization_ex).
"""

from __future__ import annotations

from collections import Counter

import onnx

from fieldlens.convert.graph.contract import ConversionError, head_nodes


def residual_adds(model: onnx.ModelProto) -> list[onnx.NodeProto]:
    """The Adds of two activations; the logits' Add has a constant."""
    constants = {tensor.name for tensor in model.graph.initializer}
    return [node for node in model.graph.node if node.op_type == "Add" and not constants & set(node.input)]


def keep_skip_only(model: onnx.ModelProto) -> onnx.ModelProto:
    """Take away, in place, the pair on the longer branch of every residual Add.

    The longer branch ends in a convolution whose output TensorRT adds in the same kernel, before it rounds. The skip
    branch has fewer convolutions behind it: it is the block's input, or that input through the 1×1 convolution of a
    downsample block.
    """
    graph = model.graph
    makers = {output: node for node in graph.node for output in node.output}
    depths = _depths(graph)
    for addition in residual_adds(model):
        longer = max(range(2), key=lambda place: depths[addition.input[place]])
        dequantise = makers.get(addition.input[longer])
        if dequantise is not None and dequantise.op_type == "DequantizeLinear":
            addition.input[longer] = makers[dequantise.input[0]].input[0]
    _drop_unused(graph)
    return model


def _depths(graph: onnx.GraphProto) -> dict[str, int]:
    """Tensor → convolutions on the longest way to it. Nodes are in topological order."""
    depths: Counter[str] = Counter()
    for node in graph.node:
        depth = max((depths[name] for name in node.input), default=0) + (node.op_type == "Conv")
        for output in node.output:
            depths[output] = depth
    return depths


def _drop_unused(graph: onnx.GraphProto) -> None:
    """Remove Q/DQ nodes and constants that nothing reads, in place."""
    outputs = {value.name for value in graph.output}
    while True:
        read = outputs | {name for node in graph.node for name in node.input}
        unused = [node for node in graph.node if not read & set(node.output)]
        if not unused:
            break
        for node in unused:
            graph.node.remove(node)
    for tensor in [tensor for tensor in graph.initializer if tensor.name not in read]:
        graph.initializer.remove(tensor)


def check_placement(model: onnx.ModelProto) -> None:
    """Raises ConversionError unless pairs stand where TensorRT fuses best, all symmetric, and nowhere else."""
    graph = model.graph
    makers = {output: node for node in graph.node for output in node.output}
    head, _ = head_nodes(model)
    depths = _depths(graph)
    wanted: set[str] = set()  # names of DequantizeLinear outputs that have a reason
    for node in graph.node:
        if node.op_type == "Conv" and node.name != head.name:
            wanted.update(node.input[:2])
    for addition in residual_adds(model):
        short, long = sorted(addition.input, key=lambda name: depths[name])
        if makers[long].op_type != "Conv":
            raise _fail(f"{addition.name} does not take its longer branch straight from a convolution")
        wanted.add(short)
    for name in wanted:
        if name not in makers or makers[name].op_type != "DequantizeLinear":
            raise _fail(f"{name} is not quantised")
    for node in graph.node:
        if node.op_type == "DequantizeLinear" and node.output[0] not in wanted:
            raise _fail(f"{node.name} quantises what should stay in floating point")
    _check_symmetric(graph)


def _check_symmetric(graph: onnx.GraphProto) -> None:
    constants = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type not in ("QuantizeLinear", "DequantizeLinear"):
            continue
        scale, zero = (constants[name] for name in node.input[1:3])
        if zero.dtype.name != "int8" or zero.any():
            raise _fail(f"{node.name} is not symmetric INT8")
        if not (scale > 0).all():
            raise _fail(f"{node.name} has a scale that is not positive")


def _fail(what: str) -> ConversionError:
    return ConversionError(f"Q/DQ nodes stand in the wrong place: {what}", "install the locked version of onnxruntime")
