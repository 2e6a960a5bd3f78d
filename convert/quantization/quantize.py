"""INT8 by explicit QuantizeLinear/DequantizeLinear nodes: precision lives in the graph, not in a builder's flags.

One recipe per kind of file; recipes differ in their values, not in their code path.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnxruntime.quantization import CalibrationMethod, QuantType
from onnxruntime.quantization.calibrate import TensorsData
from onnxruntime.quantization.qdq_quantizer import QDQQuantizer
from onnxruntime.quantization.registry import QDQRegistry, QLinearOpsRegistry

from fieldlens.convert.graph.contract import ConversionError, check_graph, head_nodes, strip
from fieldlens.convert.quantization.calibrate import check_images
from fieldlens.convert.quantization.placement import check_placement, keep_skip_only
from fieldlens.convert.quantization.ranges import Ranges, observe, ranges


@dataclass(frozen=True)
class QuantRecipe:
    """Settings of onnxruntime.quantization under a name for records; ``op_types`` empty: its own choice."""

    name: str
    activations: QuantType
    weights: QuantType = QuantType.QInt8
    op_types: tuple[str, ...] = ()
    reduce_range: bool = False
    options: dict[str, Any] = field(default_factory=dict)


CPU = (
    QuantRecipe("QUInt8 activations, 7-bit weights per channel", QuantType.QUInt8, reduce_range=True),
    QuantRecipe("QUInt8 activations, 8-bit weights per channel", QuantType.QUInt8),
)
"""For the CPU's file, the first that keeps to the tolerances on validation.

Unsigned activations: after a ReLU the eighth bit is not wasted on a sign, and both CPU libraries fuse every
convolution (symmetric ones took 1.1 times as long in OpenVINO and 3 times in ONNX Runtime; design, decision 3).

Weights of 7 bits (``reduce_range``) keep x86 processors without VNNI from saturating, so that what the host measured is
what every device computes. Measured on PneumoniaMNIST at 64 px (524 validation images, OpenVINO 2026.4), largest logit
difference and changed classes: 8 bits with VNNI 0.051 and none, held to AVX2 0.242 and five; 7 bits 0.071 and none on
both. They cost no time, but on a hardly trained network the logits moved three times as far as with 8; then the
8-bit weights are taken, and the device's self-test finds the machine that saturates."""

_TENSORRT_OPS = ("Conv", "Add")

TENSORRT = QuantRecipe(
    "symmetric, weights per channel",
    QuantType.QInt8,
    op_types=_TENSORRT_OPS,
    options={
        "ActivationSymmetric": True,
        "WeightSymmetric": True,
        "AddQDQPairToWeight": True,
        "QuantizeBias": False,
        "DedicatedQDQPair": False,
        "OpTypesToExcludeOutputQuantization": list(_TENSORRT_OPS),
        "QDQOpTypePerChannelSupportToAxis": {"Conv": 0},
        "ForceQuantizeNoInputCheck": True,
        "QDQDisableWeightAdjustForInt32Bias": True,
    },
)
"""For TensorRT's files, as NVIDIA's Model-Optimizer sets it (modelopt/onnx/quantization/ort_utils.py).

MaxPool is left out: it commutes with quantisation, so TensorRT moves the pair behind it before it."""


def quantize(
    reference: onnx.ModelProto, tensors: Sequence[npt.NDArray[np.uint8]], recipe: QuantRecipe, method: str = "MinMax"
) -> onnx.ModelProto:
    """Quantise the FP32 ``reference``, calibrated with preprocessed images uint8 ``[S,S,3]``.

    Raises ConversionError: fewer than 32 images, images that are noise, or a file outside the contract.
    """
    check_images(tensors)
    return with_ranges(reference, ranges(observe(reference, tensors), method), recipe)


def with_ranges(reference: onnx.ModelProto, found: Ranges, recipe: QuantRecipe) -> onnx.ModelProto:
    """Quantise the FP32 ``reference`` with known ranges of its activations.

    The head's convolution and the logits' Add stay in floating point: they decide, cost nothing, and with the Add
    quantised OpenVINO fails to compile. Raises ConversionError for a file outside the contract.
    """
    quantizer = QDQQuantizer(
        onnx.shape_inference.infer_shapes(reference),
        per_channel=True,
        reduce_range=recipe.reduce_range,
        weight_qType=recipe.weights,
        activation_qType=recipe.activations,
        tensors_range=_for_onnxruntime(found),
        nodes_to_quantize=[],
        nodes_to_exclude=[node.name for node in head_nodes(reference)],
        op_types_to_quantize=list(recipe.op_types) or sorted({*QLinearOpsRegistry, *QDQRegistry}),
        extra_options=dict(recipe.options),
    )
    quantizer.quantize_model()
    quantizer.model.topological_sort()
    model = strip(quantizer.model.model)
    if recipe is TENSORRT:
        check_placement(keep_skip_only(model))
    check_graph(model, reference.opset_import[0].version)
    _check_quantised(model)
    return model


def _for_onnxruntime(found: Ranges) -> TensorsData:
    values = {name: tuple(np.array(bound, np.float32) for bound in bounds) for name, bounds in found.bounds.items()}
    return TensorsData(CalibrationMethod.MinMax, values)  # by either method they are ready bounds


def _check_quantised(model: onnx.ModelProto) -> None:
    """Every convolution but the head's takes its image and its weights from DequantizeLinear."""
    makers = {output: node.op_type for node in model.graph.node for output in node.output}
    head, _ = head_nodes(model)
    plain = [
        node.name
        for node in model.graph.node
        if node.op_type == "Conv"
        and node.name != head.name
        and any(makers.get(name) != "DequantizeLinear" for name in node.input[:2])
    ]
    if plain:
        raise ConversionError(
            f"{len(plain)} convolutions stayed in floating point, the first {plain[0]}",
            "install the version of onnxruntime that the locks name",
        )
