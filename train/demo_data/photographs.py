"""``demo-data``: a folder of synthetic JPEG photographs and their ``labels.csv``, the same for the same seed."""

from __future__ import annotations

import csv
import io
import json
import math
import os
import struct
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import simplejpeg

from fieldlens.runtime.errors import ConfigError
from fieldlens.runtime.files.atomic import write_bytes, write_json, write_text
from fieldlens.runtime.pixels.preprocess import upright
from fieldlens.runtime.terminal.reporter import SILENT, Reporter
from fieldlens.train.demo_data.scene import SITES, Mask, Person, Random, Scene, Site, draw_scene, draw_subject
from fieldlens.train.errors import DataError

CLASSES = ("clear", "even-mark", "ragged-mark")
GENERATOR = 1
"""Raised whenever the drawing changes: a folder made by another version is not continued."""

MARKER = "demo-data.json"
MASKS = "masks"
"""Folder beside the images with the places of the marks, which evaluation reads and training never does."""
IMAGES_PER_SUBJECT = (3, 6)
TURNED_SHARE = 0.25
DICE_DEVIATION = math.sqrt((256**2 - 1) / 6)
"""Of the difference of two numbers drawn evenly from 0…255."""

_TURNS = (3, 6, 8, 6, 8, 2, 5)
_UNDO = {2: 2, 3: 3, 4: 4, 5: 5, 6: 8, 7: 7, 8: 6}


@dataclass(frozen=True)
class Picture:
    """A line of ``labels.csv``, and what is needed to draw it."""

    number: int
    kind: str
    group: str
    site: Site
    subject: Person

    @property
    def path(self) -> str:
        """Below the data folder."""
        return f"images/{self.number:05d}.jpg"

    @property
    def mask_path(self) -> str | None:
        """Below the data folder: where the mark is; None for an image without one."""
        return None if self.kind == CLASSES[0] else f"{MASKS}/{self.number:05d}.png"

    @property
    def paths(self) -> tuple[str, ...]:
        """Every file of this image."""
        return (self.path, *filter(None, (self.mask_path,)))


@dataclass(frozen=True)
class Photograph:
    """A JPEG file, and the PNG that says where its mark is: 255 inside, upright, of the image's proportions at
    ``SCENE_SIDE``; None without a mark."""

    jpeg: bytes
    mask_png: bytes | None


def make_demo_data(folder: Path, images: int = 900, seed: int = 0, reporter: Reporter = SILENT) -> int:
    """Write ``folder/images/*.jpg``, ``folder/masks/*.png`` (where each mark is) and, last, ``folder/labels.csv``;
    returns how many images were drawn now.

    An interrupted run continues where it stopped; a finished folder with the same parameters is reused.
    Raises ConfigError for an impossible count, DataError for a folder that holds something else.
    """
    if not 30 <= images <= 100_000 or not 0 <= seed < 2**31:
        raise ConfigError(
            f"--images {images} --seed {seed} is out of range", "30 to 100000 images; seeds from 0 to 2147483647"
        )
    _claim(folder, {"generator": GENERATOR, "images": images, "seed": seed})
    pictures = plan(images, seed)
    missing = [picture for picture in pictures if not all((folder / p).is_file() for p in picture.paths)]
    if not missing and (folder / "labels.csv").is_file():
        reporter.say(f"already there: {images} images with seed {seed} in {folder}")
        return 0
    if len(missing) < images:
        reporter.say(f"going on: {images - len(missing)} of {images} images are there already")
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        work = pool.map(lambda picture: _write(folder, picture, photograph(picture, seed)), missing)
        for _ in reporter.each(work, "demo data", len(missing), unit="img"):
            pass
    for leftover in (*(folder / "images").glob(".*.tmp"), *(folder / MASKS).glob(".*.tmp")):  # of a run that was killed
        leftover.unlink()
    write_text(folder / "labels.csv", _table(pictures))
    subjects = len({picture.group for picture in pictures})
    reporter.say(f"{images} images of {subjects} subjects from {len(SITES)} sites in {folder}")
    return len(missing)


def _write(folder: Path, picture: Picture, taken: Photograph) -> None:
    """The mask first: an image that is there has its mask."""
    if picture.mask_path and taken.mask_png:
        write_bytes(folder / picture.mask_path, taken.mask_png)
    write_bytes(folder / picture.path, taken.jpeg)


def _claim(folder: Path, parameters: dict[str, int]) -> None:
    """Refuse a folder that is not ours or was made with other parameters; mark a new one as ours."""
    marker = folder / MARKER
    if marker.is_file():
        try:
            found = json.loads(marker.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            found = None
        if found != parameters:
            raise DataError(
                f"{folder} holds demo data made with other parameters ({found})", "remove it, or choose another folder"
            )
    elif folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise DataError(f"{folder} exists and holds something else", "choose a new or an empty folder")
    else:
        write_json(marker, parameters)


def plan(images: int, seed: int) -> list[Picture]:
    """Who is photographed where, and how often. Every subject has one class, and the classes come in turn."""
    random = np.random.default_rng([seed, 0])
    pictures: list[Picture] = []
    number = 0
    while len(pictures) < images:
        subject, site = draw_subject(random), SITES[int(random.integers(len(SITES)))]
        for _ in range(int(random.integers(IMAGES_PER_SUBJECT[0], IMAGES_PER_SUBJECT[1] + 1))):
            kind = CLASSES[number % len(CLASSES)]
            pictures.append(Picture(len(pictures), kind, f"subject-{number:04d}", site, subject))
        number += 1
    return pictures[:images]


def photograph(picture: Picture, seed: int) -> Photograph:
    """One image with its mask. Depends on the image and the seed only, not on what was drawn before."""
    random = np.random.default_rng([seed, 1, picture.number])
    site = picture.site
    size = site.sizes[int(random.integers(len(site.sizes)))]
    drawing = draw_scene(picture.kind, picture.subject, site, size, random)
    pixels = _exposed(drawing.scene, size, site.noise * random.uniform(0.6, 1.6), random)
    orientation = _TURNS[int(random.integers(len(_TURNS)))] if random.random() < TURNED_SHARE else 1
    if orientation != 1:
        pixels = np.ascontiguousarray(upright(pixels, _UNDO[orientation]))
    jpeg: bytes = simplejpeg.encode_jpeg(pixels, quality=int(random.integers(72, 94)), colorspace="RGB")
    jpeg = with_orientation(jpeg, orientation) if orientation != 1 else jpeg
    return Photograph(jpeg, None if drawing.mark is None else _png(drawing.mark))


def _png(mark: Mask) -> bytes:
    """One bit a pixel: 0 outside, 255 inside."""
    encoded, data = cv2.imencode(".png", mark.astype(np.uint8) * 255, [cv2.IMWRITE_PNG_BILEVEL, 1])
    if not encoded:
        raise RuntimeError("OpenCV has no PNG encoder")
    return data.tobytes()


def _exposed(scene: Scene, size: tuple[int, int], noise: float, random: Random) -> npt.NDArray[np.uint8]:
    """The camera: a little out of focus or shaken, 8 bits, scaled to ``size`` (w, h), with grain."""
    side = min(scene.shape[:2])
    if random.random() < 0.25:
        scene = _shaken(scene, side * random.uniform(0.004, 0.012), random.uniform(0, math.pi))
    scene = np.asarray(cv2.GaussianBlur(scene, (0, 0), side * random.uniform(0.0015, 0.005)), np.float32)
    pixels = cv2.resize(np.asarray(np.clip(scene * 255 + 0.5, 0, 255), np.uint8), size, interpolation=cv2.INTER_CUBIC)
    grain = cv2.merge([_grain((size[1], size[0]), noise, random)] * 3)
    colour = cv2.merge([_grain((size[1] // 2, size[0] // 2), noise, random) for _ in range(3)])
    grain = cv2.add(grain, cv2.resize(colour, size, interpolation=cv2.INTER_LINEAR))
    return np.asarray(cv2.add(pixels, grain, dtype=cv2.CV_8U), np.uint8)


def _grain(shape: tuple[int, int], noise: float, random: Random) -> npt.NDArray[np.int16]:
    """Noise ``[H,W]`` of deviation ``255 × noise``: the difference of two dice, far quicker than a normal variable."""
    dice = random.integers(0, 256, (2, *shape), np.uint8)
    difference = cv2.subtract(dice[0], dice[1], dtype=cv2.CV_16S)
    return np.asarray(difference * np.float32(255 * noise / DICE_DEVIATION), np.int16)


def _shaken(pixels: Scene, length: float, angle: float) -> Scene:
    """Motion blur along a line of ``length`` pixels."""
    side = 2 * math.ceil(length) + 1
    kernel = np.zeros((side, side), np.float32)
    reach = np.array([math.cos(angle), math.sin(angle)]) * length / 2
    middle = side // 2
    start, end = np.rint((middle - reach) * 16).astype(int), np.rint((middle + reach) * 16).astype(int)
    cv2.line(kernel, start.tolist(), end.tolist(), 1.0, 1, cv2.LINE_AA, shift=4)
    return np.asarray(cv2.filter2D(pixels, -1, kernel / max(1e-6, float(kernel.sum()))), np.float32)


def with_orientation(jpeg: bytes, orientation: int) -> bytes:
    """Insert an EXIF APP1 segment that holds nothing but the orientation (CIPA DC-008, tag 0x0112)."""
    tiff = b"II*\0" + struct.pack("<IHHHIHHI", 8, 1, 0x0112, 3, 1, orientation, 0, 0)
    segment = b"Exif\0\0" + tiff
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(segment) + 2) + segment + jpeg[2:]


def _table(pictures: list[Picture]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["image", "label", "group", "site"])
    for picture in pictures:
        writer.writerow([picture.path, picture.kind, picture.group, picture.site.name])
    return text.getvalue()
