"""Layer precisions out of the inspector's JSON, in the shapes that versions give it."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from fieldlens.convert.engine.layers import Layers, read_layers

REAL = Path(__file__).parents[2] / "fixtures" / "tensorrt-real"


def real(precision: str) -> str:
    """What TensorRT 8.6.1 said of this kit's own engine."""
    return (REAL / f"layers-8.6.1-{precision}.json").read_bytes().decode()


def convolution(text: str, **more: Any) -> dict[str, Any]:
    return {"Name": "c", "LayerType": "CaskConvolution", "Inputs": [{"Name": "x", "Format/Datatype": text}], **more}


def information(*layers: Any) -> str:
    return json.dumps({"Layers": list(layers), "Bindings": ["image"]})


MYELIN = {"Name": "{ForeignNode[conv1...conv2]}", "LayerType": "Myelin", "Inputs": [], "Outputs": []}
INT8 = convolution("Thirty-two wide channel vectorized row major Int8 format.")
FP16 = convolution("Channel major FP16 format where channel % 8 == 0")
FP32 = convolution("Row major linear FP32")
REFORMAT = {"Name": "r", "LayerType": "Reformat", "ParameterType": "Reformat", "Inputs": [{"Format/Datatype": "FP32"}]}


@pytest.mark.parametrize(
    ("text", "precision", "wanted"),
    [
        (information(INT8, INT8, FP16), "int8", Layers("confirmed", {"int8": 2, "fp16": 1}, 0)),
        (information(FP16, FP32, FP32), "fp16", Layers("contradicted", {"fp32": 2, "fp16": 1}, 0)),
        (information(FP32, REFORMAT), "fp32", Layers("confirmed", {"fp32": 1}, 0)),
        (information(convolution("Half"), MYELIN), "fp16", Layers("confirmed", {"fp16": 1}, 1)),
        (information(convolution("Float")), "int8", Layers("contradicted", {"fp32": 1}, 0)),
        (information(convolution("BFloat16")), "fp16", Layers("contradicted", {"bf16": 1}, 0)),
        (information(convolution("", Weights={"Type": "Int8"})), "int8", Layers("confirmed", {"int8": 1}, 0)),
        (information(convolution("UInt8", Weights={"Type": "Half"})), "int8", Layers("contradicted", {"fp16": 1}, 0)),
        (information(MYELIN), "int8", Layers("not readable", {}, 1)),
        (information("conv1 + relu1", "conv2"), "fp16", Layers("not readable", {}, 2)),
        (information(), "fp16", Layers("not readable", {}, 0)),
        ("not JSON", "fp16", Layers("not readable", {}, 0)),
        ("{}", "fp16", Layers("not readable", {}, 0)),
    ],
)  # fmt: skip
def test_verdicts(text: str, precision: str, wanted: Layers) -> None:
    assert read_layers(text, precision) == wanted


def test_it_reads_well() -> None:
    assert str(read_layers(information(INT8, FP16, MYELIN), "int8")) == "confirmed (1 int8, 1 fp16, 1 untold)"
    assert str(read_layers("", "int8")) == "not readable"


@pytest.mark.parametrize("precision", ["int8", "fp16"])
def test_what_tensorrt_really_writes_is_confirmed(precision: str) -> None:
    text = real(precision)
    assert "\x1e" in text
    with pytest.raises(json.JSONDecodeError, match="control character"):
        json.loads(text)
    assert read_layers(text, precision) == Layers("confirmed", {precision: 20, "fp32": 1}, 2)
    assert read_layers(text, "fp32").verdict == "contradicted"


def test_the_first_real_convolution_tells_by_its_inputs_format_alone() -> None:
    first, *others = (
        layer for layer in json.loads(real("int8"), strict=False)["Layers"] if "Conv" in layer["LayerType"]
    )
    assert "Weights" not in first
    assert all("Weights" in layer for layer in others)
    assert read_layers(information(first), "int8") == Layers("confirmed", {"int8": 1}, 0)


FOREIGN = ("null", "[]", "{}", "7", '""', "NaN", "[[[", '"\\ud800"', "\x1e", "\x00", "1" * 5000, "[" * 5000)


def mutated(text: str, draw: random.Random) -> str:
    """The text with a part of it cut, repeated, moved, or replaced by something foreign."""
    for _ in range(draw.randint(1, 4)):
        start = draw.randrange(len(text))
        end = min(start + draw.choice((1, 1, 3, 40, 4000)), len(text))
        put = draw.choice(("", text[start:end] * 2, draw.choice(FOREIGN), chr(draw.randrange(0x10000))))
        text = text[:start] + put + text[end:]
    return text or " "


def foreign_value(text: str, draw: random.Random) -> str:
    """The text with the value of one key replaced: JSON of another shape, which has to get past the parser."""
    keys = ("LayerType", "ParameterType", "Inputs", "Weights", "Format/Datatype", "Name", "Type", "Layers")
    found = json.loads(text, strict=False)
    value: Any = draw.choice(
        [None, [], {}, 7, -0.5, True, "x", "Float", [None], [[]], [7], {"Type": None}, {"Type": []}]
    )
    key = draw.choice(keys)
    if key == "Layers":
        return json.dumps({**found, "Layers": value})
    for layer in found["Layers"]:
        for place in (layer, *(part for part in layer["Inputs"] if isinstance(part, dict)), layer.get("Weights", {})):
            if key in place and draw.random() < 0.5:
                place[key] = value
    return json.dumps(found)


@pytest.mark.parametrize("precision", ["int8", "fp16"])
def test_a_thousand_mutations_never_crash_the_reader(precision: str) -> None:
    text, draw = real(precision), random.Random(19)
    verdicts = set()
    for number in range(1000):
        changed = (mutated if number % 2 else foreign_value)(text, draw)
        verdicts.add(read_layers(changed, precision).verdict)
    assert verdicts == {"confirmed", "contradicted", "not readable"}
