"""Augmentation of a whole batch at once, as tensors: one affine resampling, then grey values. No decoder, no workers.

torchvision's v2 functions draw nothing and work on batches, and are used where one parameter holds for all images
(``autocontrast``). Its random transforms draw once a call: a batch would get one angle and one brightness, and images
one by one cost more than the network's step at 64 pixels. So ranges are drawn here, for every image, from a generator
that (seed, epoch) start: a run repeats itself and can be resumed.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from fieldlens.train.config import AugmentConfig


class Augment:
    """uint8 ``[N,S,S,3]`` → uint8 of the same shape, every image changed on its own.

    All random numbers come from one generator on the CPU, so that a run repeats itself on any device.
    """

    def __init__(self, config: AugmentConfig) -> None:
        self._config = config
        self._moves = any((config.rotate_degrees, config.zoom, config.aspect, config.shift))

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Augment a batch (not in place)."""
        count = len(images)
        pixels = images.permute(0, 3, 1, 2).float()
        if self._moves or self._config.flip_horizontal or self._config.flip_vertical:
            matrices = self.matrices(count, generator).to(images.device)
            grid = functional.affine_grid(matrices, list(pixels.shape), align_corners=False)
            # Reflection instead of black corners: a black wedge would tell the network the angle.
            pixels = functional.grid_sample(pixels, grid, "bilinear", "reflection", align_corners=False)
        pixels = self._windowed(pixels, generator)
        pixels = self._focused(pixels, generator)
        pixels = self._recoloured(pixels, generator)
        return pixels.round_().clamp_(0, 255).to(torch.uint8).permute(0, 2, 3, 1)

    def matrices(self, count: int, generator: torch.Generator) -> Tensor:
        """Affine maps ``[count,2,3]`` from output to input coordinates (−1…1): rotation, zoom, aspect, flips; shift."""
        config = self._config
        angle = _uniform(count, math.radians(config.rotate_degrees), generator)
        scale = torch.exp(_uniform(count, math.log1p(config.zoom), generator))
        flip_x = _signs(count, config.flip_horizontal, generator)
        flip_y = _signs(count, config.flip_vertical, generator)
        cos, sin = torch.cos(angle) / scale, torch.sin(angle) / scale
        shift_x = 2 * _uniform(count, config.shift, generator)
        shift_y = 2 * _uniform(count, config.shift, generator)
        wide = torch.ones(count)
        if config.aspect:  # of the image as it lies, so after the rotation; half to either side
            wide = torch.exp(_uniform(count, math.log1p(config.aspect) / 2, generator))
        row_x = torch.stack((cos * flip_x / wide, -sin * flip_y / wide, shift_x), 1)
        row_y = torch.stack((sin * flip_x * wide, cos * flip_y * wide, shift_y), 1)
        return torch.stack((row_x, row_y), 1)

    def _windowed(self, pixels: Tensor, generator: torch.Generator) -> Tensor:
        """Another level and width around what the window step has left, and stretching to the full range 0…255.

        What the window has cut off stays cut off: a narrower or shifted window is exact, a wider one is grey there.
        """
        config, count, device = self._config, len(pixels), pixels.device
        if config.window_level or config.window_width:
            level = 127.5 + 255 * _uniform(count, config.window_level, generator).view(-1, 1, 1, 1)
            width = torch.exp(_uniform(count, math.log1p(config.window_width), generator)).view(-1, 1, 1, 1)
            pixels = ((pixels - level.to(device)) / width.to(device) + 127.5).clamp_(0, 255)
        if config.stretch:
            chosen = (torch.rand(count, generator=generator) < config.stretch).view(-1, 1, 1, 1).to(device)
            from torchvision.transforms.v2 import functional as transforms  # a second: it imports torch's compiler

            stretched = transforms.autocontrast(pixels.div(255).clamp_(0, 1)) * 255
            pixels = torch.where(chosen, stretched, pixels)
        return pixels

    def _focused(self, pixels: Tensor, generator: torch.Generator) -> Tensor:
        """Softer and sharper: what differs from the mean of the 3×3 pixels around is weakened or strengthened.

        Classes often come from different cameras or were reduced from different sizes. A network that learns to tell
        them by their sharpness fails elsewhere.
        """
        if not self._config.sharpness:
            return pixels
        factor = 1 + _uniform(len(pixels), self._config.sharpness, generator).view(-1, 1, 1, 1)
        soft = functional.avg_pool2d(functional.pad(pixels, (1, 1, 1, 1), mode="reflect"), 3, 1)
        return soft + (pixels - soft) * factor.to(pixels.device)

    def _recoloured(self, pixels: Tensor, generator: torch.Generator) -> Tensor:
        """Brightness and lamp colour multiply; contrast stretches around the image's own mean; noise is added."""
        config, count, device = self._config, len(pixels), pixels.device
        if config.brightness or config.colour:
            factor = 1 + _uniform(count, config.brightness, generator).view(-1, 1)
            factor = factor * (1 + _uniform(count * 3, config.colour, generator).view(-1, 3))
            pixels = pixels * factor.to(device)[:, :, None, None]
        if config.contrast:
            factor = (1 + _uniform(count, config.contrast, generator)).to(device).view(-1, 1, 1, 1)
            mean = pixels.mean(dim=(1, 2, 3), keepdim=True)
            pixels = (pixels - mean) * factor + mean
        if config.noise:
            strength = torch.rand(count, generator=generator).view(-1, 1, 1, 1) * config.noise * 255
            pixels = pixels + (torch.randn(pixels.shape, generator=generator) * strength).to(device)
        return pixels


def _uniform(count: int, reach: float, generator: torch.Generator) -> Tensor:
    """``[count]`` uniform in ±reach."""
    return (torch.rand(count, generator=generator) * 2 - 1) * reach


def _signs(count: int, flips: bool, generator: torch.Generator) -> Tensor:
    """``[count]`` of ±1; all +1 unless ``flips``."""
    drawn = torch.randint(0, 2, (count,), generator=generator) * 2.0 - 1
    return drawn if flips else torch.ones(count)
