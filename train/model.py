"""The network: a torchvision ResNet whose head is one linear layer, because that makes the heat map free."""

from __future__ import annotations

import hashlib
import io
import pickle
from pathlib import Path

import torch
from torch import Tensor, nn
from torchvision import models

from fieldlens.runtime.errors import ConfigError
from fieldlens.runtime.fields import nearest
from fieldlens.runtime.terminal.reporter import SILENT, Reporter
from fieldlens.train.config import ARCHS
from fieldlens.train.errors import FitError

MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)
"""ImageNet's, on the 0…1 scale: pretrained weights expect them, and for others they are as good as any."""

State = dict[str, Tensor]


def build_model(arch: str, classes: int, dropout: float = 0.0) -> nn.Module:
    """A ResNet with fresh weights. Input: normalised float32 ``[N,3,H,W]``; output: logits ``[N,classes]``.

    ``fc`` is ``Linear``, or ``Sequential(Dropout, Linear)``. Raises ConfigError for an unknown ``arch``.
    """
    if arch not in ARCHS:
        raise ConfigError(f"unknown network {arch!r}", nearest(arch, ARCHS))
    model: nn.Module = models.get_model(arch, weights=None)
    features = model.get_submodule("fc").in_features
    if not isinstance(features, int):
        raise TypeError(f"{arch}.fc has no width")
    linear = nn.Linear(features, classes)
    model.fc = nn.Sequential(nn.Dropout(dropout), linear) if dropout > 0 else linear
    return model


def normalise(images: Tensor) -> Tensor:
    """uint8 ``[N,H,W,3]`` RGB → float32 ``[N,3,H,W]``, scaled and normalised as the exported graph does."""
    mean = torch.tensor(MEAN, device=images.device).view(1, 3, 1, 1)
    std = torch.tensor(STD, device=images.device).view(1, 3, 1, 1)
    return (images.permute(0, 3, 1, 2).float() / 255.0 - mean) / std


def load_weights(model: nn.Module, arch: str, source: str, reporter: Reporter = SILENT) -> str:
    """Start from ``none``, ``imagenet`` or a state-dict file; report what was loaded, return what to record.

    Returns ``none``, ``imagenet`` or the file's SHA-256. The head is dropped when its class count differs.
    Raises FitError: no network for ``imagenet``, a file that is missing, broken, or of another architecture.
    """
    if source == "none":
        return "none"
    if source == "imagenet":
        state, recorded = _imagenet(arch), "imagenet"
    else:
        data = _read(Path(source))
        state, recorded = _state(data, source), hashlib.sha256(data).hexdigest()
    reporter.say(_adopt(model, state, source))
    return recorded


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


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise FitError(
            f"--weights {path}: {error.strerror or error}", "give none, imagenet, or the path of a state dict"
        ) from error


def _state(data: bytes, source: str) -> State:
    """A state dict, or a checkpoint of ours that holds one under ``model``."""
    try:
        value = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except (RuntimeError, pickle.UnpicklingError, EOFError, ValueError, KeyError) as error:
        raise FitError(
            f"--weights {source} is not a file of plain tensors ({type(error).__name__})",
            "save it with torch.save(model.state_dict(), FILE)",
        ) from error
    if isinstance(value, dict) and isinstance(value.get("model"), dict):
        value = value["model"]
    if not isinstance(value, dict) or not all(isinstance(v, Tensor) for v in value.values()):
        raise FitError(f"--weights {source} holds no state dict", "save it with torch.save(model.state_dict(), FILE)")
    return value


def _adopt(model: nn.Module, state: State, source: str) -> str:
    """Load ``state`` into ``model``; return a sentence about the head."""
    own = model.state_dict()
    head = {name for name in own if name.startswith("fc.")}
    renamed = {_head_name(name, head): value for name, value in state.items()}
    fits = all(name in renamed and renamed[name].shape == own[name].shape for name in head)
    if not fits:
        renamed = {name: value for name, value in renamed.items() if not name.startswith("fc.")}
    wrong = sorted(
        (set(own) - head) - set(renamed)
        | (set(renamed) - set(own))
        | {name for name in set(own) & set(renamed) if own[name].shape != renamed[name].shape}
    )
    if wrong:
        raise FitError(
            f"the weights {source} do not fit this network: {len(wrong)} tensors differ (for example {wrong[0]})",
            "set model.arch to the network that they come from",
        )
    model.load_state_dict(renamed, strict=False)
    return f"weights: {source}, {'with its head' if fits else 'head dropped: another number of classes'}"


def _head_name(name: str, head: set[str]) -> str:
    """``fc.weight`` and ``fc.1.weight`` are the same tensor, with and without dropout before it."""
    if not name.startswith("fc."):
        return name
    last = name.rsplit(".", 1)[1]
    return next((own for own in head if own.endswith(f".{last}")), name)
