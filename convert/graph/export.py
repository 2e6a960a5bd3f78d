"""From the torch graph to ``model.fp32.onnx``, the reference of all other precisions."""

from __future__ import annotations

import warnings

import onnx
import torch

from fieldlens.convert.graph.contract import OUTPUTS, check_graph, strip
from fieldlens.convert.graph.deployment import DeploymentGraph
from fieldlens.convert.graph.identities import without_identities
from fieldlens.runtime.files import atomic

OPSET = 17
"""TensorRT 8.6's parser reads no later one."""


def export_fp32(graph: DeploymentGraph, size: int) -> onnx.ModelProto:
    """Export for images of ``size`` × ``size``, batch size open. Same weights, same bytes.

    ``dynamo=False``: the newer exporter needs opset 18 and turned the pooling into Range and Gather nodes (torch 2.15);
    this one gives a plain opset-17 graph. Raises ConversionError if the result breaks the contract.
    """
    names = ("image", *OUTPUTS)
    with atomic.scratch("export") as folder, warnings.catch_warnings():
        file = folder / "model.onnx"
        # Deprecated, and chosen knowingly (above). The second is raised inside torch by the first.
        warnings.filterwarnings("ignore", "You are using the legacy TorchScript-based ONNX export", DeprecationWarning)
        warnings.filterwarnings(
            "ignore", "The feature will be removed", DeprecationWarning, r"torch\.onnx\._internal\.torchscript_exporter"
        )
        torch.onnx.export(
            graph,
            (torch.zeros(2, size, size, 3, dtype=torch.uint8),),  # 2: a batch of 1 invites constants
            file,
            dynamo=False,
            opset_version=OPSET,
            input_names=[names[0]],
            output_names=list(OUTPUTS),
            dynamic_axes={name: {0: "N"} for name in names},
        )
        model = without_identities(strip(onnx.load(file)))
    check_graph(model, OPSET)
    return model


def to_bytes(model: onnx.ModelProto) -> bytes:
    """The file's bytes; fields in a fixed order, so that equal models give equal files."""
    return bytes(model.SerializeToString(deterministic=True))
