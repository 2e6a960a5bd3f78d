"""What TensorRT's parser refuses of an ONNX file, as far as this kit's files could break it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, numpy_helper

KNOWN = {
    "Add", "Cast", "Concat", "Constant", "Conv", "DequantizeLinear", "Flatten", "Gather", "Gemm", "GlobalAveragePool",
    "Identity", "MatMul", "MaxPool", "Mul", "QuantizeLinear", "ReduceMean", "Relu", "Reshape", "Shape", "Sub",
    "Transpose", "Unsqueeze",
}  # fmt: skip


@dataclass(frozen=True)
class Complaint:
    """One parser error."""

    node: int
    name: str
    operator: str
    text: str


@cache
def complaints(model: bytes, major: int) -> list[Complaint]:
    """All that TensorRT of this major version would refuse."""
    try:
        graph = onnx.load_from_string(model)
        onnx.checker.check_model(graph)
    except Exception as error:  # noqa: BLE001  # onnx raises several unrelated kinds for bytes that are no model
        return [Complaint(-1, "", "", f"failed to parse the model: {error}")]
    found = []
    newest = 17 if major < 10 else 22
    opset = max(entry.version for entry in graph.opset_import if entry.domain in ("", "ai.onnx"))
    if opset > newest:
        found.append(Complaint(-1, "", "", f"opset {opset} is newer than {newest}, the last this parser knows"))
    constants = {tensor.name: tensor for tensor in graph.graph.initializer}
    for index, node in enumerate(graph.graph.node):
        texts = _node_complaints(node, constants, graph, major)
        found += [Complaint(index, node.name, node.op_type, text) for text in texts]
    return found


def _node_complaints(node: Any, constants: dict[str, Any], graph: Any, major: int) -> list[str]:
    texts = []
    if node.op_type not in KNOWN:
        texts.append(f"Plugin not found for operator {node.op_type}")
    if graph.graph.input[0].name in node.input and node.op_type != "Cast":
        texts.append("UINT8 network input can only be cast to FP32 or FP16")
    if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
        scale = constants.get(node.input[1])
        if scale is not None and scale.data_type == TensorProto.FLOAT16 and major < 10:
            texts.append("FP16 scales are not supported")
        data = constants.get(node.input[0])
        if node.op_type == "DequantizeLinear" and data is not None and data.data_type == TensorProto.INT32:
            texts.append("only activation types allowed as input to this layer")
        zero = constants.get(node.input[2]) if len(node.input) > 2 else None
        if zero is not None and (zero.data_type == TensorProto.UINT8 or np.any(numpy_helper.to_array(zero))):
            texts.append("only symmetric INT8 quantization is supported")
    return texts


@cache
def has_half_weights(model: bytes) -> bool:
    """Whether the graph is FP16-typed."""
    return any(tensor.data_type == TensorProto.FLOAT16 for tensor in onnx.load_from_string(model).graph.initializer)


@cache
def has_quantisation(model: bytes) -> bool:
    """Whether there are Q/DQ nodes."""
    return any(node.op_type == "QuantizeLinear" for node in onnx.load_from_string(model).graph.node)


@cache
def convolutions(model: bytes) -> list[str]:
    """Names of the convolutions."""
    return [node.name or node.output[0] for node in onnx.load_from_string(model).graph.node if node.op_type == "Conv"]


@cache
def tensors(model: bytes) -> list[tuple[str, bool, int, tuple[int, ...]]]:
    """``(name, is input, ONNX type, shape with -1)`` at the graph's edge."""
    graph = onnx.load_from_string(model).graph
    found = []
    for is_input, values in ((True, graph.input), (False, graph.output)):
        for value in values:
            kind = value.type.tensor_type
            shape = tuple(dim.dim_value if dim.WhichOneof("value") == "dim_value" else -1 for dim in kind.shape.dim)
            found.append((value.name, is_input, kind.elem_type, shape))
    return found


@cache
def session(model: bytes) -> Any:
    """One ONNX Runtime session per file, whatever the number of engines."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
