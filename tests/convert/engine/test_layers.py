"""Layer precisions out of the inspector's JSON, in the shapes that versions give it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from fieldlens.convert.engine.layers import Layers, read_layers


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
