"""MedMNIST-style ``.npz``: ``{train,val,test}_images`` uint8 ``[n,H,W]`` or ``[n,H,W,3]``, ``…_labels`` ``[n]`` or
``[n,1]`` (Yang et al., MedMNIST v2, Scientific Data 2023)."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from train.config import DataConfig
from train.errors import DataError
from train.samples import PARTS, ArrayDataSet, DataSet, Image, Sample, indexed


def load_npz(path: Path, config: DataConfig) -> DataSet:
    """Read all parts into memory. Raises DataError: not an npz, arrays missing or of the wrong shape or type."""
    arrays = _arrays(path)
    images: dict[str, Image] = {}
    labels: dict[str, str] = {}
    for part in PARTS:
        if f"{part}_images" not in arrays:
            continue
        pixels, marks = _checked(arrays, part, path.name)
        for index, (picture, mark) in enumerate(zip(pixels, marks, strict=True)):
            sample = f"{part}/{index:05d}"
            images[sample], labels[sample] = picture, str(mark)
    if not any(sample.startswith("train/") for sample in images):
        raise DataError(f"{path.name} has no train_images", "it needs {train,val,test}_images and …_labels")
    classes, index_of = indexed(labels, config, path.name)
    samples = tuple(Sample(sample, index_of[sample], split=sample.partition("/")[0]) for sample in images)
    return ArrayDataSet(path.name, classes, samples, images)


def _arrays(path: Path) -> dict[str, npt.NDArray[Any]]:
    try:
        # np.load leaves a file of its own open when the archive is broken.
        with path.open("rb") as handle, np.load(handle, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except (OSError, ValueError, zipfile.BadZipFile, EOFError) as error:
        raise DataError(f"{path.name} cannot be read as .npz: {error}", "download or copy it again") from error


def _checked(arrays: dict[str, npt.NDArray[Any]], part: str, name: str) -> tuple[Image, npt.NDArray[np.int64]]:
    """Images and integer labels ``[n]`` of one part."""
    pixels, marks = arrays[f"{part}_images"], arrays.get(f"{part}_labels")
    grey_or_rgb = pixels.ndim == 3 or (pixels.ndim == 4 and pixels.shape[3] == 3)
    if pixels.dtype != np.uint8 or not grey_or_rgb or 0 in pixels.shape[1:]:
        raise DataError(
            f"{name}: {part}_images is {pixels.dtype} {list(pixels.shape)}", "uint8 [n,H,W] or [n,H,W,3] is read"
        )
    if marks is None or marks.shape not in ((len(pixels),), (len(pixels), 1)) or marks.dtype.kind not in "iu":
        shape = "missing" if marks is None else f"{marks.dtype} {list(marks.shape)}"
        raise DataError(f"{name}: {part}_labels is {shape}", f"integers [{len(pixels)}] or [{len(pixels)},1] are read")
    return pixels, marks.reshape(-1).astype(np.int64)
