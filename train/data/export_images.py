"""``export-images``: the images of an ``.npz`` as files with a table of labels, for runtime and benchmarks."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import cv2
import numpy as np

from fieldlens.runtime.files import atomic
from fieldlens.train.config import DataConfig
from fieldlens.train.data.load import load_data
from fieldlens.train.data.samples import Image, label_name
from fieldlens.train.errors import DataError

PHOTOGRAPH = (640, 480)
"""Width and height of what a camera gives, for ``--photographs``."""
_QUALITY = 90


def export_images(data_path: Path, part: str, out: Path, photographs: bool = False) -> int:
    """Write ``out/00000.png`` … (lossless, in the set's order: ``00017.png`` is sample ``part/00017``); their count.

    ``photographs``: as a camera would send them instead, JPEG 640×480 with the image enlarged in the middle. Beside
    them ``labels.csv`` (``image``, ``label`` as the set writes it). The folder appears whole or not at all.
    Raises DataError: not an npz, no such part, a folder in use.
    """
    data = load_data(data_path, DataConfig())
    chosen = [sample for sample in data.samples if sample.split == part]
    if data_path.suffix.lower() != ".npz":
        raise DataError(f"{data_path.name} is not an .npz", "its images are files already: give them to the runtime")
    if not chosen:
        raise DataError(f"{data_path.name} has no {part} images", "choose another --split")
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(["image", "label"])
    try:
        with atomic.folder(out) as folder:
            for sample in chosen:
                pixels = data.read(sample)
                if isinstance(pixels, bytes):
                    raise TypeError("an npz gives arrays")
                name = sample.id.rpartition("/")[2] + (".jpg" if photographs else ".png")
                (folder / name).write_bytes(_encoded(pixels, photographs))
                writer.writerow([name, label_name(sample.label, data.classes)])
            (folder / "labels.csv").write_text(table.getvalue(), encoding="utf-8")
    except FileExistsError as error:
        raise DataError(f"{out} exists and is not empty", "choose another --out, or remove the folder first") from error
    return len(chosen)


def _encoded(pixels: Image, photograph: bool) -> bytes:
    """Grey ``[H,W]`` or RGB ``[H,W,3]`` → PNG, or JPEG (4:2:0) of a frame with the image as large as it fits."""
    bgr = cv2.cvtColor(pixels, cv2.COLOR_GRAY2BGR if pixels.ndim == 2 else cv2.COLOR_RGB2BGR)
    if not photograph:
        return cv2.imencode(".png", bgr if pixels.ndim == 3 else pixels)[1].tobytes()
    width, height = PHOTOGRAPH
    scale = min(width / bgr.shape[1], height / bgr.shape[0])
    size = round(bgr.shape[1] * scale), round(bgr.shape[0] * scale)
    left, top = (width - size[0]) // 2, (height - size[1]) // 2
    frame = np.zeros((height, width, 3), np.uint8)
    frame[top : top + size[1], left : left + size[0]] = cv2.resize(bgr, size, interpolation=cv2.INTER_CUBIC)
    return cv2.imencode(".jpg", frame, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])[1].tobytes()
