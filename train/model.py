"""The network: a torchvision ResNet whose head is one linear layer, because that makes the heat map free."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn
from torchvision import models

from fieldlens.runtime.errors import ConfigError
from fieldlens.runtime.fields import nearest
from fieldlens.runtime.terminal.reporter import SILENT, Reporter
from fieldlens.train.config import ARCHS, ModelConfig
from fieldlens.train.errors import FitError
from fieldlens.train.weights.file import State, read_weights
from fieldlens.train.weights.formula import source_of
from fieldlens.train.weights.names import NO_HEAD, Named, check_trunk, named

MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)
"""ImageNet's, on the 0…1 scale: pretrained weights expect them, and for others they are as good as any."""
_LAST = "layer4."


def build_model(
    arch: str, classes: int, dropout: float = 0.0, output_stride: int = 32, stages: int = 4
) -> nn.Module:  # fmt: skip
    """A ResNet with fresh weights. Input: normalised float32 ``[N,3,H,W]``; output: logits ``[N,classes]``.

    ``fc`` is ``Linear``, or ``Sequential(Dropout, Linear)``. With ``output_stride`` 16 the last stage keeps the size of
    its input, as in dilated ResNets but with plain convolutions; with 3 ``stages`` it is left out, as Zhou et al. (CVPR
    2016, section 3) cut other networks for a finer map: ``layer4`` then hands on what it gets. Either way the heat map
    has four times the cells. Raises ConfigError for an unknown ``arch``.
    """
    if arch not in ARCHS:
        raise ConfigError(f"unknown network {arch!r}", nearest(arch, ARCHS))
    model: nn.Module = models.get_model(arch, weights=None)
    width = model.get_submodule("fc").in_features
    if not isinstance(width, int):
        raise TypeError(f"{arch}.fc has no width")
    if stages == 3:
        model.layer4 = nn.Identity()
    elif output_stride == 16:
        _keep_size(model.get_submodule("layer4.0"))
    linear = nn.Linear(width // 2 if stages == 3 else width, classes)
    model.fc = nn.Sequential(nn.Dropout(dropout), linear) if dropout > 0 else linear
    return model


def model_of(shape: ModelConfig, classes: int) -> nn.Module:
    """The network that a recipe describes, with fresh weights."""
    return build_model(shape.arch, classes, shape.dropout, shape.output_stride, shape.stages)


def _keep_size(block: nn.Module) -> None:
    """A stage's first block, with a stride of 1 wherever it has 2."""
    for layer in block.modules():
        if isinstance(layer, nn.Conv2d) and layer.stride == (2, 2):
            layer.stride = (1, 1)


def normalise(images: Tensor) -> Tensor:
    """uint8 ``[N,H,W,3]`` RGB → float32 ``[N,3,H,W]``, scaled and normalised as the exported graph does."""
    mean = torch.tensor(MEAN, device=images.device).view(1, 3, 1, 1)
    std = torch.tensor(STD, device=images.device).view(1, 3, 1, 1)
    return (images.permute(0, 3, 1, 2).float() / 255.0 - mean) / std


def load_weights(model: nn.Module, arch: str, source: str, reporter: Reporter = SILENT) -> str:
    """Start from ``none``, ``imagenet``, ``formula`` or a file of weights; report what was loaded.

    Returns what to record: ``none``, ``imagenet`` or the file's SHA-256. A head that does not fit is dropped, and the
    report says why. Raises FitError: no network for ``imagenet``, a file that is missing, broken, or of another
    architecture.
    """
    if source == "none":
        return "none"
    source = source_of(source, arch)
    if source == "imagenet":
        found, recorded = named(_imagenet(arch), source), "imagenet"
    else:
        weights = read_weights(Path(source))
        found, recorded = named(weights.tensors, source), weights.sha256
        if weights.beside:
            reporter.say(f"note: {source} also holds {weights.beside}: not taken")
    own = model.state_dict()
    if not any(name.startswith(_LAST) for name in own):  # a network without its last stage takes what it has
        found = replace(found, trunk={name: t for name, t in found.trunk.items() if not name.startswith(_LAST)})
    state = check_trunk(found, own, arch, source, "set model.arch to the network that they come from")
    head, reason = _fitting_head(found, own)
    model.load_state_dict({**state, **head}, strict=False)
    reporter.say(f"weights: {source}, {reason}")
    return recorded


def _fitting_head(found: Named, own: State) -> tuple[State, str]:
    """The head's tensors by the network's names, and a sentence; none where it does not fit, and why."""
    names = sorted((name for name in own if name.startswith("fc.")), reverse=True)  # fc.weight, fc.bias; or fc.1.…
    if found.linear is None:
        return {}, f"head new: {NO_HEAD}" if found.head == NO_HEAD else f"head dropped: {found.head}"
    theirs, ours = found.linear[0].shape, own[names[0]].shape
    if theirs[0] != ours[0]:
        return {}, f"head dropped: it has {theirs[0]} classes, and this network {ours[0]}"
    if theirs != ours:
        return {}, f"head dropped: it takes {theirs[1]} features, and this network has {ours[1]}"
    return dict(zip(names, found.linear, strict=True)), "with its head"


def _imagenet(arch: str) -> State:
    weights = models.get_model_weights(arch)["IMAGENET1K_V1"]
    try:
        state: State = weights.get_state_dict(progress=False, check_hash=True)
    except (OSError, RuntimeError) as error:  # URLError and time-outs are OSError; a wrong hash is RuntimeError
        raise FitError(
            f"the ImageNet weights of {arch} could not be downloaded ({error})",
            "train from scratch with --weights none, or copy a state dict here and give --weights FILE",
        ) from error
    return state
