"""``model.fp32.onnx`` against torch, in both CPU libraries."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from fieldlens.convert.graph.contract import check_graph
from fieldlens.convert.graph.deployment import DeploymentGraph
from fieldlens.convert.graph.export import OPSET, export_fp32, to_bytes
from fieldlens.runtime.backends import onnxruntime, openvino
from fieldlens.runtime.backends.base import Backend, LoadOptions
from fieldlens.train.checkpoint import load_run
from fieldlens.train.model import MEAN, STD
from tests.convert.conftest import SIZE, real_like


@pytest.fixture(scope="module")
def graph(run: Path) -> DeploymentGraph:
    return DeploymentGraph(load_run(run).model, MEAN, STD)


@pytest.fixture(scope="module")
def model(graph: DeploymentGraph) -> onnx.ModelProto:
    return export_fp32(graph, SIZE)


@pytest.fixture(params=["onnxruntime", "openvino"])
def backend(request: pytest.FixtureRequest, model: onnx.ModelProto) -> Backend:
    library = {"onnxruntime": onnxruntime, "openvino": openvino}[request.param]
    return library.load(to_bytes(model), "fp32", LoadOptions())


def test_torch_and_onnx_agree(graph: DeploymentGraph, backend: Backend) -> None:
    images = real_like(8)
    wanted = [value.numpy() for value in graph(torch.from_numpy(images))]
    with backend:
        for index in range(len(images)):
            for name, ours, theirs in zip("lcf", backend.infer(images[index : index + 1]), wanted, strict=True):
                np.testing.assert_allclose(ours[0], theirs[index], atol=1e-4, err_msg=name)


def test_map_and_logits_agree_in_the_file(graph: DeploymentGraph, backend: Backend) -> None:
    with backend:
        logits, cam, _ = backend.infer(real_like(4))
        np.testing.assert_allclose(cam.mean((2, 3)) + graph.bias.numpy(), logits, atol=1e-4)


def test_batch_size_is_open(backend: Backend) -> None:
    images = real_like(5)
    with backend:
        alone = [backend.infer(images[index : index + 1]).logits[0].copy() for index in range(5)]
        np.testing.assert_allclose(backend.infer(images).logits, alone, atol=1e-4)


def test_graph_is_plain(model: onnx.ModelProto) -> None:
    shape = check_graph(model, OPSET)
    assert (shape.size, shape.classes, shape.cam_size, shape.features) == (SIZE, 2, 2, 512)
    kinds = {node.op_type for node in model.graph.node}
    assert kinds == {"Cast", "Transpose", "Sub", "Conv", "Relu", "MaxPool", "Add", "ReduceMean"}
    assert [node.op_type for node in model.graph.node][:4] == ["Cast", "Transpose", "Sub", "Conv"]


def test_same_weights_same_bytes(run: Path, model: onnx.ModelProto) -> None:
    again = to_bytes(export_fp32(DeploymentGraph(load_run(run).model, MEAN, STD), SIZE))
    assert again == to_bytes(model)


def test_nothing_of_this_machine_is_inside(model: onnx.ModelProto) -> None:
    bare = onnx.ModelProto()
    bare.CopyFrom(model)
    del bare.graph.initializer[:]
    text = to_bytes(bare)
    assert str(Path(__file__).parents[3]).encode() not in text
    assert b".py" not in text
