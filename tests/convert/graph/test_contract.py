"""Files that break the contract are told apart from files that keep to it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from fieldlens.convert.graph.contract import ConversionError, check_graph, strip

SIZE = 16


def small() -> onnx.ModelProto:
    """The contract's interface over one convolution."""
    node, value = helper.make_node, helper.make_tensor_value_info
    nodes = [
        node("Cast", ["image"], ["float"], "cast", to=TensorProto.FLOAT, doc_string="written in /some/where.py"),
        node("Transpose", ["float"], ["nchw"], "transpose", perm=[0, 3, 1, 2]),
        node("Conv", ["nchw", "body"], ["layer4"], "body", strides=[4, 4]),
        node("Conv", ["layer4", "head"], ["cam"], "head"),
        node("ReduceMean", ["cam"], ["pooled"], "pool", axes=[2, 3], keepdims=0),
        node("Add", ["pooled", "bias"], ["logits"], "add"),
        node("ReduceMean", ["layer4"], ["features"], "features", axes=[2, 3], keepdims=0),
    ]
    weights = {"body": (8, 3, 4, 4), "head": (2, 8, 1, 1), "bias": (2,)}
    graph = helper.make_graph(
        nodes,
        "small",
        [value("image", TensorProto.UINT8, ["N", SIZE, SIZE, 3])],
        [
            value("logits", TensorProto.FLOAT, ["N", 2]),
            value("cam", TensorProto.FLOAT, ["N", 2, 4, 4]),
            value("features", TensorProto.FLOAT, ["N", 8]),
        ],
        [numpy_helper.from_array(np.ones(shape, np.float32), name) for name, shape in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def fixed_batch(model: onnx.ModelProto) -> None:
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = 1


def float_input(model: onnx.ModelProto) -> None:
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.FLOAT


def other_name(model: onnx.ModelProto) -> None:
    model.graph.input[0].name = model.graph.node[0].input[0] = "frame"


def channels_first(model: onnx.ModelProto) -> None:
    for dim, size in zip(model.graph.input[0].type.tensor_type.shape.dim[1:], (3, SIZE, SIZE), strict=True):
        dim.dim_value = size
    model.graph.node[1].attribute[0].ints[:] = [0, 1, 2, 3]


def no_features(model: onnx.ModelProto) -> None:
    del model.graph.output[2]


def resize_inside(model: onnx.ModelProto) -> None:
    scales = numpy_helper.from_array(np.ones(4, np.float32), "scales")
    model.graph.initializer.append(scales)
    model.graph.node.insert(2, helper.make_node("Resize", ["nchw", "", "scales"], ["resized"], "resize"))
    model.graph.node[3].input[0] = "resized"


def external_data(model: onnx.ModelProto) -> None:
    tensor = model.graph.initializer[2]
    tensor.data_location = TensorProto.EXTERNAL
    tensor.ClearField("raw_data")
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "weights.bin"


def foreign_operator(model: onnx.ModelProto) -> None:
    model.opset_import.append(helper.make_opsetid("com.example", 1))


def later_opset(model: onnx.ModelProto) -> None:
    model.opset_import[0].version = 16


def hidden_head(model: onnx.ModelProto) -> None:
    model.graph.node.insert(6, helper.make_node("Identity", ["summed"], ["logits"], "identity"))
    model.graph.node[5].output[0] = "summed"


FAULTS: list[tuple[Callable[[onnx.ModelProto], None], str]] = [
    (fixed_batch, "batch size is fixed"),
    (float_input, "onnx.checker|uint8"),
    (other_name, "inputs"),
    (channels_first, "uint8 .N,S,S,3"),
    (no_features, "outputs"),
    (resize_inside, "resizes inside"),
    (external_data, "external"),
    (foreign_operator, "operator sets"),
    (later_opset, "operator sets"),
    (hidden_head, "logits from Identity"),
]


def test_a_good_file_gives_its_sizes() -> None:
    shape = check_graph(small(), 17)
    assert (shape.size, shape.classes, shape.cam_size, shape.features) == (16, 2, 4, 8)


@pytest.mark.parametrize(("spoil", "message"), FAULTS, ids=[fault.__name__ for fault, _ in FAULTS])
def test_faults_are_named(spoil: Callable[[onnx.ModelProto], None], message: str) -> None:
    model = small()
    spoil(model)
    with pytest.raises(ConversionError, match=message):
        check_graph(model, 17)


def test_strip_takes_texts_away() -> None:
    model = small()
    model.metadata_props.add().key = "author"
    stripped = strip(model).SerializeToString()
    assert b"where.py" not in stripped
    assert b"author" not in stripped
