"""Where Q/DQ pairs stand, rule by rule and node by node, in every network the kit has."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnx
import pytest
from onnx import numpy_helper

from fieldlens.convert.graph.contract import ConversionError, check_graph, head_nodes
from fieldlens.convert.graph.deployment import DeploymentGraph
from fieldlens.convert.graph.execute import Executor
from fieldlens.convert.graph.export import export_fp32
from fieldlens.convert.graph.half import scaled_input, to_half
from fieldlens.convert.quantization.placement import check_placement
from fieldlens.convert.quantization.quantize import TENSORRT, quantize
from fieldlens.train.model import MEAN, STD
from tests.convert.conftest import SIZE, real_like, trained_looking

CONVOLUTIONS = {"resnet18": 20, "resnet34": 36, "resnet50": 53}
BLOCKS = {"resnet18": 8, "resnet34": 16, "resnet50": 16}
DOWNSAMPLED = {"resnet18": 3, "resnet34": 3, "resnet50": 4}


@dataclass(frozen=True)
class Walk:
    """A quantised graph with what the rules ask of it."""

    arch: str
    reference: onnx.ModelProto
    model: onnx.ModelProto

    @property
    def nodes(self) -> list[onnx.NodeProto]:
        return list(self.model.graph.node)

    @property
    def makers(self) -> dict[str, onnx.NodeProto]:
        return {output: node for node in self.nodes for output in node.output}

    @property
    def constants(self) -> dict[str, npt.NDArray[np.generic]]:
        return {tensor.name: numpy_helper.to_array(tensor) for tensor in self.model.graph.initializer}

    def maker(self, name: str) -> str:
        """Operator behind a tensor; ``constant`` for an initializer."""
        return self.makers[name].op_type if name in self.makers else "constant"

    def behind(self, dequantised: str) -> str:
        """The tensor that a Q/DQ pair stands on."""
        quantise = self.makers[self.makers[dequantised].input[0]]
        assert quantise.op_type == "QuantizeLinear"
        return str(quantise.input[0])

    def of(self, kind: str) -> list[onnx.NodeProto]:
        return [node for node in self.nodes if node.op_type == kind]

    def residual_adds(self) -> list[onnx.NodeProto]:
        return [node for node in self.of("Add") if all(name in self.makers for name in node.input)]


@pytest.fixture(scope="module", params=CONVOLUTIONS)
def int8(request: pytest.FixtureRequest) -> Walk:
    reference = export_fp32(DeploymentGraph(trained_looking(request.param), MEAN, STD), SIZE)
    return Walk(request.param, reference, quantize(scaled_input(reference), list(real_like(32)), TENSORRT))


@pytest.fixture(scope="module", params=["FP32-typed", "FP16-typed"])
def walk(request: pytest.FixtureRequest, int8: Walk) -> Walk:
    """Both INT8 files for TensorRT."""
    half = request.param == "FP16-typed"
    model = to_half(int8.model) if half else int8.model
    check_graph(model, 19 if half else 17)
    return Walk(int8.arch, int8.reference, model)


def test_inputs_and_weights_of_every_convolution(walk: Walk) -> None:
    head, _ = head_nodes(walk.model)
    body = [node for node in walk.of("Conv") if node.name != head.name]
    assert len(body) == CONVOLUTIONS[walk.arch]
    for node in body:
        assert [walk.maker(name) for name in node.input[:2]] == ["DequantizeLinear"] * 2, node.name
        assert walk.maker(walk.behind(node.input[0])) in ("Mul", "Relu", "MaxPool"), node.name
        assert walk.maker(walk.behind(node.input[1])) == "constant", node.name


def test_bias_stays_in_floating_point(walk: Walk) -> None:
    for node in walk.of("Conv")[:-1]:
        assert walk.constants[node.input[2]].dtype.kind == "f", node.name
    assert {value.dtype.name for value in walk.constants.values()} <= {"float16", "float32", "int8", "int64"}


def test_weights_per_channel_and_activations_per_tensor(walk: Walk) -> None:
    head, _ = head_nodes(walk.model)
    for node in walk.of("Conv"):
        if node.name == head.name:
            continue
        weight = walk.constants[walk.behind(node.input[1])]
        for name, size in ((node.input[0], 1), (node.input[1], weight.shape[0])):
            dequantise = walk.makers[name]
            assert walk.constants[dequantise.input[1]].size == size, node.name
        assert [a.i for a in walk.makers[node.input[1]].attribute if a.name == "axis"] == [0], node.name


def test_residual_adds_quantise_the_skip_branch_only(walk: Walk) -> None:
    """In a downsample block that is the 1×1 convolution's output. The exporter's names tell which is which."""
    adds = walk.residual_adds()
    assert len(adds) == BLOCKS[walk.arch]
    downsampled = 0
    for node in adds:
        main, skip = sorted(node.input, key=lambda name: walk.maker(name) == "DequantizeLinear")
        assert walk.maker(main) == "Conv", node.name
        assert "downsample" not in walk.makers[main].name, node.name
        assert walk.maker(skip) == "DequantizeLinear", node.name
        source = walk.behind(skip)
        if walk.maker(source) == "Conv":
            assert "downsample" in walk.makers[source].name, node.name
            kernel = next(list(a.ints) for a in walk.makers[source].attribute if a.name == "kernel_shape")
            assert kernel == [1, 1], node.name
            downsampled += 1
        else:
            assert walk.maker(source) in ("Relu", "MaxPool"), node.name
    assert downsampled == DOWNSAMPLED[walk.arch]


def test_nothing_between_convolution_add_and_relu(walk: Walk) -> None:
    for node in walk.of("Relu"):
        assert walk.maker(node.input[0]) in ("Conv", "Add"), node.name
    for node in walk.of("MaxPool"):
        assert walk.maker(node.input[0]) == "Relu", node.name


def test_head_stays_in_floating_point(walk: Walk) -> None:
    convolution, addition = head_nodes(walk.model)
    assert walk.maker(convolution.input[0]) == "Relu"
    assert walk.constants[convolution.input[1]].dtype.kind == "f"
    assert sorted(walk.maker(name) for name in addition.input) == ["ReduceMean", "constant"]
    for node in walk.of("ReduceMean"):
        assert walk.maker(node.input[0]) in ("Conv", "Relu"), node.name


def test_every_pair_is_symmetric_and_has_a_reason(walk: Walk) -> None:
    quantised = walk.of("QuantizeLinear")
    users = [name for node in walk.nodes for name in node.input]
    for node in quantised:
        (dequantise,) = [other for other in walk.of("DequantizeLinear") if other.input[0] == node.output[0]]
        assert users.count(node.output[0]) == 1, node.name
        assert list(dequantise.input[1:]) == list(node.input[1:]), node.name
        scale, zero = (walk.constants[name] for name in node.input[1:])
        assert zero.dtype == np.int8
        assert not zero.any(), node.name
        assert (np.asarray(scale, np.float64) > 0).all(), node.name
    # The image and the pooled first layer, each block's inner activations and output (the last goes to the head),
    # and the downsampled inputs; one pair for each weight.
    inner = 2 if walk.arch == "resnet50" else 1
    activations = 2 + BLOCKS[walk.arch] * (inner + 1) - 1 + DOWNSAMPLED[walk.arch]
    assert len(quantised) == CONVOLUTIONS[walk.arch] + activations
    assert len(walk.of("DequantizeLinear")) == len(quantised)


def test_batch_norm_is_folded_before(walk: Walk) -> None:
    assert {node.op_type for node in walk.nodes} == {
        "Add", "Cast", "Conv", "DequantizeLinear", "MaxPool", "Mul", "QuantizeLinear", "ReduceMean", "Relu", "Sub",
        "Transpose",
    }  # fmt: skip


def test_nodes_come_after_what_they_read(walk: Walk) -> None:
    known = {"image", *walk.constants}
    for node in walk.nodes:
        assert set(node.input) <= known, node.name
        known.update(node.output)


def test_answers_stay_near(walk: Walk) -> None:
    """Of a network that has learnt nothing: its logits are small differences of large sums."""
    images = real_like(32)
    wanted = Executor(walk.reference, half=False).run(images)["logits"]
    found = Executor(walk.model, half=True).run(images)["logits"]
    assert np.sqrt(np.mean((found - wanted) ** 2)) < 0.25 * wanted.std()


def test_a_pair_on_the_main_path_is_refused(int8: Walk) -> None:
    """What onnxruntime.quantization leaves by itself: both branches of an Add."""
    model = onnx.ModelProto()
    model.CopyFrom(int8.model)
    nodes = list(model.graph.node)
    pair = [node for node in nodes if node.op_type in ("QuantizeLinear", "DequantizeLinear")][:2]
    relu = next(node for node in nodes if node.op_type == "Relu")
    scale, zero = pair[0].input[1:]
    before = relu.input[0]
    place = nodes.index(relu)
    model.graph.node.insert(place, onnx.helper.make_node("QuantizeLinear", [before, scale, zero], ["q"], "q"))
    model.graph.node.insert(place + 1, onnx.helper.make_node("DequantizeLinear", ["q", scale, zero], ["dq"], "dq"))
    model.graph.node[place + 2].input[0] = "dq"
    with pytest.raises(ConversionError, match="dq quantises what should stay in floating point"):
        check_placement(model)
