"""Equal tensors in a network: the exporter's Identity nodes are gone, and the answers are the same."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest
import torch
from torchvision import models

from fieldlens.convert.graph.contract import check_graph
from fieldlens.convert.graph.deployment import DeploymentGraph
from fieldlens.convert.graph.execute import Executor
from fieldlens.convert.graph.export import OPSET, export_fp32, to_bytes
from fieldlens.train.model import MEAN, STD


@pytest.mark.parametrize("zero_residual", [False, True], ids=["untrained", "zero-initialised"])
def test_an_untrained_network_converts(zero_residual: bool) -> None:
    torch.manual_seed(0)
    network = models.resnet18(num_classes=3, zero_init_residual=zero_residual).eval()
    graph = DeploymentGraph(network, MEAN, STD)
    model = export_fp32(graph, 32)
    assert not [node for node in model.graph.node if node.op_type == "Identity"]
    check_graph(model, OPSET)
    image = np.random.default_rng(0).integers(0, 255, (2, 32, 32, 3), dtype=np.uint8)
    wanted = graph(torch.from_numpy(image))[0].numpy()
    session = onnxruntime.InferenceSession(to_bytes(model), providers=["CPUExecutionProvider"])
    assert session.run(["logits"], {"image": image})[0] == pytest.approx(wanted, abs=1e-4)
    assert Executor(model, half=False).run(image)["logits"] == pytest.approx(wanted, abs=1e-4)
