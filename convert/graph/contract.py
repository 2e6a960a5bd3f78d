"""Contract 2 checked on a finished model file: what the exporter or quantiser returned is looked at, not believed."""

from __future__ import annotations

from dataclasses import dataclass

import onnx
from onnx import TensorProto

from fieldlens.runtime.errors import KitError

OUTPUTS = ("logits", "cam", "features")
MAIN_DOMAIN = ("", "ai.onnx")


class ConversionError(KitError):
    """A model file that does not keep to the contract, or a precision that could not be made."""


@dataclass(frozen=True)
class GraphShape:
    """Sizes in the contract: input side, classes, side of the map, features."""

    size: int
    classes: int
    cam_size: int
    features: int


def check_graph(model: onnx.ModelProto, opset: int) -> GraphShape:
    """Check a model of any precision and return its sizes. Raises ConversionError with what is wrong."""
    if any(tensor.data_location == TensorProto.EXTERNAL for tensor in model.graph.initializer):
        raise _fail("weights lie in an external file")  # before the checker, which would look for that file
    try:
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise _fail(f"onnx.checker refuses it: {str(error).strip()}") from error
    found = {entry.domain: entry.version for entry in model.opset_import}
    if any(domain not in MAIN_DOMAIN for domain in found) or max(found.values()) != opset:
        raise _fail(f"operator sets {found}, wanted only the standard one at {opset}")
    if model.graph.sparse_initializer or model.functions:
        raise _fail("it uses functions or sparse weights")
    if any(node.domain not in MAIN_DOMAIN for node in model.graph.node):
        raise _fail("it uses operators outside the standard")
    if any(node.op_type in ("Resize", "Upsample") for node in model.graph.node):
        raise _fail("it resizes inside: TensorRT refuses antialiased resizing, and the preprocess has done it")
    return _check_tensors(model)


def _check_tensors(model: onnx.ModelProto) -> GraphShape:
    """Names, dtypes and shapes at the edge, and the head that makes the map."""
    inputs = {value.name: _shape(value) for value in model.graph.input}
    outputs = {value.name: _shape(value) for value in model.graph.output}
    if list(inputs) != ["image"] or list(outputs) != list(OUTPUTS):
        raise _fail(f"inputs {list(inputs)} and outputs {list(outputs)}")
    kind, dims = inputs["image"]
    if kind != TensorProto.UINT8 or len(dims) != 4 or dims[1] != dims[2] or dims[3] != 3:
        raise _fail(f"image has type {kind} and shape {dims}, wanted uint8 [N,S,S,3]")
    if any(kind != TensorProto.FLOAT for kind, _ in outputs.values()):
        raise _fail("an output is not float32")
    logits, cam, features = (outputs[name][1] for name in OUTPUTS)
    if any(not isinstance(shape[0], str) for shape in (dims, logits, cam, features)):
        raise _fail("the batch size is fixed")
    sizes = (dims[1], *logits[1:], *cam[1:], *features[1:])
    if len(sizes) != 6 or not all(isinstance(size, int) for size in sizes):
        raise _fail(f"shapes {dims}, {logits}, {cam}, {features}")
    if cam[1] != logits[1] or cam[2] != cam[3]:
        raise _fail(f"cam {cam} does not fit logits {logits}")
    convolution, addition = head_nodes(model)
    if (convolution.op_type, addition.op_type) != ("Conv", "Add"):
        raise _fail(f"cam comes from {convolution.op_type} and logits from {addition.op_type}")
    return GraphShape(int(dims[1]), int(logits[1]), int(cam[2]), int(features[1]))


def head_nodes(model: onnx.ModelProto) -> tuple[onnx.NodeProto, onnx.NodeProto]:
    """The nodes that compute ``cam`` and ``logits``, behind the casts to FP32 of an FP16-typed file."""
    makers = {output: node for node in model.graph.node for output in node.output}

    def maker(name: str) -> onnx.NodeProto:
        node = makers[name]
        return maker(node.input[0]) if node.op_type == "Cast" and node.input[0] in makers else node

    return maker("cam"), maker("logits")


def _shape(value: onnx.ValueInfoProto) -> tuple[int, list[int | str]]:
    """Element type, and each dimension as its number, its name, or '' where it has neither."""
    tensor = value.type.tensor_type
    return tensor.elem_type, [
        dim.dim_value if dim.WhichOneof("value") == "dim_value" else dim.dim_param for dim in tensor.shape.dim
    ]


def strip(model: onnx.ModelProto) -> onnx.ModelProto:
    """Remove, in place, what does not change an answer but can differ between two exports or name a folder."""
    for holder in (model, model.graph, *model.graph.node, *model.graph.initializer):
        holder.ClearField("doc_string")
    for node in model.graph.node:
        del node.metadata_props[:]
    del model.metadata_props[:]
    return model


def _fail(what: str) -> ConversionError:
    return ConversionError(
        f"the model file breaks its contract: {what}",
        "install the versions of torch, onnx and onnxruntime that the locks name, and report it if that does not help",
    )
