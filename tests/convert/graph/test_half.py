"""FP16-typed files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, numpy_helper

from fieldlens.convert.graph.contract import ConversionError, check_graph, head_nodes
from fieldlens.convert.graph.deployment import DeploymentGraph
from fieldlens.convert.graph.execute import Executor
from fieldlens.convert.graph.export import export_fp32
from fieldlens.convert.graph.half import SMALLEST, scaled_input, to_half
from fieldlens.convert.quantization.quantize import TENSORRT, quantize
from fieldlens.train.checkpoint import load_run
from fieldlens.train.model import MEAN, STD
from tests.convert.conftest import SIZE, real_like


@pytest.fixture(scope="module")
def reference(run: Path) -> onnx.ModelProto:
    return export_fp32(DeploymentGraph(load_run(run).model, MEAN, STD), SIZE)


@pytest.fixture(scope="module")
def scaled(reference: onnx.ModelProto) -> onnx.ModelProto:
    return scaled_input(reference)


@pytest.fixture(scope="module")
def int8(scaled: onnx.ModelProto) -> onnx.ModelProto:
    return to_half(quantize(scaled, list(real_like(40)), TENSORRT))


def kinds(model: onnx.ModelProto) -> set[int]:
    return {tensor.data_type for tensor in model.graph.initializer}


def test_the_scaled_input_changes_no_bit(reference: onnx.ModelProto, scaled: onnx.ModelProto) -> None:
    images = real_like(6)
    before, after = (Executor(model, half=False).run(images) for model in (reference, scaled))
    for name in before:
        np.testing.assert_array_equal(before[name], after[name])
    assert "Mul" not in {node.op_type for node in reference.graph.node}, "the given model is left as it was"


def test_the_first_weights_have_all_of_fp16s_bits(reference: onnx.ModelProto, scaled: onnx.ModelProto) -> None:
    """Nothing below the smallest normal number matters any more, which the unscaled weights nearly are."""
    sizes = []
    for model in (reference, scaled):
        name = next(node for node in model.graph.node if node.op_type == "Conv").input[1]
        weights = next(numpy_helper.to_array(item) for item in model.graph.initializer if item.name == name)
        sizes.append(float(np.mean(np.abs(weights) < 2 * SMALLEST)))
    assert sizes[0] > 5 * sizes[1]


def test_everything_is_half_but_the_edge(scaled: onnx.ModelProto) -> None:
    model = to_half(scaled)
    check_graph(model, 17)
    assert kinds(model) == {TensorProto.FLOAT16}
    assert {value.type.tensor_type.elem_type for value in model.graph.output} == {TensorProto.FLOAT}
    assert model.graph.node[0].attribute[0].i == TensorProto.FLOAT16
    assert [node.op_type for node in head_nodes(model)] == ["Conv", "Add"]


def test_scales_are_half_from_opset_19_on(int8: onnx.ModelProto) -> None:
    check_graph(int8, 19)
    assert int8.ir_version >= 9
    assert kinds(int8) == {TensorProto.FLOAT16, TensorProto.INT8, TensorProto.INT64}
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in int8.graph.initializer}
    for node in int8.graph.node:
        if node.op_type == "QuantizeLinear":
            assert constants[node.input[1]].dtype == np.float16
            assert (constants[node.input[1]] >= SMALLEST).all()
    (axes,) = {tuple(constants[node.input[1]]) for node in int8.graph.node if node.op_type == "ReduceMean"}
    assert axes == (2, 3)


def test_a_dead_channel_does_not_divide_by_zero(scaled: onnx.ModelProto) -> None:
    model = onnx.ModelProto()
    model.CopyFrom(scaled)
    name = [node for node in model.graph.node if node.op_type == "Conv"][3].input[1]
    tensor = next(item for item in model.graph.initializer if item.name == name)
    weights = numpy_helper.to_array(tensor).copy()
    weights[5] *= 1e-9
    tensor.CopyFrom(numpy_helper.from_array(weights, name))
    images = real_like(4)
    made = to_half(quantize(model, list(real_like(40)), TENSORRT))
    found = Executor(made, half=True).run(images)["logits"]
    wanted = Executor(model, half=False).run(images)["logits"]
    assert np.abs(found - wanted).max() < 0.2 * np.abs(wanted).max()


def test_weights_beyond_fp16_are_refused(scaled: onnx.ModelProto) -> None:
    model = onnx.ModelProto()
    model.CopyFrom(scaled)
    tensor = model.graph.initializer[2]
    tensor.CopyFrom(numpy_helper.from_array(np.full((2,), 7e4, np.float32), tensor.name))
    with pytest.raises(ConversionError, match=r"7e\+04: FP16 ends at 65504"):
        to_half(model)
