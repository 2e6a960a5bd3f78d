"""The documents' preparation: Pillow opens the image, torchvision's transforms make the tensor."""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from PIL import Image, ImageOps
from torch import Tensor, nn
from torchvision import models, transforms
from torchvision.transforms import functional

from fieldlens.benchmarks.device.contenders.base import Job
from fieldlens.runtime.errors import KitError

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def front(job: Job) -> Callable[[bytes], Tensor]:
    """Bytes → normalised float32 ``[1,3,S,S]`` by the bundle's steps. Raises ValueError for a step without a form."""
    transform = transforms.Compose(_steps(job))

    def prepare(data: bytes) -> Tensor:
        tensor: Tensor = transform(Image.open(io.BytesIO(data)))
        return tensor[None]

    return prepare


def _steps(job: Job) -> list[Callable[[Any], Any]]:
    chain: list[Callable[[Any], Any]] = []
    for step in job.steps:
        name = step["step"]
        if name == "orient":
            chain.append(ImageOps.exif_transpose)
        elif name == "crop":
            chain.append(partial(_cropped, step=step))
        elif name == "resize":
            chain += [_to_rgb, *_resize(step)]
        elif name == "grey":
            chain.append(transforms.Grayscale(3))
        else:
            raise ValueError(f"this pipeline has no step {name}")
    return [*chain, transforms.ToTensor(), transforms.Normalize(MEAN, STD)]


def _to_rgb(image: Image.Image) -> Image.Image:
    return image.convert("RGB")


def _cropped(image: Image.Image, step: dict[str, Any]) -> Image.Image:
    width, height = image.size
    edges = (step["left"] * width, step["top"] * height, step["right"] * width, step["bottom"] * height)
    left, top, right, bottom = (round(edge) for edge in edges)
    return image.crop((left, top, right, bottom))


def _resize(step: dict[str, Any]) -> list[Callable[[Any], Any]]:
    size = step["size"]
    if step["mode"] == "squash":
        return [transforms.Resize((size, size))]
    if step["mode"] == "crop":
        return [transforms.Resize(round(size * step["zoom"])), transforms.CenterCrop(size)]
    return [
        lambda image: functional.center_crop(ImageOps.contain(image, (size, size), Image.Resampling.BILINEAR), size)
    ]


def network(job: Job) -> nn.Module:
    """The bundle's network as a plain torchvision ResNet, batch norm included, in evaluation mode. Raises KitError:
    torchvision has none like it, or the bundle no FP32."""
    if not job.weights:
        reason = f"no weights for torchvision's {job.arch}: the network is cut, or model.fp32.onnx left out"
        raise KitError(reason, "compare with peers that read ONNX")
    model: nn.Module = models.get_model(job.arch, weights=None, num_classes=job.classes)
    model.load_state_dict(torch.load(job.weights, map_location="cpu", weights_only=True))
    return model.eval()
