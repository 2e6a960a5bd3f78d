"""A bundle's FP32 file back to a plain torchvision ResNet, so that torch computes the very same network.

The file has batch norm folded into its convolutions. The documents' pipeline has batch norm, so each one is put back
as the identity plus the folded bias (gamma 1, variance 1 − eps, mean 0, beta = bias): torch then does all the work of
an ordinary ResNet, and gives the bundle's answers.
"""

from __future__ import annotations

import io

import numpy as np
import numpy.typing as npt
import onnx
import torch
from onnx import numpy_helper
from torch import Tensor, nn
from torchvision import models

from fieldlens.benchmarks.torch_peers.torch_front import STD
from fieldlens.runtime.errors import BundleError

_HINT = "compare with peers that read ONNX"
_CONVOLUTIONS = {"resnet18": 20, "resnet34": 36, "resnet50": 53}
Floats = npt.NDArray[np.float32]


def torchvision_weights(model: bytes) -> tuple[str, bytes]:
    """ONNX bytes of ``model.fp32.onnx`` → architecture, and its state dict as a file. Raises BundleError."""
    body, head, bias = _parameters(onnx.load_from_string(model))
    arch = next((name for name, count in _CONVOLUTIONS.items() if count == len(body)), None)
    if arch is None:
        raise BundleError(f"model.fp32.onnx has {len(body)} convolutions: not a ResNet-18, 34 or 50", _HINT)
    network = models.get_model(arch, weights=None, num_classes=len(bias))
    try:
        state = _state(network, body)
    except (RuntimeError, ValueError) as error:
        raise BundleError(f"model.fp32.onnx does not fit {arch}: {error}", _HINT) from error
    state["fc.weight"], state["fc.bias"] = torch.from_numpy(head.reshape(len(bias), -1)), torch.from_numpy(bias)
    network.load_state_dict(state)
    buffer = io.BytesIO()
    torch.save(network.state_dict(), buffer)
    return arch, buffer.getvalue()


def _parameters(model: onnx.ModelProto) -> tuple[list[tuple[Floats, Floats]], Floats, Floats]:
    """Weight and bias of the body's convolutions in the order they run; weight and bias of the head."""
    values = {tensor.name: np.array(numpy_helper.to_array(tensor), np.float32) for tensor in model.graph.initializer}
    makers = {output: node for node in model.graph.node for output in node.output}
    try:
        head, logits = makers["cam"], makers["logits"]
        body = [
            (values[node.input[1]], values[node.input[2]])
            for node in model.graph.node
            if node.op_type == "Conv" and node is not head
        ]
        bias = next(values[name] for name in logits.input if name in values)
        return body, values[head.input[1]], bias
    except (KeyError, IndexError, StopIteration) as error:
        raise BundleError(f"model.fp32.onnx keeps not to the graph's contract ({error})", "make it again") from error


def _state(network: nn.Module, body: list[tuple[Floats, Floats]]) -> dict[str, Tensor]:
    """Each convolution's weight as it is (the first with the standard deviation put back), its bias as batch norm's."""
    state = network.state_dict()
    for (convolution, norm), (weight, bias) in zip(_in_order(network), body, strict=True):
        scale = np.array(STD, np.float32).reshape(1, 3, 1, 1) * 255.0 if convolution == "conv1" else np.float32(1)
        layer = network.get_submodule(norm)
        if not isinstance(layer, nn.BatchNorm2d) or state[f"{convolution}.weight"].shape != weight.shape:
            raise ValueError(f"{convolution} has shape {weight.shape}")
        state[f"{convolution}.weight"] = torch.from_numpy(weight * scale)
        state[f"{norm}.weight"] = torch.ones_like(state[f"{norm}.weight"])
        state[f"{norm}.bias"] = torch.from_numpy(bias)
        state[f"{norm}.running_mean"] = torch.zeros_like(state[f"{norm}.running_mean"])
        state[f"{norm}.running_var"] = torch.full_like(state[f"{norm}.running_var"], 1.0 - layer.eps)
    return state


def _in_order(network: nn.Module) -> list[tuple[str, str]]:
    """Names of convolution and batch norm in the order of the forward pass: a block's downsample runs last."""
    pairs = [("conv1", "bn1")]
    for number in range(1, 5):
        for index, block in enumerate(network.get_submodule(f"layer{number}").children()):
            prefix = f"layer{number}.{index}"
            names = {name for name, _ in block.named_children()}
            pairs += [(f"{prefix}.conv{n}", f"{prefix}.bn{n}") for n in (1, 2, 3) if f"conv{n}" in names]
            if "downsample" in names:
                pairs.append((f"{prefix}.downsample.0", f"{prefix}.downsample.1"))
    return pairs
