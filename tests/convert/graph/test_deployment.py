"""The network as the device runs it, against the network as it was trained."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from fieldlens.convert.graph.deployment import DeploymentGraph, linear_head
from fieldlens.runtime.errors import KitError
from fieldlens.train.model import MEAN, STD, build_model, normalise
from tests.convert.conftest import real_like, trained_looking


@pytest.mark.parametrize("arch", ["resnet18", "resnet50"])
def test_answers_as_the_trained_network(arch: str) -> None:
    network = trained_looking(arch, dropout=0.2)
    images = torch.from_numpy(real_like(6))
    with torch.no_grad():
        wanted = network(normalise(images))
        logits, _, _ = DeploymentGraph(network, MEAN, STD)(images)
    assert torch.allclose(logits, wanted, atol=1e-4)


def test_mean_of_the_map_and_bias_is_the_logit() -> None:
    graph = DeploymentGraph(trained_looking("resnet18"), MEAN, STD)
    logits, cam, features = graph(torch.from_numpy(real_like(4)))
    assert cam.shape == (4, 3, 2, 2)
    assert features.shape == (4, 512)
    assert torch.allclose(cam.mean((2, 3)) + graph.bias, logits, atol=1e-4)


@pytest.mark.parametrize(
    ("arch", "stages", "features"),
    [("resnet18", 4, 512), ("resnet18", 3, 256), ("resnet50", 4, 2048), ("resnet50", 3, 1024)],
)
def test_a_finer_map_is_as_exact(arch: str, stages: int, features: int) -> None:
    network = trained_looking(arch, output_stride=16, stages=stages)
    images = torch.from_numpy(real_like(2))
    graph = DeploymentGraph(network, MEAN, STD)
    logits, cam, pooled = graph(images)
    assert (cam.shape, pooled.shape) == ((2, 3, 4, 4), (2, features))
    assert torch.allclose(cam.mean((2, 3)) + graph.bias, logits, atol=1e-4)
    with torch.no_grad():
        assert torch.allclose(logits, network(normalise(images)), atol=1e-4)


@pytest.mark.parametrize("arch", ["resnet18", "resnet50"])
def test_map_is_grad_cam_on_layer4(arch: str) -> None:
    """Grad-CAM by autograd on the *original* network: the mean gradient of each channel weighs that channel."""
    network = trained_looking(arch)
    images = torch.from_numpy(real_like(3, 96))
    kept: list[torch.Tensor] = []
    network.get_submodule("layer4").register_forward_hook(lambda _, __, output: kept.append(output))
    logits = network(normalise(images))
    _, cam, _ = DeploymentGraph(network, MEAN, STD)(images)
    for name in range(3):
        gradient = torch.autograd.grad(logits[:, name].sum(), kept[0], retain_graph=True)[0]
        grad_cam = (gradient.mean((2, 3), keepdim=True) * kept[0]).sum(1)
        for ours, theirs in zip(cam[:, name], grad_cam, strict=True):
            both = np.stack([ours.flatten().numpy(), theirs.detach().flatten().numpy()])
            assert np.corrcoef(both)[0, 1] >= 0.999


def test_the_given_network_is_left_alone() -> None:
    network = trained_looking("resnet18")
    before = {name: value.clone() for name, value in network.state_dict().items()}
    graph = DeploymentGraph(network, MEAN, STD)
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
    assert not any(isinstance(module, nn.BatchNorm2d | nn.Dropout) for module in graph.modules())


def test_a_deeper_head_is_refused() -> None:
    network = build_model("resnet18", 2)
    network.fc = nn.Sequential(nn.Linear(512, 64), nn.ReLU(), nn.Linear(64, 2))
    with pytest.raises(KitError, match="heat map would be lost"):
        linear_head(network)
