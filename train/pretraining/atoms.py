"""Images from formulas, with their classes: rings whose outline is a circle bent by two sine waves.

After VisualAtom (Takashima et al., Visual Atoms: Pre-training Vision Transformers with Sinusoidal Waves, CVPR 2023),
one of the sets of formula-driven supervised learning (Kataoka et al., Pre-training without Natural Images, ACCV 2020).
There, every ring is drawn as a line. Here a pixel's distance from the centre, divided by the outline's radius in its
direction, goes through a wave of its own: the same rings, without a loop over them, so that a batch is some thirty
operations on ``[N,S,S]`` on a CPU or a GPU. The outline, the wave and the ellipse make the class; the place, angle,
size, brightness, colour, blur and noise are drawn for each image.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

_HARMONICS = 3
_LOWEST = 6e-3


@dataclass(frozen=True)
class AtomClasses:
    """Parameters of ``C`` classes, on one device.

    ``corners`` ``[C,2]``: periods of the two sine waves in a turn; ``depth`` ``[C,2]``: their amplitudes, parts of the
    radius; ``offset`` ``[C]``: angle between them; ``rings`` ``[C]``: rings in half an image's side; ``wave``
    ``[C,3,2]``: cosine and sine amplitudes of the wave's harmonics; ``edge`` ``[C]``: how sharp rings are (1: soft);
    ``ratio`` ``[C]``: of the ellipse's axes, ``tilt`` ``[C]``: its angle to the outline.
    """

    corners: Tensor
    depth: Tensor
    offset: Tensor
    rings: Tensor
    wave: Tensor
    edge: Tensor
    ratio: Tensor
    tilt: Tensor

    def __len__(self) -> int:
        return len(self.corners)


def atom_classes(count: int, seed: int, device: torch.device) -> AtomClasses:
    """The same ``count`` classes for the same seed, on any device; the first of them do not depend on ``count``."""
    drawn = torch.stack([torch.rand(24, generator=_generator(seed, number)) for number in range(count)])
    corners = torch.stack((1 + (drawn[:, 0] * 8).floor(), 2 + (drawn[:, 1] * 18).floor()), 1)
    depth = torch.stack((0.05 + 0.30 * drawn[:, 2], 0.02 + 0.18 * drawn[:, 3]), 1)
    wave = (drawn[:, 8:14] * 2 - 1).view(-1, _HARMONICS, 2) / torch.arange(1, _HARMONICS + 1)[None, :, None]
    wave = wave / wave.square().sum((1, 2), keepdim=True).sqrt()
    values = AtomClasses(
        corners=corners,
        depth=depth,
        offset=drawn[:, 4] * 2 * math.pi,
        rings=0.7 * (5.0 / 0.7) ** drawn[:, 5],
        wave=wave,
        edge=1 + 5 * drawn[:, 6].square(),
        ratio=torch.exp((drawn[:, 7] * 2 - 1) * math.log(2.0)),
        tilt=drawn[:, 14] * math.pi,
    )
    return AtomClasses(**{name: value.to(device) for name, value in vars(values).items()})


def _generator(seed: int, number: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed * 1_000_003 + number)


def render(classes: AtomClasses, labels: Tensor, size: int, generator: torch.Generator) -> Tensor:
    """float32 ``[N,3,size,size]`` in 0…1 of int64 classes ``[N]``; everything else is drawn from ``generator``, which
    lives on the classes' device, as does the result."""
    count, device = len(labels), labels.device

    def uniform(low: float, high: float) -> Tensor:
        return (torch.rand(count, generator=generator, device=device) * (high - low) + low).view(-1, 1, 1)

    def of(values: Tensor) -> Tensor:
        return values[labels].view(-1, 1, 1)

    line = (torch.arange(size, device=device) + 0.5) * (2 / size) - 1
    across = line.view(1, 1, -1) - uniform(-0.3, 0.3)
    down = line.view(1, -1, 1) - uniform(-0.3, 0.3)
    bend_x, bend_y = _bends(count, size, generator, device)
    across, down = across + bend_x, down + bend_y
    turn, scale = uniform(0, 2 * math.pi), torch.exp(uniform(-math.log(1.4), math.log(1.4)))
    cos, sin = torch.cos(turn) / scale, torch.sin(turn) / scale
    mirror = torch.sign(uniform(-1, 1))
    x, y = (across * cos + down * sin) * mirror, down * cos - across * sin
    angle = torch.atan2(y, x)
    along = torch.cos(angle - of(classes.tilt)).square()
    stretch = torch.sqrt(along * of(classes.ratio) + (1 - along) / of(classes.ratio))
    outline = (
        1
        + of(classes.depth[:, 0]) * torch.sin(of(classes.corners[:, 0]) * angle)
        + of(classes.depth[:, 1]) * torch.sin(of(classes.corners[:, 1]) * angle + of(classes.offset))
    )
    radius = torch.sqrt(x * x + y * y + _LOWEST) * stretch / outline
    grey = _rings(radius * of(classes.rings) * 2 * math.pi, classes, labels, uniform(-0.6, 0.6))
    grey = grey * torch.exp(-radius.square() * uniform(0.0, 0.8))
    return _exposed(grey, generator)


def _rings(phase: Tensor, classes: AtomClasses, labels: Tensor, shift: Tensor) -> Tensor:
    """The class's wave along the rings, −1…1."""
    step = torch.polar(torch.ones_like(phase), phase + shift)
    total, each = torch.zeros_like(phase), step
    for harmonic in range(_HARMONICS):
        amplitude = classes.wave[labels, harmonic].view(-1, 2, 1, 1)
        total = total + amplitude[:, 0] * each.real + amplitude[:, 1] * each.imag
        each = each * step
    edge = classes.edge[labels].view(-1, 1, 1)
    return torch.tanh(total * edge)


def _bends(count: int, size: int, generator: torch.Generator, device: torch.device) -> tuple[Tensor, Tensor]:
    """Smooth displacements ``[N,S,S]`` of up to a few hundredths of the side: no two images have the same outline."""
    coarse = torch.randn((count, 2, 4, 4), generator=generator, device=device)
    coarse = coarse * 0.06 * torch.rand((count, 1, 1, 1), generator=generator, device=device)
    fine = functional.interpolate(coarse, size=(size, size), mode="bicubic", align_corners=True)
    return fine[:, 0], fine[:, 1]


def _exposed(grey: Tensor, generator: torch.Generator) -> Tensor:
    """Contrast, brightness, a smooth background, blur, colour (half of the images stay grey), noise: ``[N,3,S,S]``."""
    count, size, device = len(grey), grey.shape[-1], grey.device

    def uniform(*shape: int) -> Tensor:
        return torch.rand((count, *shape), generator=generator, device=device)

    coarse = torch.randn((count, 1, 5, 5), generator=generator, device=device)
    cloud = functional.interpolate(coarse, size=(size, size), mode="bicubic", align_corners=True)
    soft = functional.avg_pool2d(grey[:, None], 5, 1, 2, count_include_pad=False)
    blur = (uniform(1, 1, 1) * 1.5).clamp_(max=1)
    image = torch.lerp(grey[:, None], soft, blur)
    sign = torch.where(uniform(1, 1, 1) < 0.5, -1.0, 1.0)
    image = 0.5 + sign * image * (0.15 + 0.30 * uniform(1, 1, 1)) + cloud * 0.08 * uniform(1, 1, 1)
    image = image + (uniform(1, 1, 1) - 0.5) * 0.4
    coloured = (uniform(1, 1, 1) < 0.5).float()
    image = image * (1 + coloured * (uniform(3, 1, 1) - 0.5) * 0.8) + coloured * (uniform(3, 1, 1) - 0.5) * 0.2
    noise = torch.randn((count, 1, size, size), generator=generator, device=device)
    return (image + noise * 0.06 * uniform(1, 1, 1)).clamp_(0, 1)
