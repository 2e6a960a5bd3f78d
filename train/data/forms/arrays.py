"""MedMNIST-style ``.npz``: ``{train,val,test}_images`` uint8 ``[n,H,W]`` or ``[n,H,W,3]``, ``…_labels`` ``[n]`` or
``[n,1]``, ``[n,L]`` of 0 and 1 where an image may have several (Yang et al., MedMNIST v2, Scientific Data 2023)."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fieldlens.train.config import DataConfig
from fieldlens.train.data.labels import Found, LabelReader
from fieldlens.train.data.samples import PARTS, Image
from fieldlens.train.errors import DataError


def read_npz(path: Path, config: DataConfig) -> tuple[LabelReader, dict[str, Image]]:
    """Read all parts into memory: what they say, and the pixels by sample id.

    Raises DataError: not an npz, arrays missing or of the wrong shape or type.
    """
    arrays = _arrays(path)
    images: dict[str, Image] = {}
    reading = LabelReader()
    for part in PARTS:
        if f"{part}_images" not in arrays:
            continue
        pixels, rows = _checked(arrays, part, path.name, config.task == "multilabel")
        for index, (picture, row) in enumerate(zip(pixels, rows, strict=True)):
            sample = f"{part}/{index:05d}"
            images[sample] = picture
            reading.found[sample] = Found(_words(row, config), split=part)
    if not any(sample.startswith("train/") for sample in images):
        raise DataError(f"{path.name} has no train_images", "it needs {train,val,test}_images and …_labels")
    return reading, images


def _words(row: npt.NDArray[np.int64], config: DataConfig) -> tuple[str, ...]:
    """The class as written, or (where there may be several) the columns that are set, by class or by number."""
    if row.ndim == 0:
        return (str(row),)
    return tuple(config.classes[column] if config.classes else str(column) for column in np.flatnonzero(row))


def _arrays(path: Path) -> dict[str, npt.NDArray[Any]]:
    try:
        # np.load leaves a file of its own open when the archive is broken.
        with path.open("rb") as handle, np.load(handle, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except (OSError, ValueError, zipfile.BadZipFile, EOFError) as error:
        raise DataError(f"{path.name} cannot be read as .npz: {error}", "download or copy it again") from error


def _checked(
    arrays: dict[str, npt.NDArray[Any]], part: str, name: str, several: bool
) -> tuple[Image, npt.NDArray[np.int64]]:
    """Images and integer labels of one part: ``[n]``, or ``[n,L]`` of 0 and 1 where there may be several."""
    pixels, marks = arrays[f"{part}_images"], arrays.get(f"{part}_labels")
    grey_or_rgb = pixels.ndim == 3 or (pixels.ndim == 4 and pixels.shape[3] == 3)
    if pixels.dtype != np.uint8 or not grey_or_rgb or 0 in pixels.shape[1:]:
        raise DataError(
            f"{name}: {part}_images is {pixels.dtype} {list(pixels.shape)}", "uint8 [n,H,W] or [n,H,W,3] is read"
        )
    n = len(pixels)
    if marks is not None and marks.dtype.kind in "iu":
        if several and marks.ndim == 2 and len(marks) == n and set(np.unique(marks)) <= {0, 1}:
            return pixels, marks.astype(np.int64)
        if not several and marks.shape in ((n,), (n, 1)):
            return pixels, marks.reshape(-1).astype(np.int64)
    shape = "missing" if marks is None else f"{marks.dtype} {list(marks.shape)}"
    wanted = f"[{n},L] of 0 and 1" if several else f"[{n}] or [{n},1]"
    raise DataError(f"{name}: {part}_labels is {shape}", f"integers {wanted} are read")
