"""What precision an engine's convolutions really run in, read from TensorRT's inspector.

A silent FP32 engine sold as FP16 is what users of a peer met (rf-detr#1453). TensorRT 10 and later merge layers into
Myelin nodes that may not tell (NVIDIA/TensorRT#3784): so there are three answers, and "not readable" is one.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from typing import Any

_WORDS = (
    ("int8", "int8"), ("fp16", "fp16"), ("half", "fp16"), ("bf16", "bf16"), ("bfloat16", "bf16"),
    ("fp32", "fp32"), ("float", "fp32"),
)  # fmt: skip
"""The inspector's words by version, and ours; in this order, because one holds another."""


@dataclass(frozen=True)
class Layers:
    """``counts``: convolutions by precision. ``merged``: layers that do not tell what they compute in."""

    verdict: str
    counts: dict[str, int]
    merged: int

    def __str__(self) -> str:
        if not self.counts:
            return self.verdict
        counts = ", ".join(f"{count} {name}" for name, count in self.counts.items())
        return f"{self.verdict} ({counts}" + (f", {self.merged} untold)" if self.merged else ")")


def read_layers(information: str, precision: str) -> Layers:
    """Judge the inspector's JSON against the ``precision`` that was built.

    Confirmed: at least half of the convolutions that tell run in it (the head, and with flags a layer or two, may
    stay wider). Contradicted: fewer. Not readable: none tells. Never raises: this is for people, and no reason to
    lose an engine.
    """
    layers = _layers(information)
    counts: Counter[str] = Counter()
    merged = 0
    for layer in layers:
        if not isinstance(layer, dict):
            merged += 1
        elif _is_convolution(layer):
            name = _precision(layer)
            counts[name] += bool(name)
            merged += not name
        else:
            merged += _is_merged(layer)
    reported = {name: count for name, count in counts.most_common() if name and count}
    if not reported:
        return Layers("not readable", {}, merged)
    confirmed = reported.get(precision, 0) * 2 >= sum(reported.values())
    return Layers("confirmed" if confirmed else "contradicted", reported, merged)


def _layers(information: str) -> list[Any]:
    """``Layers`` of the inspector's JSON; empty where there is none to read.

    Lenient, because TensorRT 8.6.1 writes the control character 0x1e between the names in ``Metadata``, which RFC 8259
    forbids inside a string.
    """
    try:
        found = json.loads(information, strict=False)
    except (ValueError, RecursionError):
        return []
    layers = found.get("Layers") if isinstance(found, dict) else None
    return layers if isinstance(layers, list) else []


def _is_convolution(layer: dict[str, Any]) -> bool:
    kinds = f"{layer.get('LayerType', '')} {layer.get('ParameterType', '')}".lower()
    return "conv" in kinds and "reformat" not in kinds


def _is_merged(layer: dict[str, Any]) -> bool:
    return "myelin" in str(layer.get("LayerType", "")).lower() or "ForeignNode" in str(layer.get("Name", ""))


def _precision(layer: dict[str, Any]) -> str:
    """A convolution computes in what it reads: its first input, where that tells, else its weights.

    8.6.1 gives no weights for the first one, which is fused with its ReLU and pooling; only the input's format tells.
    """
    inputs, weights = layer.get("Inputs"), layer.get("Weights")
    first = inputs[0] if isinstance(inputs, list) and inputs else None
    texts = [
        first.get("Format/Datatype", "") if isinstance(first, dict) else "",
        weights.get("Type", "") if isinstance(weights, dict) else "",
    ]
    for text in texts:
        lowered = str(text).lower().replace("uint8", "")  # a fused cast of the image, not the arithmetic
        for word, name in _WORDS:
            if word in lowered:
                return name
    return ""
