"""INT8 by explicit QuantizeLinear/DequantizeLinear nodes: precision lives in the graph, not in a builder's flags.

One recipe per kind of file. The CPU's is here; a recipe for TensorRT differs in its values, not in its code path.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.quant_utils import add_pre_process_metadata

from convert.contract import ConversionError, check_graph, head_nodes, strip

MIN_IMAGES = 32
_BATCH = 8


@dataclass(frozen=True)
class QuantRecipe:
    """Settings of onnxruntime.quantization under a name for records; ``op_types`` None: its own choice."""

    name: str
    activations: QuantType
    weights: QuantType = QuantType.QInt8
    method: CalibrationMethod = CalibrationMethod.MinMax
    op_types: tuple[str, ...] | None = None
    reduce_range: bool = False
    options: dict[str, Any] = field(default_factory=dict)


CPU = (
    QuantRecipe("QUInt8 activations, 7-bit weights per channel, MinMax", QuantType.QUInt8, reduce_range=True),
    QuantRecipe("QUInt8 activations, 8-bit weights per channel, MinMax", QuantType.QUInt8),
)
"""For the CPU's file, the first that keeps to the tolerances on validation.

Unsigned activations: after a ReLU the eighth bit is not wasted on a sign, and both CPU libraries fuse every
convolution (symmetric ones took 1.1 times as long in OpenVINO and 3 times in ONNX Runtime; design, decision 3).

Weights of 7 bits (``reduce_range``) keep x86 processors without VNNI from saturating, so that what the host measured is
what every device computes. Measured on PneumoniaMNIST at 64 px (524 validation images, OpenVINO 2026.4), largest logit
difference and changed classes: 8 bits with VNNI 0.051 and none, held to AVX2 0.242 and five; 7 bits 0.071 and none on
both. They cost no time, but on a hardly trained network the logits moved three times as far as with 8; then the
8-bit weights are taken, and the device's self-test finds the machine that saturates."""


class _Reader(CalibrationDataReader):  # type: ignore[misc]  # onnxruntime ships no types
    """Tensors uint8 ``[S,S,3]`` in batches."""

    def __init__(self, tensors: Sequence[npt.NDArray[np.uint8]]) -> None:
        self._batches: Iterator[npt.NDArray[np.uint8]] = (
            np.stack(tensors[start : start + _BATCH]) for start in range(0, len(tensors), _BATCH)
        )

    def get_next(self) -> dict[str, npt.NDArray[np.uint8]] | None:
        """The next batch under the input's name, None at the end."""
        batch = next(self._batches, None)
        return None if batch is None else {"image": batch}


def quantize(
    reference: onnx.ModelProto, tensors: Sequence[npt.NDArray[np.uint8]], recipe: QuantRecipe
) -> onnx.ModelProto:
    """Quantise the FP32 ``reference``, calibrated with preprocessed images uint8 ``[S,S,3]``.

    The head's convolution and the logits' Add stay in floating point: they decide, cost nothing, and with the Add
    quantised OpenVINO fails to compile. Raises ConversionError: fewer than 32 images, or a file outside the contract.
    """
    if len(tensors) < MIN_IMAGES:
        raise ConversionError(
            f"{len(tensors)} calibration images; INT8 needs at least {MIN_IMAGES}",
            f"give more training data, or --calibration-images {MIN_IMAGES} or more",
        )
    opset = reference.opset_import[0].version
    prepared = onnx.shape_inference.infer_shapes(reference)
    add_pre_process_metadata(prepared)  # batch norm is folded and shapes are inferred: the pre-processing is done
    with tempfile.TemporaryDirectory(prefix="fieldlens-int8-") as folder:
        source, target = Path(folder, "fp32.onnx"), Path(folder, "int8.onnx")
        onnx.save(prepared, source)
        quantize_static(
            source,
            target,
            _Reader(tensors),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=list(recipe.op_types) if recipe.op_types else None,
            per_channel=True,
            reduce_range=recipe.reduce_range,
            activation_type=recipe.activations,
            weight_type=recipe.weights,
            nodes_to_exclude=[node.name for node in head_nodes(reference)],
            calibrate_method=recipe.method,
            extra_options=dict(recipe.options),
        )
        model = strip(onnx.load(target))
    check_graph(model, opset)
    _check_quantised(model)
    return model


def _check_quantised(model: onnx.ModelProto) -> None:
    """Every convolution but the head's takes its picture and its weights from DequantizeLinear."""
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
