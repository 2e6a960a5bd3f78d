"""Names of a state dict become torchvision's: the trunk ``conv1 … layer4``, and what is behind it as the head.

Wrappers put their names before a network's (``module.`` of DataParallel, ``model.`` of Lightning, ``backbone.``, …,
one before the other) or into them (``_orig_mod.`` of torch.compile). Where the trunk is shows itself: before
``conv1.weight``, ``bn1.weight`` and ``layer1.0.conv1.weight`` stands the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from fieldlens.train.errors import FitError
from fieldlens.train.weights.file import State

_INSIDE = ("_orig_mod.", "_fsdp_wrapped_module.", "_checkpoint_wrapped_module.", "_forward_module.")
_COUNTERS = ("num_batches_tracked", "n_averaged", "total_ops", "total_params")
"""Counters of training and of profilers: no part of the network's answer."""
_TRUNK = ("conv1.", "bn1.", "layer1.", "layer2.", "layer3.", "layer4.")
_MARKS = ("conv1.weight", "bn1.weight", "layer1.0.conv1.weight")
NO_HEAD = "the file has no head"
_IN_ORDER = {"0.": "conv1.", "1.": "bn1.", "4.": "layer1.", "5.": "layer2.", "6.": "layer3.", "7.": "layer4."}
"""``Sequential(*resnet.children())`` numbers the parts."""
_BLOCKS = {(2, False): "resnet18", (6, False): "resnet34", (6, True): "resnet50", (23, True): "resnet101",
           (36, True): "resnet152"}  # fmt: skip


@dataclass(frozen=True)
class Named:
    """``trunk``: by torchvision's names, without counters. ``linear``: weight ``[C,F]`` and bias ``[C]`` of a head of
    one linear layer; None where it is another, and ``head`` says in words what it is."""

    trunk: State
    linear: tuple[Tensor, Tensor] | None
    head: str


def named(tensors: State, source: str) -> Named:
    """Raises FitError: no ResNet in it, or several."""
    plain = {_without(name): tensor for name, tensor in tensors.items() if not name.endswith(_COUNTERS)}
    prefix = _prefix(plain, source)
    if prefix is None:
        plain = {_from_order(name): tensor for name, tensor in plain.items()}
        prefix = _prefix(plain, source)
    if prefix is None:
        first = ", ".join(list(tensors)[:3])
        raise FitError(
            f"the weights {source} are not of a torchvision ResNet (their first tensors: {first})",
            "the kit trains and converts resnet18, resnet34 and resnet50",
        )
    trunk = {n.removeprefix(prefix): t for n, t in plain.items() if n.removeprefix(prefix).startswith(_TRUNK)
             and n.startswith(prefix)}  # fmt: skip
    rest = {name: tensor for name, tensor in plain.items() if name.removeprefix(prefix) not in trunk}
    return Named(trunk, *_head(rest))


def check_trunk(found: Named, own: Mapping[str, Tensor], arch: str, source: str, hint: str) -> State:
    """The trunk, complete for ``arch``, with the network's own counters. Raises FitError: it does not fit."""
    wanted = {name: tensor for name, tensor in own.items() if not name.startswith("fc.")}
    counters = {name: tensor for name, tensor in wanted.items() if name.endswith(_COUNTERS)}
    missing = [name for name in wanted if name not in found.trunk and name not in counters]
    surplus = [name for name in found.trunk if name not in wanted]
    shapes = [name for name in found.trunk if name in wanted and found.trunk[name].shape != wanted[name].shape]
    if wrong := [*missing, *surplus, *shapes]:
        looks = looks_like(found.trunk)
        like = f"; they look like {looks}" if looks not in ("", arch) else ""
        reason = _shape_reason(wrong[0], found, wanted) if shapes[:1] == wrong[:1] else f"for example {wrong[0]}"
        raise FitError(f"the weights {source} do not fit {arch}: {len(wrong)} tensors differ ({reason}){like}", hint)
    return {**found.trunk, **counters}


def looks_like(trunk: Mapping[str, Tensor]) -> str:
    """The torchvision network with as many blocks; empty for none."""
    blocks = {name.split(".")[1] for name in trunk if name.startswith("layer3.")}
    return _BLOCKS.get((len(blocks), "layer1.0.conv3.weight" in trunk), "")


def _shape_reason(name: str, found: Named, wanted: Mapping[str, Tensor]) -> str:
    return f"for example {name}: {list(found.trunk[name].shape)}, not {list(wanted[name].shape)}"


def _without(name: str) -> str:
    for inside in _INSIDE:
        name = name.replace(inside, "")
    return name


def _prefix(tensors: State, source: str) -> str | None:
    """What stands before every name of the trunk; None where there is no trunk. Raises FitError: several trunks."""
    ends = (name.removesuffix(_MARKS[0]) for name in tensors if name.endswith(_MARKS[0]))
    prefixes = [end for end in ends if (not end or end.endswith(".")) and all(f"{end}{m}" in tensors for m in _MARKS)]
    if len(prefixes) > 1:
        shown = ", ".join(repr(prefix) for prefix in prefixes)
        raise FitError(
            f"the weights {source} hold {len(prefixes)} networks ({shown})", "save the state dict of one of them"
        )
    return prefixes[0] if prefixes else None


def _from_order(name: str) -> str:
    """``backbone.4.0.conv1.weight`` → ``backbone.layer1.0.conv1.weight``."""
    parts = name.split(".")
    for place, part in enumerate(parts[:-1]):
        if f"{part}." in _IN_ORDER:
            return ".".join([*parts[:place], _IN_ORDER[f"{part}."].rstrip("."), *parts[place + 1 :]])
    return name


def _head(rest: State) -> tuple[tuple[Tensor, Tensor] | None, str]:
    """The one linear layer of the head, if it is one, and in words what the head is."""
    linears = [name for name, tensor in rest.items() if name.endswith("weight") and tensor.ndim == 2]
    own = {name.removesuffix("weight") + end for name in linears for end in ("weight", "bias")}
    others = [name for name in rest if name not in own]
    if not rest:
        return None, NO_HEAD
    if len(linears) != 1 or others:
        what = f"{len(linears)} linear layers in their head" if len(linears) != 1 else f"{others[0]} behind the trunk"
        return None, f"the weights have {what} ({', '.join(linears)[:120] or 'none'}), the kit's head is one"
    weight = rest[linears[0]]
    bias = rest.get(linears[0].removesuffix("weight") + "bias")
    return (weight, torch.zeros(len(weight)) if bias is None else bias), "one linear layer"
