"""``export-images``: the pictures of an ``.npz`` as PNG files, so that the device's runtime can classify them."""

from __future__ import annotations

from pathlib import Path

import cv2

from runtime import atomic
from train.config import DataConfig
from train.data import load_data
from train.errors import DataError


def export_images(data_path: Path, part: str, out: Path) -> int:
    """Write ``out/00000.png`` … (lossless, in the set's order: ``00017.png`` is sample ``part/00017``); their count.

    The folder appears whole or not at all. Raises DataError: not an npz, no such part, a folder in use.
    """
    data = load_data(data_path, DataConfig())
    chosen = [sample for sample in data.samples if sample.split == part]
    if data_path.suffix.lower() != ".npz":
        raise DataError(f"{data_path.name} is not an .npz", "its images are files already: give them to the runtime")
    if not chosen:
        raise DataError(f"{data_path.name} has no {part} images", "choose another --split")
    try:
        with atomic.folder(out) as folder:
            for sample in chosen:
                pixels = data.read(sample)
                if isinstance(pixels, bytes):
                    raise TypeError("an npz gives arrays")
                bgr = pixels if pixels.ndim == 2 else cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR)
                (folder / f"{sample.id.rpartition('/')[2]}.png").write_bytes(cv2.imencode(".png", bgr)[1].tobytes())
    except FileExistsError as error:
        raise DataError(f"{out} exists and is not empty", "choose another --out, or remove the folder first") from error
    return len(chosen)
