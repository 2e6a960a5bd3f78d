"""Made CT-like heads, with and without a haemorrhage, in the form of the public head CT set (``id, hemorrhage``).

They are nobody's, and no claim about patients can rest on them; they show that a recipe runs, and in what range of
difficulty it learns. ``Setting`` moves that difficulty: contrast, size, noise, and what else is bright in a head.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[Any]
_SIDE = 192


@dataclass(frozen=True)
class Setting:
    """Ranges of what is drawn; grey levels on the 0…255 scale, lengths as fractions of the head's size."""

    contrast: tuple[float, float] = (35, 90)  # of the blood above the brain
    radius: tuple[float, float] = (0.08, 0.22)  # of the blood
    noise: float = 8.0  # standard deviation
    confounders: float = 0.5  # how likely calcifications, a thick or an open skull, a midline falx are
    tilt: float = 15.0  # degrees, either way
    windows: float = 0.15  # how much brightness and contrast differ from scan to scan


EASY = Setting(contrast=(60, 110), radius=(0.12, 0.28), noise=4, confounders=0.2, tilt=8, windows=0.08)
MEDIUM = Setting()
HARD = Setting(contrast=(22, 60), radius=(0.06, 0.16), noise=11, confounders=0.8, tilt=25, windows=0.25)


def make_heads(
    root: Path, count: int = 200, setting: Setting = MEDIUM, seed: int = 0, folder: str = "head_ct/head_ct"
) -> Path:
    """``root/labels.csv`` (a space after each comma, integer ids) and ``root/folder/000.png`` …, each of a
    size of its own, every tenth a JPEG. Half of the heads bleed, in random order."""
    random = np.random.default_rng([seed, 77])
    labels = random.permutation(np.arange(count) % 2)
    place = root / folder
    place.mkdir(parents=True)
    lines = ["id, hemorrhage"]
    for index, label in enumerate(labels):
        picture = head(int(label), setting, np.random.default_rng([seed, index]))
        assert cv2.imwrite(str(place / f"{index:03d}.{'jpg' if index % 10 == 9 else 'png'}"), picture)
        lines.append(f"{index}, {label}")
    (root / "labels.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return root


def head(label: int, setting: Setting, random: np.random.Generator) -> npt.NDArray[np.uint8]:
    """One slice, grey uint8 ``[H,W]`` of a size of its own."""
    y, x = np.mgrid[-1 : 1 : _SIDE * 1j, -1 : 1 : _SIDE * 1j].astype(np.float32)
    turned = np.radians(random.uniform(-setting.tilt, setting.tilt))
    x, y = x - random.uniform(-0.08, 0.08), y - random.uniform(-0.08, 0.08)
    x, y = x * np.cos(turned) + y * np.sin(turned), y * np.cos(turned) - x * np.sin(turned)
    wide, tall = random.uniform(0.6, 0.74), random.uniform(0.76, 0.92)
    radius = np.sqrt((x / wide) ** 2 + (y / tall) ** 2) + _cloud(random, 3) * 0.02
    thick = random.uniform(0.07, 0.13) * (1.5 if random.random() < setting.confounders / 3 else 1)
    brain = radius < 1 - thick
    tissue: Floats = 95 + 10 * _cloud(random, 6) + 7 * _cloud(random, 20)
    tissue += 12 * np.clip((radius - 0.55) / 0.3, 0, 1) * (1 + _cloud(random, 10))  # the cortex is a little brighter
    tissue -= _ventricles(x, y, random)
    if label:
        tissue += _blood(x, y, radius, 1 - thick, wide, tall, setting, random)
    tissue += _confounders(x, y, radius, 1 - thick, setting, random)
    picture: Floats = np.where(brain, tissue, 0).astype(np.float32)
    picture += np.where((radius >= 1 - thick) & (radius < 1), 235 + 15 * _cloud(random, 12), 0)
    picture += np.where((radius >= 1) & (radius < 1.06), 60, 0)  # scalp
    picture = cv2.GaussianBlur(picture, (0, 0), random.uniform(0.7, 1.3))
    picture += random.normal(0, setting.noise, picture.shape) * (radius < 1.1)
    picture = (picture - 100) * (1 + random.uniform(-1, 1) * setting.windows) + 100
    picture *= 1 + random.uniform(-1, 1) * setting.windows / 2
    height, width = (int(_SIDE * random.uniform(0.8, 1.6)) for _ in range(2))
    return np.asarray(cv2.resize(np.clip(picture, 0, 255).astype(np.uint8), (width, height)), np.uint8)


def _cloud(random: np.random.Generator, cells: int) -> Floats:
    """Smooth noise of about unit spread, ``cells`` across."""
    coarse = random.normal(0, 1, (cells, cells)).astype(np.float32)
    return np.asarray(cv2.resize(coarse, (_SIDE, _SIDE), interpolation=cv2.INTER_CUBIC), np.float32)


def _ventricles(x: Floats, y: Floats, random: np.random.Generator) -> Floats:
    """Two dark, slanted ellipses beside the midline, of a size that grows with age; one may be pressed together."""
    size = random.uniform(0.5, 1.5)
    dark = np.zeros_like(x)
    for side in (-1, 1):
        squeezed = size * random.uniform(0.8, 1.1)
        u, v = x - side * 0.11 * size, y + random.uniform(0.02, 0.1)
        u = u + side * 0.25 * v
        dark = np.maximum(dark, 55.0 * _soft((u / (0.05 * squeezed)) ** 2 + (v / (0.22 * size)) ** 2))
    return np.asarray(dark, np.float32)


def _blood(
    x: Floats, y: Floats, radius: Floats, inner: float, wide: float, tall: float, setting: Setting,
    random: np.random.Generator,
) -> Floats:  # fmt: skip
    """A blob in the brain, a lens or a crescent along the skull, or a layer in a ventricle."""
    bright, size = random.uniform(*setting.contrast), random.uniform(*setting.radius)
    angle = random.uniform(0, 2 * np.pi)
    kind = random.choice(["blob", "blob", "lens", "crescent"])
    if kind == "blob":
        far = random.uniform(0.15, 0.6)
        u, v = x - far * wide * np.cos(angle), y - far * tall * np.sin(angle)
        shape = _soft((u**2 + (v * random.uniform(0.7, 1.4)) ** 2) / size**2 + 0.25 * _cloud(random, 8))
        around = 0.35 * _soft((u**2 + v**2) / (1.8 * size) ** 2)  # oedema, darker than the brain
        return np.asarray(bright * shape - 25 * np.clip(around - shape, 0, 1), np.float32)
    apart = np.abs(np.angle(np.exp(1j * (np.arctan2(y / tall, x / wide) - angle))))
    reach, depth = (2.2 * size, 0.9 * size) if kind == "lens" else (5.0 * size, 0.45 * size)
    deep = depth * np.clip(1 - (apart / reach) ** 2, 0, 1)
    return np.asarray(bright * np.clip((radius - (inner - deep)) / 0.02, 0, 1) * (apart < reach), np.float32)


def _confounders(
    x: Floats, y: Floats, radius: Floats, inner: float, setting: Setting, random: np.random.Generator
) -> Floats:
    """Bright things of heads without blood: a falx, calcified plexus and pineal, bone that comes in from the base."""
    bright = np.zeros_like(x)
    if random.random() < setting.confounders:
        bright += random.uniform(10, 35) * np.exp(-((x / 0.012) ** 2)) * (np.abs(y) > random.uniform(0.25, 0.5))
    for side in (-1, 1):
        if random.random() < setting.confounders:
            place = (random.uniform(0.08, 0.2) * side, random.uniform(0.05, 0.25))
            spot = ((x - place[0]) ** 2 + (y - place[1]) ** 2) / random.uniform(0.012, 0.03) ** 2
            bright += random.uniform(60, 140) * _soft(spot)
    if random.random() < setting.confounders / 2:
        base = _soft(((x - random.choice([-1, 1]) * 0.35) / 0.3) ** 2 + ((y - 0.8) / 0.12) ** 2)
        bright += 120 * base * (radius > inner - 0.12)
    return np.asarray(bright, np.float32)


def _soft(squared: Floats) -> Floats:
    """1 inside of the unit ellipse, 0 outside, with a soft border."""
    return np.asarray(1 / (1 + np.exp(8 * (squared - 1).clip(-8, 8))), np.float32)
