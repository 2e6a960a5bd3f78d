"""The node-by-node executor against ONNX Runtime and against onnx's own reference evaluator."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from fieldlens.convert.graph.contract import ConversionError
from fieldlens.convert.graph.deployment import DeploymentGraph
from fieldlens.convert.graph.execute import Executor, dense
from fieldlens.convert.graph.export import export_fp32, to_bytes
from fieldlens.convert.measure.emulate import Emulation
from fieldlens.runtime.backends import onnxruntime
from fieldlens.runtime.backends.base import LoadOptions
from fieldlens.runtime.errors import BackendError
from fieldlens.train.checkpoint import load_run
from fieldlens.train.model import MEAN, STD
from tests.convert.conftest import SIZE, real_like
from tests.fakes import models

OUTPUTS = ("logits", "cam", "features")


@pytest.fixture(scope="module")
def reference(run: Path) -> onnx.ModelProto:
    return export_fp32(DeploymentGraph(load_run(run).model, MEAN, STD), SIZE)


def chain(factors: list[float]) -> onnx.ModelProto:
    """An FP16-typed file of the contract's shape that multiplies the image by one factor after the other."""
    names = [f"x{index}" for index in range(len(factors) + 1)]
    nodes = [helper.make_node("Cast", ["image"], [names[0]], "cast", to=TensorProto.FLOAT16)]
    weights = []
    for index, factor in enumerate(factors):
        nodes.append(helper.make_node("Mul", [names[index], f"f{index}"], [names[index + 1]], f"mul{index}"))
        weights.append(numpy_helper.from_array(np.array(factor, np.float16), f"f{index}"))
    nodes += [helper.make_node("Cast", [names[-1]], [name], name, to=TensorProto.FLOAT) for name in OUTPUTS]
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes, "chain", [value("image", TensorProto.UINT8, ["N", 2, 2, 3])],
        [value(name, TensorProto.FLOAT, ["N", 2, 2, 3]) for name in OUTPUTS], weights,
    )  # fmt: skip
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def test_without_rounding_it_is_onnx_runtime(reference: onnx.ModelProto) -> None:
    images = real_like(8)
    with onnxruntime.load(to_bytes(reference), "fp32", LoadOptions()) as backend:
        wanted = backend.infer(images)
        found = Executor(reference, half=False).run(images)
        for name in OUTPUTS:
            np.testing.assert_allclose(found[name], getattr(wanted, name), atol=1e-4, err_msg=name)


@pytest.mark.parametrize("file", ["fp32", "fp16", "int8"])
def test_rounded_it_is_the_reference_evaluator(file: str) -> None:
    """FP16-typed files compute in FP16 there, node by node; of FP32-typed ones it shows the unrounded answer.

    It knows Q/DQ from opset 19 on, and rounds inside QuantizeLinear, too: an integer may differ by one.
    """
    model = onnx.load_from_string(models.model(file))
    images = np.stack([models.picture(index)[:32, :32] for index in range(4)])
    wanted = dict(zip(OUTPUTS, ReferenceEvaluator(model).run(list(OUTPUTS), {"image": images}), strict=True))
    found = Executor(model, half=True).run(images)
    share = 1e-2 if file == "int8" else 2e-3
    for name in OUTPUTS:
        atol = share * float(np.abs(wanted[name]).max())
        np.testing.assert_allclose(found[name], wanted[name], atol=atol, err_msg=name)


def test_every_output_is_a_half(reference: onnx.ModelProto) -> None:
    odd: list[str] = []

    def watch(name: str, values: object) -> None:
        numbers = np.asarray(values)
        if not np.array_equal(numbers, numbers.astype(np.float16).astype(np.float32)):
            odd.append(name)

    Executor(reference, half=True).run(real_like(2), watch)
    assert odd == []
    Executor(reference, half=False).run(real_like(2), watch)
    assert len(odd) > 20


def test_overflow_is_seen_where_onnx_runtime_hides_it() -> None:
    """255·300·0.001 is infinite in FP16, where 76,500 is too large; ONNX Runtime gives an innocent number."""
    model = chain([300.0, 0.001])
    images = np.full((1, 2, 2, 3), 255, np.uint8)
    with Emulation(to_bytes(model), "fp16") as emulation:
        assert np.isinf(emulation.infer(images).logits).all()
        assert emulation.peak == (float("inf"), "mul0")
    with np.errstate(over="ignore"):
        wanted = next(iter(ReferenceEvaluator(model).run(["logits"], {"image": images})))
    assert np.isinf(np.asarray(wanted)).all()


def test_the_peak_is_named() -> None:
    with Emulation(to_bytes(chain([10.0, 12.0, 0.001])), "fp16") as emulation:
        emulation.infer(np.full((1, 2, 2, 3), 100, np.uint8))
        emulation.infer(np.full((1, 2, 2, 3), 3, np.uint8))
        assert emulation.peak == (12_000.0, "mul1")


def test_an_unknown_operator_is_named() -> None:
    with pytest.raises(ConversionError, match="does not know Selu as last"):
        Executor(onnx.load_from_string(models.model("strange-op")), half=True)


def test_a_closed_emulation_says_so() -> None:
    emulation = Emulation(to_bytes(chain([1.0])), "fp16")
    emulation.close()
    emulation.close()
    with pytest.raises(BackendError, match="closed"):
        emulation.infer(np.zeros((1, 2, 2, 3), np.uint8))


@pytest.mark.parametrize("file", ["fp32", "fp16", "int8"])
@pytest.mark.parametrize("half", [False, True])
def test_no_node_changes_what_an_earlier_one_gave(file: str, half: bool) -> None:
    """Results are rounded in place, which must never reach a value that another node still reads."""
    seen: list[tuple[str, torch.Tensor, torch.Tensor]] = []
    executor = Executor(onnx.load_from_string(models.model(file)), half=half)
    image = np.stack([models.picture(seed) for seed in range(3)])
    executor.run(image, lambda name, values: seen.append((name, values, values.clone())))
    assert len(seen) > 10
    assert [name for name, values, copy in seen if not torch.equal(values, copy)] == []


def test_extremes_are_taken_without_a_copy_in_whatever_order_the_values_lie() -> None:
    values = torch.randn(3, 5, 7, 9, generator=torch.Generator().manual_seed(0))
    for laid in (values, values.to(memory_format=torch.channels_last), values.permute(3, 1, 0, 2)):
        flat = dense(laid)
        assert flat.data_ptr() == laid.data_ptr()
        assert torch.equal(flat.sort().values, laid.flatten().sort().values)
    gaps = values[:, ::2]
    assert torch.equal(dense(gaps).sort().values, gaps.flatten().sort().values)
