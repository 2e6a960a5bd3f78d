"""One synthetic close-up of skin: what a screening camera might see, drawn from random numbers alone.

Three kinds of image differ in the outline of a mark, not in its colour, place, size or light: no mark but at most a
vague blotch, a mark with an even border, a mark with a ragged border. A straight look at pixel values is no help.
Scenes are float32 ``[H,W,3]`` RGB on a 0…1 scale; lengths are fractions of the image's shorter side.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

Scene = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]
Random = np.random.Generator

SCENE_SIDE = 320
"""Shorter side in pixels at which a scene is drawn; the camera then scales it up, softens it and adds its noise."""


@dataclass(frozen=True)
class Site:
    """A clinic's camera and lamp. ``sizes``: (width, height) in pixels; ``noise``: standard deviation, 0…1 scale."""

    name: str
    lamp: tuple[float, float, float]
    vignette: float
    noise: float
    sizes: tuple[tuple[int, int], ...]


SITES = (
    Site("hill-clinic", (1.06, 1.0, 0.90), 0.35, 0.022, ((640, 480), (800, 600), (480, 640))),
    Site("river-clinic", (0.95, 1.0, 1.06), 0.20, 0.012, ((1024, 768), (960, 1280), (720, 720), (800, 600))),
)


@dataclass(frozen=True)
class Person:
    """What the images of one person share. ``tone``: colour of the skin; ``hairs``: how many cross the image."""

    tone: tuple[float, float, float]
    hairs: int
    pores: float


def draw_subject(random: Random) -> Person:
    """Skin from pale to dark along one line in colour space, more or less hairy."""
    depth = random.uniform(0.0, 1.0)
    pale, dark = np.array([0.86, 0.68, 0.58]), np.array([0.42, 0.29, 0.22])
    tone = (pale * (1 - depth) + dark * depth) * random.normal(1, 0.02, 3)
    return Person(
        (float(tone[0]), float(tone[1]), float(tone[2])), int(random.integers(0, 9)), random.uniform(0.4, 1.0)
    )


@dataclass(frozen=True)
class Drawing:
    """A scene before the camera, and where its mark is: bool ``[H,W]``, upright, at least half opaque; None without."""

    scene: Scene
    mark: Mask | None


def draw_scene(kind: str, subject: Person, site: Site, size: tuple[int, int], random: Random) -> Drawing:
    """One image of ``kind`` (``clear``, ``even-mark``, ``ragged-mark``), before the camera; ``size``: (w, h)."""
    width, height = size
    scale = SCENE_SIDE / min(width, height)
    shape = (round(height * scale), round(width * scale))
    scene, mark = _skin(subject, shape, random), None
    if kind == "clear":
        if random.random() < 0.6:
            _paint(scene, _blotch(shape, random), _mark_colour(subject, random), random.uniform(0.2, 0.5))
    else:
        even = kind == "even-mark"
        inside = _mark(shape, _outline(even, random), 0 if even else int(random.integers(1, 8)), random)
        unrest = random.uniform(0.0, 0.2) if even else random.uniform(0.2, 0.7)
        mottled = inside * (1 + unrest * _clouds(shape, 24, random)).clip(0.0, 1.3)
        _paint(scene, mottled, _mark_colour(subject, random), random.uniform(0.65, 0.95))
        mark = inside >= 0.5
    _hairs(scene, subject, random)
    return Drawing(_lit(scene, site, random), mark)


def _clouds(shape: tuple[int, int], cells: int, random: Random) -> Scene:
    """Smooth noise ``[H,W]`` of about unit deviation, with ``cells`` bumps along the shorter side."""
    step = min(shape) / cells
    coarse = random.standard_normal((math.ceil(shape[0] / step) + 1, math.ceil(shape[1] / step) + 1), np.float32)
    return np.asarray(cv2.resize(coarse, (shape[1], shape[0]), interpolation=cv2.INTER_CUBIC), np.float32)


def _skin(subject: Person, shape: tuple[int, int], random: Random) -> Scene:
    """The tone, uneven at three scales; redness varies apart from lightness."""
    light = 0.035 * _clouds(shape, 3, random) + 0.02 * _clouds(shape, 12, random)
    light += 0.02 * subject.pores * _clouds(shape, 70, random)
    redness = 0.03 * _clouds(shape, 4, random)
    scene = np.empty((*shape, 3), np.float32)
    for channel, (tone, red) in enumerate(zip(subject.tone, (1.0, -0.6, -0.4), strict=True)):
        scene[..., channel] = tone * (1 + light + red * redness)
    return scene


def _mark_colour(subject: Person, random: Random) -> npt.NDArray[np.float64]:
    """Darker, redder or paler than the skin around it, whatever the kind."""
    tone = np.array(subject.tone)
    factors = ((0.50, 0.42, 0.42), (0.95, 0.55, 0.52), (1.30, 1.28, 1.25))
    return np.asarray(tone * np.array(factors[random.integers(len(factors))]) * random.uniform(0.9, 1.1, 3))


def _polar(shape: tuple[int, int], random: Random) -> tuple[Scene, Scene]:
    """Distance and angle ``[H,W]`` around a random place in the middle square, on a random ellipse."""
    height, width = shape
    side = min(shape)
    centre_x = width / 2 + random.uniform(-0.2, 0.2) * side
    centre_y = height / 2 + random.uniform(-0.2, 0.2) * side
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    turn, stretch = random.uniform(0, math.pi), random.uniform(1.0, 1.5)
    across, along = (x - centre_x) / side, (y - centre_y) / side
    u = (across * math.cos(turn) + along * math.sin(turn)) * math.sqrt(stretch)
    v = (along * math.cos(turn) - across * math.sin(turn)) / math.sqrt(stretch)
    return np.hypot(u, v), np.arctan2(v, u)


def _outline(even: bool, random: Random) -> npt.NDArray[np.float64]:
    """Relative radius by angle, 720 values: two gentle waves (even), or many stronger ones (ragged)."""
    angle = np.linspace(-math.pi, math.pi, 720, endpoint=False)
    outline = np.zeros_like(angle)
    for wave in range(2, 4) if even else range(3, 10):
        outline += random.uniform(0.2, 1.0) * np.cos(wave * angle + random.uniform(0, 2 * math.pi))
    depth = random.uniform(0.0, 0.12) if even else random.uniform(0.30, 0.50)
    return np.asarray(1 + depth * outline / float(np.abs(outline).max()))


def _mark(shape: tuple[int, int], outline: npt.NDArray[np.float64], satellites: int, random: Random) -> Scene:
    """Opacity 0…1 ``[H,W]`` of a mark with this outline and small dots around it."""
    distance, angle = _polar(shape, random)
    radius = random.uniform(0.13, 0.26)
    index = ((angle / (2 * math.pi) + 0.5) * len(outline)).astype(np.int64) % len(outline)
    border = radius * outline[index].astype(np.float32)
    softness = radius * random.uniform(0.03, 0.10)
    inside = border - distance
    for _ in range(satellites):
        towards, away, size = random.uniform(-math.pi, math.pi), random.uniform(1.2, 1.9) * radius, 0.02
        gap = distance_from(distance, angle, away, towards)
        inside = np.maximum(inside, random.uniform(0.6, 1.6) * size - gap)
    return _soft_step(inside, softness)


def distance_from(distance: Scene, angle: Scene, away: float, towards: float) -> Scene:
    """From every place, given in polar coordinates, to one of them (the law of cosines)."""
    squared = distance**2 + away**2 - 2 * distance * away * np.cos(angle - towards)
    distances: Scene = np.sqrt(np.maximum(squared, 0))  # beside that place rounding can take it below 0
    return distances


def _blotch(shape: tuple[int, int], random: Random) -> Scene:
    """Opacity of a vague patch without a border."""
    distance, _ = _polar(shape, random)
    radius = random.uniform(0.13, 0.28)
    return _soft_step(radius - distance, radius * random.uniform(0.35, 0.6))


def _soft_step(inside: Scene, softness: float) -> Scene:
    """0 → 1 across the border."""
    return np.asarray(0.5 * (1 + np.tanh(inside / softness)), np.float32)


def _paint(scene: Scene, opacity: Scene, colour: npt.NDArray[np.float64], strength: float) -> None:
    """Blend towards ``colour``, in place."""
    amount = (opacity * strength)[..., None]
    scene += amount * (colour.astype(np.float32) - scene)


def _hairs(scene: Scene, subject: Person, random: Random) -> None:
    """Thin dark arcs, in place."""
    height, width = scene.shape[:2]
    for _ in range(subject.hairs):
        start = random.uniform(0, [width, height])
        heading, bend, length = random.uniform(0, 2 * math.pi), random.uniform(-0.8, 0.8), random.uniform(0.2, 0.7)
        steps = np.linspace(0, 1, 16)
        angles = heading + bend * steps
        points = start + np.cumsum(np.stack([np.cos(angles), np.sin(angles)], 1) * SCENE_SIDE * length / 16, 0)
        shade = np.array(subject.tone) * random.uniform(0.25, 0.5)
        cv2.polylines(
            scene, [np.rint(points * 8).astype(np.int32)], False, shade.tolist(), 1, cv2.LINE_AA, shift=3
        )  # fmt: skip


def _lit(scene: Scene, site: Site, random: Random) -> Scene:
    """The lamp: its colour, a slope, a vignette around a point off the middle, and sometimes glints."""
    height, width = scene.shape[:2]
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    x, y = (x - width / 2) / min(height, width), (y - height / 2) / min(height, width)
    direction, slope = random.uniform(0, 2 * math.pi), random.uniform(0, 0.35)
    light = 1 + slope * (x * math.cos(direction) + y * math.sin(direction))
    light -= site.vignette * random.uniform(0.5, 1.3) * ((x - random.uniform(-0.2, 0.2)) ** 2 + y**2)
    light *= random.uniform(0.78, 1.15)
    lamp = np.array(site.lamp, np.float32) * random.normal(1, 0.02, 3).astype(np.float32)
    lit = scene * light[..., None] * lamp
    for _ in range(int(random.integers(0, 4))):
        spot_x, spot_y, size = random.uniform(-0.5, 0.5), random.uniform(-0.5, 0.5), random.uniform(0.006, 0.02)
        glint = np.exp(-((x - spot_x) ** 2 + (y - spot_y) ** 2) / (2 * size**2))
        lit += (0.5 * glint)[..., None]
    return np.asarray(lit, np.float32)
