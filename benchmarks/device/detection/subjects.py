"""Wrong subjects, drawn from random numbers: what a camera sees that is pointed at something else, or at nothing.

Each is lit and photographed like a clinic's image (a lamp's colour and slope, a little blur, grain), so that it is
the subject that gives it away and not a drawing's flat areas. All are uint8 RGB ``[480,640,3]``.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import cv2
import numpy as np
import numpy.typing as npt

from fieldlens.runtime.quality.optics import Floats, Pixels, Random, grainy

WIDTH, HEIGHT = 640, 480
_LETTERS = "abcdefghiklmnoprstuvwz"


def names() -> tuple[str, ...]:
    """Of all subjects, in the table's order."""
    return tuple(_DRAWN)


def subject(name: str, random: Random) -> Pixels:
    """A photograph of one of :func:`names`."""
    return _photographed(_DRAWN[name](random), random)


def _photographed(scene: Floats, random: Random) -> Pixels:
    """``scene``: 0…1. A lamp with a colour and a slope, a lens that is a little soft, grain."""
    y, x = np.mgrid[-0.5 : 0.5 : HEIGHT * 1j, -0.67 : 0.67 : WIDTH * 1j].astype(np.float32)
    angle, slope = random.uniform(0, 2 * math.pi), random.uniform(0, 0.35)
    light = 1 + slope * (x * math.cos(angle) + y * math.sin(angle)) - random.uniform(0.1, 0.4) * (x**2 + y**2)
    lamp = np.array([1.0, 1.0, 1.0]) + random.uniform(-0.06, 0.06) * np.array([1, 0, -1.3])
    lit = scene * (light * random.uniform(0.85, 1.1))[..., None] * lamp.astype(np.float32)
    soft = cv2.GaussianBlur(np.clip(lit, 0, 1), (0, 0), HEIGHT * random.uniform(0.0015, 0.005))
    return grainy(np.asarray(soft * 255, np.float32), 255 * random.uniform(0.007, 0.03), random)


def _colour(random: Random, low: float = 0.1, high: float = 0.95) -> npt.NDArray[np.float32]:
    """Between grey and gaudy."""
    pure = random.uniform(low, high, 3)
    return np.asarray(pure.mean() + (pure - pure.mean()) * random.uniform(0.1, 1), np.float32)


def _flat(colour: npt.NDArray[np.float32]) -> Floats:
    return np.full((HEIGHT, WIDTH, 3), colour, np.float32)


def _clouds(random: Random, cells: int) -> Floats:
    """Smooth noise ``[H,W]`` of about unit deviation, ``cells`` bumps high."""
    coarse = random.standard_normal((cells + 1, cells * 4 // 3 + 1), np.float32)
    return np.asarray(cv2.resize(coarse, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC), np.float32)


def _points(random: Random, count: int) -> npt.NDArray[np.int32]:
    return (random.random((count, 2)) * [WIDTH, HEIGHT]).astype(np.int32)


def _turned(scene: Floats, random: Random, degrees: float) -> Floats:
    turn = cv2.getRotationMatrix2D((WIDTH / 2, HEIGHT / 2), random.uniform(-degrees, degrees), 1.2)
    return np.asarray(cv2.warpAffine(scene, turn, (WIDTH, HEIGHT), borderMode=cv2.BORDER_REFLECT), np.float32)


def _text_page(random: Random) -> Floats:
    page = np.zeros((HEIGHT, WIDTH), np.uint8)
    scale = random.uniform(0.4, 0.9)
    step = round(34 * scale)
    for baseline in range(step, HEIGHT, step):
        lengths = random.integers(2, 10, 40)
        line = " ".join("".join(random.choice(list(_LETTERS), length)) for length in lengths)
        place = (int(random.integers(4, 30)), baseline)
        cv2.putText(page, line, place, cv2.FONT_HERSHEY_SIMPLEX, scale, 255, 1, cv2.LINE_AA)
    ink, paper = (page / np.float32(255))[..., None], _colour(random, 0.85, 0.97)
    scene = np.asarray(paper * (1 - ink) + _colour(random, 0.02, 0.3) * ink, np.float32)
    return _turned(scene, random, 15)


def _face(random: Random) -> Floats:
    """A face, drawn: skin's colours, but not a close-up."""
    scene, depth = _flat(_colour(random)), float(random.uniform())
    skin = (np.array([0.86, 0.68, 0.58]) * (1 - depth) + np.array([0.42, 0.29, 0.22]) * depth).tolist()
    x, y, size = random.uniform(240, 400), random.uniform(200, 280), random.uniform(90, 160)

    def oval(
        dx: float, dy: float, wide: float, high: float, colour: list[float], start: int = 0, end: int = 360
    ) -> None:
        centre = (round(x + dx * size), round(y + dy * size))
        cv2.ellipse(scene, centre, (round(wide * size), round(high * size)), 0, start, end, colour, -1, cv2.LINE_AA)

    hair = (np.array(skin) * random.uniform(0.15, 0.5)).tolist()
    oval(0, 1.9, 1.6, 0.9, _colour(random).tolist())
    oval(0, -0.15, 1.0, 1.25, hair)
    oval(0, 0, 0.82, 1.1, skin)
    for side in (-1, 1):
        oval(0.34 * side, -0.15, 0.17, 0.09, [0.93, 0.93, 0.92])
        oval(0.34 * side, -0.15, 0.08, 0.08, [0.15, 0.1, 0.08])
        oval(0.34 * side, -0.36, 0.2, 0.04, hair)
    oval(0, 0.18, 0.1, 0.2, (np.array(skin) * 0.85).tolist())
    oval(0, 0.55, 0.3, 0.13, (np.array(skin) * [0.95, 0.6, 0.6]).tolist(), 0, 180)
    return scene


def _wall(random: Random) -> Floats:
    """Painted plaster with a skirting board or a corner somewhere."""
    scene = _flat(_colour(random, 0.35, 0.95)) * (1 + 0.02 * _clouds(random, 60) + 0.02 * _clouds(random, 4))[..., None]
    edge = int(random.integers(HEIGHT // 4, HEIGHT))
    scene[edge:] *= random.uniform(0.5, 0.9)
    cv2.line(scene, (0, edge), (WIDTH, edge), (_colour(random, 0.1, 0.4)).tolist(), 3, cv2.LINE_AA)
    return _turned(np.asarray(scene, np.float32), random, 30)


def _fabric(random: Random) -> Floats:
    """Checked cloth with a weave."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float32)
    period, weave = random.uniform(30, 120), random.uniform(3, 8)
    warp, weft = (np.sin(2 * math.pi * axis / period) > 0 for axis in (x, y))
    thread = 1 + 0.12 * np.sin(2 * math.pi * x / weave) * np.sin(2 * math.pi * y / weave)
    first, second = _colour(random), _colour(random)
    amount = ((warp.astype(np.float32) + weft) / 2 * thread)[..., None]
    return _turned(np.asarray(first * (1 - amount) + second * amount, np.float32), random, 45)


def _floor(random: Random) -> Floats:
    """Tiles with joints, each of its own shade."""
    scene, base, tile = _flat(_colour(random, 0.2, 0.5)), _colour(random, 0.3, 0.9), int(random.integers(50, 160))
    joint = max(2, tile // 25)
    for top in range(-tile, HEIGHT, tile):
        for left in range(-tile, WIDTH, tile):
            shade = (base * random.uniform(0.88, 1.05)).tolist()
            cv2.rectangle(scene, (left + joint, top + joint), (left + tile, top + tile), shade, -1)
    return _turned(scene * (1 + 0.03 * _clouds(random, 40))[..., None], random, 45)


def _landscape(random: Random) -> Floats:
    """A sky, hills, and grass."""
    down = np.linspace(0, 1, HEIGHT, dtype=np.float32)[:, None, None]
    scene = np.asarray(np.array([0.45, 0.62, 0.9]) * (1 - down) + np.array([0.85, 0.9, 0.95]) * down, np.float32)
    scene = np.repeat(scene, WIDTH, axis=1) + 0.06 * np.clip(_clouds(random, 5), 0, 2)[..., None]
    for depth in range(4):
        ridge = cv2.resize(random.uniform(-1, 1, (1, 5 + 2 * depth)), (WIDTH, 1), interpolation=cv2.INTER_CUBIC)[0]
        height = HEIGHT * (0.4 + 0.15 * depth + 0.07 * ridge)
        inside = np.arange(HEIGHT)[:, None] > height
        green = np.array([0.35 - 0.06 * depth, 0.5 - 0.05 * depth, 0.35 - 0.07 * depth])
        scene[inside] = (green * (1 + 0.1 * _clouds(random, 90))[..., None])[inside]
    return np.asarray(scene, np.float32)


def _leaves(random: Random) -> Floats:
    scene = _flat(np.array([0.1, 0.2, 0.08], np.float32))
    for x, y in _points(random, 220).tolist():
        green = (np.array([0.3, 0.55, 0.2]) * random.uniform(0.5, 1.4)).tolist()
        axes = (int(random.integers(20, 50)), int(random.integers(6, 16)))
        cv2.ellipse(scene, (x, y), axes, random.uniform(0, 180), 0, 360, green, -1, cv2.LINE_AA)
    return scene


def _things(random: Random) -> Floats:
    """Boxes, lids and instruments on a table."""
    scene = _flat(_colour(random))
    for x, y in _points(random, int(random.integers(5, 14))).tolist():
        size, colour = int(random.integers(25, 120)), _colour(random).tolist()
        if random.random() < 0.4:
            cv2.circle(scene, (x, y), size // 2, colour, -1, cv2.LINE_AA)
        else:
            shape = cv2.boxPoints(((x, y), (size, size * random.uniform(0.2, 1.5)), random.uniform(0, 90)))
            cv2.fillPoly(scene, [shape.astype(np.int32)], colour, cv2.LINE_AA)
    return scene


def _screen(random: Random) -> Floats:
    """A computer's window: bars, panels, a chart."""
    scene = _flat(_colour(random, 0.8, 0.97))
    cv2.rectangle(scene, (0, 0), (WIDTH, 40), _colour(random, 0.1, 0.6).tolist(), -1)
    for _ in range(9):
        (x, y), colour = _points(random, 1)[0].tolist(), _colour(random, 0.2, 0.9).tolist()
        cv2.rectangle(scene, (x, y), (x + int(random.integers(40, 220)), y + int(random.integers(12, 90))), colour, -1)
    heights = np.cumsum(random.normal(0, 12, 40)) + HEIGHT / 2
    chart = np.stack([np.linspace(0, WIDTH, 40), heights], 1).astype(np.int32)
    cv2.polylines(scene, [chart], False, _colour(random, 0.0, 0.5).tolist(), 2, cv2.LINE_AA)
    return _turned(scene, random, 8)


_DRAWN: dict[str, Callable[[Random], Floats]] = {
    "a page of text": _text_page,
    "a face, from afar": _face,
    "a wall": _wall,
    "fabric": _fabric,
    "a floor": _floor,
    "a landscape": _landscape,
    "leaves": _leaves,
    "things on a table": _things,
    "a screen": _screen,
}
