"""Contract 2 as a torch module: one network for every precision, with its preparation inside and its heat map outside.

``image`` uint8 ``[N,S,S,3]`` → Cast → Transpose → minus mean → ResNet to ``layer4`` → 1×1 convolution with the linear
layer's weights = ``cam`` → spatial mean + bias = ``logits``. For a network that ends in global average pooling and one
linear layer the mean and the layer commute, so this changes nothing but that the map is there (Zhou et al., Learning
Deep Features for Discriminative Localization, CVPR 2016); up to a constant it is Grad-CAM on ``layer4`` (Selvaraju et
al., ICCV 2017, appendix A).
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import cast

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from fieldlens.runtime.errors import KitError


class DeploymentGraph(nn.Module):
    """A trained torchvision ResNet as the device runs it. The given network is left as it was.

    Two exact rearrangements, both in float64 and rounded once: batch norm is folded into the convolutions, and the
    division by the standard deviation into the first convolution's weights. The mean stays a subtraction, because
    that convolution pads with zeros *after* it: folded into a bias it would be wrong along the border.
    """

    mean: torch.Tensor

    def __init__(self, network: nn.Module, mean: Sequence[float], std: Sequence[float]) -> None:
        """``mean`` and ``std`` per RGB channel on the 0…1 scale. Raises KitError for a head that would lose the map."""
        super().__init__()
        linear = linear_head(network)
        exact = copy.deepcopy(network).double().eval()
        fold_batch_norm(exact)
        scale = torch.tensor(std, dtype=torch.float64).reshape(1, 3, 1, 1) * 255.0
        with torch.no_grad():
            cast(nn.Conv2d, exact.conv1).weight.div_(scale)
        self.body = exact.float()
        self.body.fc = nn.Identity()
        self.register_buffer("mean", (torch.tensor(mean, dtype=torch.float64) * 255.0).float().reshape(1, 3, 1, 1))
        self.head = nn.Conv2d(linear.in_features, linear.out_features, 1, bias=False)
        self.bias = nn.Parameter(linear.bias.detach().clone())
        with torch.no_grad():
            self.head.weight.copy_(linear.weight[:, :, None, None])
        self.eval().requires_grad_(False)

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """uint8 ``[N,S,S,3]`` → logits ``[N,C]``, cam ``[N,C,h,w]``, features ``[N,F]``, all float32.

        ``mean((2, 3))`` and not AdaptiveAvgPool2d: its axes are constants in every exporter.
        """
        x = image.to(torch.float32).permute(0, 3, 1, 2) - self.mean
        body = self.body
        for name in ("conv1", "relu", "maxpool", "layer1", "layer2", "layer3", "layer4"):
            x = cast(nn.Module, getattr(body, name))(x)
        cam = self.head(x)
        return cam.mean((2, 3)) + self.bias, cam, x.mean((2, 3))


def linear_head(network: nn.Module) -> nn.Linear:
    """The one linear layer after the pooling, with any dropout before it taken off. Raises KitError."""
    head = getattr(network, "fc", None)
    layers = [head] if isinstance(head, nn.Linear) else list(head) if isinstance(head, nn.Sequential) else []
    rest = [layer for layer in layers if not isinstance(layer, nn.Dropout)]
    if len(rest) != 1 or not isinstance(rest[0], nn.Linear) or rest[0].bias is None:
        raise KitError(
            "the network's head is not dropout and one linear layer: its heat map would be lost",
            "train with `fieldlens train fit`, whose head is one linear layer",
        )
    return rest[0]


def fold_batch_norm(network: nn.Module) -> None:
    """Fold every batch norm of a torchvision ResNet into the convolution before it, in place."""
    for module in list(network.modules()):
        if isinstance(module, nn.Sequential) and len(module) == 2 and isinstance(module[1], nn.BatchNorm2d):
            module[0] = fuse_conv_bn_eval(cast(nn.Conv2d, module[0]), module[1])
            module[1] = nn.Identity()
        for number in ("1", "2", "3"):
            norm = getattr(module, f"bn{number}", None)
            if isinstance(norm, nn.BatchNorm2d):
                setattr(module, f"conv{number}", fuse_conv_bn_eval(getattr(module, f"conv{number}"), norm))
                setattr(module, f"bn{number}", nn.Identity())
    left = [name for name, module in network.named_modules() if isinstance(module, nn.BatchNorm2d)]
    if left:
        raise KitError(f"batch norm {left[0]!r} has no convolution to fold into", "use resnet18, resnet34 or resnet50")
