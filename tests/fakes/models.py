"""Contract 2 in small, in every precision TensorRT builds from, and a whole bundle of it."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from fieldlens.runtime.bundle.decision import Decision
from fieldlens.runtime.bundle.manifest import ClassInfo, Manifest, Tolerance, Version
from fieldlens.runtime.bundle.open import MANIFEST, describe_files, manifest_bytes, open_bundle
from fieldlens.runtime.bundle.opened import Bundle
from fieldlens.runtime.pixels.preprocess import Preprocess
from fieldlens.runtime.pixels.steps import Resize

SIZE = 32
GOLDEN = 6
FILES = ("fp32", "fp16", "int8", "int8-trt8")
_node = helper.make_node


@cache
def model(file: str) -> bytes:
    """One of FILES, or a broken one: ``int32-bias``, ``asymmetric``, ``strange-op``."""
    half = file in ("fp16", "int8")
    dtype = np.float16 if half else np.float32
    weights = _weights(dtype)
    body = _body(file, dtype, weights)
    floats = TensorProto.FLOAT16 if half else TensorProto.FLOAT
    nodes = [_node("Cast", ["image"], ["float"], to=floats), *body]
    names = ("logits", "cam", "features")
    if half:
        nodes += [_node("Cast", [f"{name}_half"], [name], to=TensorProto.FLOAT) for name in names]
    value = helper.make_tensor_value_info
    shapes: dict[str, list[Any]] = {"logits": ["N", 2], "cam": ["N", 2, 3, 3], "features": ["N", 8]}
    graph = helper.make_graph(
        nodes, "tiny", [value("image", TensorProto.UINT8, ["N", SIZE, SIZE, 3])],
        [value(name, TensorProto.FLOAT, shapes[name]) for name in names],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )  # fmt: skip
    opset = 19 if file == "int8" else 17
    return bytes(
        helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=9 if opset == 19 else 8
        ).SerializeToString()
    )


def _weights(dtype: type) -> dict[str, npt.NDArray[Any]]:
    draw = np.random.default_rng(3)
    return {
        "mean": np.array(128.0, dtype),
        "w1": (draw.normal(0, 0.3, (8, 3, 3, 3)) / 64).astype(dtype),
        "w2": draw.normal(0, 0.2, (8, 8, 3, 3)).astype(dtype),
        "head": draw.normal(0, 0.8, (2, 8, 1, 1)).astype(dtype),
        "bias": np.array([0.4, -0.4], dtype),
    }


def _body(file: str, dtype: type, weights: dict[str, npt.NDArray[Any]]) -> list[Any]:
    end = "_half" if file in ("fp16", "int8") else ""
    quantised = file in ("int8", "int8-trt8", "asymmetric", "int32-bias")
    nodes = [_node("Transpose", ["float"], ["nchw"], perm=[0, 3, 1, 2]), _node("Sub", ["nchw", "mean"], ["centred"])]
    if quantised:
        weights["zero"] = np.array(3 if file == "asymmetric" else 0, np.int8)
        for name, scale in (("centred", 1.0), ("w1", 0.02 / 64), ("r1", 0.1), ("w2", 0.006)):
            weights[f"{name}_scale"] = np.array(scale, dtype)
            nodes += [
                _node("QuantizeLinear", [name, f"{name}_scale", "zero"], [f"{name}_q"]),
                _node("DequantizeLinear", [f"{name}_q", f"{name}_scale", "zero"], [f"{name}_dq"]),
            ]
            if name == "w1":
                nodes += _first(quantised)
        nodes += [_node("Conv", ["r1_dq", "w2_dq"], ["c2"], name="conv2", strides=[2, 2])]
    else:
        nodes += [*_first(False), _node("Conv", ["r1", "w2"], ["c2"], name="conv2", strides=[2, 2])]
    if file == "int32-bias":
        weights["bias_q"], weights["bias_zero"] = np.array([40, -40], np.int32), np.array(0, np.int32)
        weights["bias_scale"] = np.array(0.01, np.float32)
        nodes.append(_node("DequantizeLinear", ["bias_q", "bias_scale", "bias_zero"], ["bias_dq"], name="bias"))
    relu = _node("Selu" if file == "strange-op" else "Relu", ["c2"], ["r2"], name="last")
    return [
        *nodes, relu,
        _node("ReduceMean", ["r2"], [f"features{end}"], axes=[2, 3], keepdims=0) if file != "int8" else
        _node("GlobalAveragePool", ["r2"], ["gap"]),
        *([_node("Flatten", ["gap"], ["features_half"])] if file == "int8" else []),
        _node("Conv", ["r2", "head"], [f"cam{end}"], name="head"),
        *([_node("GlobalAveragePool", [f"cam{end}"], ["camgap"]), _node("Flatten", ["camgap"], ["pooled"])]
          if file == "int8" else [_node("ReduceMean", [f"cam{end}"], ["pooled"], axes=[2, 3], keepdims=0)]),
        _node("Add", ["pooled", "bias_dq" if file == "int32-bias" else "bias"], [f"logits{end}"]),
    ]  # fmt: skip


def _first(quantised: bool) -> list[Any]:
    suffix = "_dq" if quantised else ""
    first = _node("Conv", [f"centred{suffix}", f"w1{suffix}"], ["c1"], name="conv1", strides=[4, 4])
    return [first, _node("Relu", ["c1"], ["r1"])]


def manifest() -> Manifest:
    """Two classes with a decision; tolerances for every file."""
    loose = Tolerance(0.002, 0.01, 0.02, 0.5)
    return Manifest(
        name="tiny", version=Version(1, "v1"), task="multiclass",
        classes=(ClassInfo("clear", "No sign"), ClassInfo("sign", "Sign")), preprocess=(Resize(SIZE),),
        features=8, cam_size=3, temperature=1.0,
        decision=Decision("sum", ("sign",), {"sign": 0.5}, (0.4, 0.5), "sensitivity >= 0.95", {"n": 10}),
        tolerances={
            "fp32": Tolerance(0, 0, 0, 1e-3), "fp16": Tolerance(0, 0, 0, 0.05), "int8": loose, "int8-trt8": loose,
        },
        quality=None, ood=None, provenance={}, evaluation={},
    )  # fmt: skip


def make_bundle(folder: Path, files: tuple[str, ...] = FILES, broken: dict[str, str] | None = None) -> Bundle:
    """Write a bundle with ``files``; ``broken`` puts another model under a file's name."""
    path = folder / "tiny.bundle"
    (path / "golden").mkdir(parents=True)
    for file in files:
        (path / f"model.{file}.onnx").write_bytes(model((broken or {}).get(file, file)))
    preprocess = Preprocess(manifest().preprocess)
    session = onnxruntime.InferenceSession(model("fp32"), providers=["CPUExecutionProvider"])
    entries, logits = [], []
    for index in range(GOLDEN):
        data = cv2.imencode(".png", picture(index))[1].tobytes()
        name = f"golden/{index:03d}.png"
        (path / name).write_bytes(data)
        tensor = preprocess.from_bytes(data, name)
        entries.append({"file": name, "sha256": hashlib.sha256(tensor.tobytes()).hexdigest()})
        logits.append(session.run(["logits"], {"image": tensor[None]})[0][0])
    (path / "golden/golden.json").write_text(json.dumps({"images": entries}))
    np.savez(path / "golden/golden.npz", logits=np.array(logits))
    whole = dataclasses.replace(manifest(), files=describe_files(path))
    (path / MANIFEST).write_bytes(manifest_bytes(whole))
    return open_bundle(path)


def picture(seed: int) -> npt.NDArray[np.uint8]:
    """uint8 BGR ``[40,40,3]``: half of them bright, half dark."""
    draw = np.random.default_rng(seed)
    base = 190 if seed % 2 else 50
    coarse = np.clip(draw.normal(base, 40, (5, 5, 3)), 0, 255).astype(np.uint8)
    return np.asarray(cv2.resize(coarse, (40, 40)), np.uint8)


def check() -> None:
    """Every sound model passes onnx's own checker."""
    for file in FILES:
        onnx.checker.check_model(onnx.load_from_string(model(file)), full_check=True)
