"""From an FP32-typed file to an FP16-typed one: precision lives in the graph, TensorRT ≥ 10 builds it strongly typed.

Written out instead of taken from onnxruntime.transformers.float16: the graph has a dozen operators, that pass emitted
nodes out of order, and it rounds the scales of dead channels to zero.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from fieldlens.convert.graph.contract import ConversionError, strip

QDQ_OPSET = 19
"""FP16 scales are legal from here on; TensorRT 10 reads it."""
QDQ_IR = 9
SMALLEST = float(np.finfo(np.float16).tiny)
"""The smallest normal FP16 number, 6.1e-5. A weight scale below it belongs to a channel that is nearly dead: rounded to
zero it would divide by zero."""
_INPUT_SCALE = 1.0 / 64.0


def scaled_input(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy whose image is multiplied by 1/64 after the mean, and whose first convolution's weights by 64.

    The standard deviation is folded into that convolution (about 1/58), which leaves weights and scales where FP16 has
    few bits or none. A power of two changes no bit in FP32. Raises ConversionError for a graph of another form.
    """
    result = onnx.ModelProto()
    result.CopyFrom(model)
    graph = result.graph
    subtraction = [node for node in graph.node if node.op_type == "Sub"]
    users = [node for node in graph.node for name in node.input if subtraction and name == subtraction[0].output[0]]
    if len(subtraction) != 1 or [node.op_type for node in users] != ["Conv"]:
        raise ConversionError("the mean is not subtracted once, before one convolution", "report it")
    first = users[0]
    centred = subtraction[0].output[0]
    names = {name for node in graph.node for name in (*node.input, *node.output)}
    scaled, factor = _free(f"{centred}_scaled", names), _free("input_scale", names)
    graph.initializer.append(numpy_helper.from_array(np.array(_INPUT_SCALE, np.float32), factor))
    weight = next(tensor for tensor in graph.initializer if tensor.name == first.input[1])
    weight.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weight) / np.float32(_INPUT_SCALE), weight.name))
    first.input[0] = scaled
    place = list(graph.node).index(subtraction[0]) + 1
    graph.node.insert(place, helper.make_node("Mul", [centred, factor], [scaled], scaled))
    return result


def to_half(model: onnx.ModelProto) -> onnx.ModelProto:
    """An FP16-typed copy: weights, scales and the first Cast; the outputs are cast back to FP32.

    With Q/DQ nodes the operator set becomes 19, else it stays. Raises ConversionError for a weight outside FP16.
    """
    result = onnx.ModelProto()
    result.CopyFrom(model)
    graph = result.graph
    scales = {node.input[1] for node in graph.node if node.op_type in ("QuantizeLinear", "DequantizeLinear")}
    for tensor in graph.initializer:
        if tensor.data_type == TensorProto.FLOAT:
            tensor.CopyFrom(_halved(tensor, tensor.name in scales))
    for node in graph.node:
        for attribute in node.attribute:
            if node.op_type == "Cast" and attribute.name == "to" and attribute.i == TensorProto.FLOAT:
                attribute.i = TensorProto.FLOAT16
    _cast_outputs(graph)
    del graph.value_info[:]
    if scales:
        _to_opset_19(result)
    return strip(result)


def _halved(tensor: onnx.TensorProto, is_scale: bool) -> onnx.TensorProto:
    value = numpy_helper.to_array(tensor)
    if is_scale:
        value = np.maximum(value, np.float32(SMALLEST))
    with np.errstate(over="ignore"):
        half = value.astype(np.float16)
    if not np.isfinite(half).all():
        raise ConversionError(
            f"a weight of {tensor.name} is {float(np.abs(value).max()):.3g}: FP16 ends at 65504",
            "train with weight decay; FP32 and the CPU's INT8 still serve",
        )
    return numpy_helper.from_array(half, tensor.name)


def _cast_outputs(graph: onnx.GraphProto) -> None:
    outputs = {value.name: f"{value.name}_half" for value in graph.output}
    for node in graph.node:
        for names in (node.input, node.output):
            for place, name in enumerate(names):
                names[place] = outputs.get(name, name)
    graph.node.extend(
        helper.make_node("Cast", [half], [name], f"{name}_cast", to=TensorProto.FLOAT) for name, half in outputs.items()
    )


def _to_opset_19(model: onnx.ModelProto) -> None:
    """Of this graph's operators only ReduceMean changed its form since 17: its axes became an input (at 18)."""
    graph = model.graph
    for node in graph.node:
        found = [attribute for attribute in node.attribute if attribute.name == "axes"]
        if node.op_type == "ReduceMean" and found:
            name = f"{node.output[0]}_axes"
            graph.initializer.append(numpy_helper.from_array(np.array(found[0].ints, np.int64), name))
            node.input.append(name)
            node.attribute.remove(found[0])
    model.opset_import[0].version = QDQ_OPSET
    model.ir_version = max(model.ir_version, QDQ_IR)


def _free(wanted: str, taken: set[str]) -> str:
    return wanted if wanted not in taken else _free(f"{wanted}_", taken)
