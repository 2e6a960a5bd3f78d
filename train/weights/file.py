"""A file of weights becomes a state dict of plain tensors, out of whatever checkpoint it was put into."""

from __future__ import annotations

import argparse
import hashlib
import io
import pathlib
import pickle
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_safetensors
from torch import Tensor
from torch.serialization import get_unsafe_globals_in_checkpoint, safe_globals

from fieldlens.train.errors import FitError
from fieldlens.train.weights.kinds import SAFETENSORS, TORCH, hint_for, kind_of

State = dict[str, Tensor]

_PLAIN = "save it with torch.save(model.state_dict(), FILE)"
_PLACES = (
    "state_dict", "model_state_dict", "model_state", "model", "net", "network", "module", "weights", "params",
    "generator", "backbone", "encoder", "student",
)  # fmt: skip
_AVERAGES = ("state_dict_ema", "ema_state_dict", "model_ema", "ema_model", "ema", "averaged_model", "teacher")
"""Taken where nothing else is there; a checkpoint of a network and its average gives the network, and says so."""
_DEEPEST = 4
# What checkpoints hold beside tensors, and what is data only: nothing here runs when it is read.
_DATA = [
    argparse.Namespace, pathlib.PosixPath, np.dtype, np.ndarray, *(type(np.dtype(code)) for code in "?bBhHiIlLqQefd"),
    (np._core.multiarray.scalar, "numpy.core.multiarray.scalar"), np._core.multiarray.scalar,  # type: ignore[attr-defined]
]  # fmt: skip


@dataclass(frozen=True)
class WeightsFile:
    """Tensors by the names of the file. ``sha256``: hex, of the file. ``beside``: averages that were not taken."""

    tensors: State
    sha256: str
    beside: str = ""


def read_weights(path: Path) -> WeightsFile:
    """Read a state dict, a checkpoint that holds one, or safetensors, as plain tensors on the CPU.

    Raises FitError: no such file, another kind of file (a pickled or scripted module, ONNX, …), which is named for
    what it is and never executed, no tensors in it, or tensors that are no numbers.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise FitError(f"--weights {path}: {error.strerror or error}", "give the path of a state dict") from error
    kind = kind_of(data, path.suffix.lower())
    if kind == SAFETENSORS:
        value: Any = _safetensors(data, path)
    elif kind == TORCH:
        value = _unpickled(data, path)
    else:
        raise FitError(f"--weights {path} is {kind}", hint_for(kind))
    state, beside = _unwrapped(value, path)
    _refuse_odd(state, path)
    return WeightsFile(state, hashlib.sha256(data).hexdigest(), beside)


def _safetensors(data: bytes, path: Path) -> State:
    try:
        return dict(load_safetensors(data))
    except (SafetensorError, ValueError, KeyError, AttributeError, TypeError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise FitError(f"--weights {path} is a damaged safetensors file ({reason})", "copy it again") from error


def _unpickled(data: bytes, path: Path) -> Any:
    try:
        with safe_globals(_DATA):
            return torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except (
        RuntimeError, pickle.UnpicklingError, EOFError, ValueError, KeyError, TypeError, AttributeError, IndexError,
        UnicodeDecodeError, struct.error, OverflowError, AssertionError, ImportError, MemoryError, OSError,
    ) as error:  # fmt: skip
        raise _refused(data, path, error) from error


def _refused(data: bytes, path: Path, error: Exception) -> FitError:
    """What keeps torch from reading the file as plain tensors: objects with code, or damage."""
    try:
        with safe_globals(_DATA):
            objects = sorted(get_unsafe_globals_in_checkpoint(io.BytesIO(data)))
    except (RuntimeError, pickle.UnpicklingError, ValueError, EOFError, TypeError, IndexError, KeyError):
        objects = []
    if not objects:
        found = str(error).partition("GLOBAL ")[2].split(" ")[0].rstrip(".")
        objects = [found] if found else []
    if any(name.startswith(("torch.nn.modules.", "torchvision.models.")) for name in objects):
        return FitError(
            f"--weights {path} is a whole pickled model, not a file of plain tensors ({objects[0]}); code in it is "
            "never run",
            f"where it was made: {_PLAIN}",
        )
    if objects:
        named = ", ".join(objects[:3])
        return FitError(f"--weights {path} holds pickled objects ({named}); code in it is never run", _PLAIN)
    reason = (str(error).splitlines() or [""])[0][:120] or type(error).__name__
    return FitError(f"--weights {path} is not a file of plain tensors, or it is damaged ({reason})", _PLAIN)


def _unwrapped(value: Any, path: Path) -> tuple[State, str]:
    """Out of a checkpoint's ``state_dict``, ``model``, …, one inside the other."""
    beside: list[str] = []
    for _ in range(_DEEPEST):
        if not isinstance(value, Mapping):
            break
        inside = [key for key in (*_PLACES, *_AVERAGES) if isinstance(value.get(key), Mapping) and value[key]]
        if not inside:
            break
        beside += [key for key in inside[1:] if key in _AVERAGES]
        value = value[inside[0]]
    items = list(value.items()) if isinstance(value, Mapping) else []
    tensors = {str(name): item.detach() for name, item in items if isinstance(item, Tensor)}
    if not tensors or any(isinstance(item, Mapping | list) for _, item in items):
        holds = f" (it holds {', '.join(list(map(str, value))[:5])})" if items else f" but a {_type(value)}"
        raise FitError(f"--weights {path} holds no state dict{holds}", _PLAIN)
    return tensors, ", ".join(beside)


def _type(value: Any) -> str:
    return "tensor" if isinstance(value, Tensor) else type(value).__name__


def _refuse_odd(state: State, path: Path) -> None:
    """Raises FitError: tensors that are quantised, sparse, complex or empty shells, or numbers that are not finite."""
    for name, tensor in state.items():
        if tensor.is_quantized or tensor.layout != torch.strided or tensor.is_meta or tensor.is_complex():
            what = "quantised" if tensor.is_quantized else "sparse, complex or without values"
            raise FitError(f"--weights {path}: {name} is {what}", "give the FP32 network's weights")
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor.float()).all()):
            count = int((~torch.isfinite(tensor.float())).sum())
            raise FitError(
                f"--weights {path}: {name} is not finite: {count} of its {tensor.numel()} values are NaN or infinite",
                "give an earlier checkpoint: this training had diverged",
            )
        if name.endswith("running_var") and tensor.numel() and float(tensor.min()) < 0:
            raise FitError(f"--weights {path}: {name} has negative variances", "give sound weights")
