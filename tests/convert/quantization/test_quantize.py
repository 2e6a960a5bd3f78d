"""The CPU's INT8 file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, numpy_helper

from fieldlens.convert.graph.contract import ConversionError, check_graph, head_nodes
from fieldlens.convert.graph.deployment import DeploymentGraph
from fieldlens.convert.graph.export import OPSET, export_fp32, to_bytes
from fieldlens.convert.quantization.calibrate import MIN_IMAGES
from fieldlens.convert.quantization.quantize import CPU, quantize
from fieldlens.runtime.backends import onnxruntime, openvino
from fieldlens.runtime.backends.base import LoadOptions
from fieldlens.train.checkpoint import load_run
from fieldlens.train.model import MEAN, STD
from tests.convert.conftest import SIZE, real_like, trained_looking


@pytest.fixture(scope="module")
def reference(run: Path) -> onnx.ModelProto:
    return export_fp32(DeploymentGraph(load_run(run).model, MEAN, STD), SIZE)


@pytest.fixture(scope="module")
def int8(reference: onnx.ModelProto) -> onnx.ModelProto:
    return quantize(reference, list(real_like(48)), CPU[0])


def test_head_stays_in_floating_point(int8: onnx.ModelProto) -> None:
    makers = {output: node for node in int8.graph.node for output in node.output}
    convolution, addition = head_nodes(int8)
    weights = {tensor.name: tensor.data_type for tensor in int8.graph.initializer}
    assert weights[convolution.input[1]] == TensorProto.FLOAT
    assert makers[addition.input[0]].op_type == "ReduceMean"
    assert weights[addition.input[1]] == TensorProto.FLOAT


def test_every_other_convolution_is_quantised(int8: onnx.ModelProto) -> None:
    kinds = [tensor.data_type for tensor in int8.graph.initializer if tensor.name.endswith("weight_quantized")]
    assert kinds == [TensorProto.INT8] * 20
    makers = {output: node for node in int8.graph.node for output in node.output}
    scales = {tensor.name: numpy_helper.to_array(tensor) for tensor in int8.graph.initializer}
    for node in int8.graph.node:
        if node.op_type == "Conv" and "cam" not in node.output:
            weight = makers[node.input[1]]
            assert weight.op_type == "DequantizeLinear"
            assert len(scales[weight.input[1]]) > 1, "per channel"
            assert makers[node.input[0]].op_type == "DequantizeLinear"


def test_weights_have_seven_bits(int8: onnx.ModelProto) -> None:
    """Against saturation on x86 without VNNI."""
    for tensor in int8.graph.initializer:
        if tensor.name.endswith("weight_quantized"):
            assert np.abs(numpy_helper.to_array(tensor).astype(int)).max() <= 64


@pytest.mark.parametrize("library", [onnxruntime, openvino])
def test_close_to_fp32_in_both_libraries(reference: onnx.ModelProto, int8: onnx.ModelProto, library: object) -> None:
    images = real_like(24)
    with onnxruntime.load(to_bytes(reference), "fp32", LoadOptions()) as first:
        wanted = first.infer(images).logits.copy()
    with library.load(to_bytes(int8), "int8", LoadOptions()) as second:  # type: ignore[attr-defined]
        found = second.infer(images).logits
        assert second.info.precision == "int8"
    assert np.abs(found - wanted).max() < 0.1 * np.abs(wanted).max()


@pytest.mark.parametrize("stages", [3, 4])
def test_a_finer_map_stays_exact_in_every_file(stages: int) -> None:
    """``mean(cam) + bias`` is the logit with ``output_stride = 16``, from FP32 to the CPU's INT8, in both libraries."""
    graph = DeploymentGraph(trained_looking("resnet18", output_stride=16, stages=stages), MEAN, STD)
    fp32, images = export_fp32(graph, SIZE), real_like(6)
    int8 = quantize(fp32, list(real_like(48)), CPU[0])
    assert check_graph(int8, OPSET).cam_size == 4
    for library in (onnxruntime, openvino):
        for model, precision in ((fp32, "fp32"), (int8, "int8")):
            with library.load(to_bytes(model), precision, LoadOptions()) as backend:
                logits, cam, _ = backend.infer(images)
                np.testing.assert_allclose(cam.mean((2, 3)) + graph.bias.numpy(), logits, atol=1e-3)


def test_same_images_same_bytes(reference: onnx.ModelProto, int8: onnx.ModelProto) -> None:
    assert to_bytes(quantize(reference, list(real_like(48)), CPU[0])) == to_bytes(int8)


def test_too_few_images_are_refused(reference: onnx.ModelProto) -> None:
    with pytest.raises(ConversionError, match="31 different calibration images"):
        quantize(reference, list(real_like(MIN_IMAGES - 1)), CPU[0])
