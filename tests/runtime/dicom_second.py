"""A second reader of DICOM, to compare with: GDCM unpacks, pydicom applies the LUTs. None of it is the kit's code."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pydicom

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # SWIG's types have no module
    import gdcm

from pydicom.dataset import Dataset
from pydicom.pixels.processing import apply_color_lut, apply_modality_lut, apply_voi_lut, convert_color_space

Pixels = npt.NDArray[Any]
ROOT = Path(str(pydicom.__file__)).parent / "data" / "test_files"
_TYPES = {gdcm.PixelFormat.UINT8: "u1", gdcm.PixelFormat.INT8: "i1", gdcm.PixelFormat.UINT16: "u2",
          gdcm.PixelFormat.INT16: "i2", gdcm.PixelFormat.UINT12: "u2", gdcm.PixelFormat.INT12: "i2"}  # fmt: skip


def shipped(name: str) -> Path:
    """A file of pydicom's own package."""
    return ROOT / name


def parsed(path: Path) -> Dataset:
    """What pydicom reads, without its warnings: some of its own files have faults on purpose."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pydicom.dcmread(path)


def unpacked(path: Path, frame: int = 0) -> Pixels:
    """GDCM's values of one frame, ``[H,W]`` or ``[H,W,3]`` in the file's colours."""
    reader = gdcm.ImageReader()
    reader.SetFileName(str(path))
    assert reader.Read(), f"GDCM does not read {path.name}"
    image = reader.GetImage()
    data = image.GetBuffer().encode("utf-8", "surrogateescape")
    width, height = image.GetDimensions()[:2]
    samples = image.GetPixelFormat().GetSamplesPerPixel()
    values = np.frombuffer(data, _TYPES[image.GetPixelFormat().GetScalarType()])
    values = values.reshape(-1, height, width) if samples == 1 else values.reshape(-1, height * width * samples)
    if samples == 1:
        return values[frame]
    if image.GetPlanarConfiguration():
        return values[frame].reshape(samples, height, width).transpose(1, 2, 0)
    return values[frame].reshape(height, width, samples)


def in_units(path: Path) -> Pixels:
    """Grey in the file's own units."""
    return apply_modality_lut(unpacked(path), parsed(path))


def as_shown(path: Path, frame: int = 0) -> npt.NDArray[np.uint8]:
    """uint8, as the file wants to be shown: grey ``[H,W]`` or RGB ``[H,W,3]``."""
    dataset = parsed(path)
    values = unpacked(path, frame)
    photometric = dataset.PhotometricInterpretation
    if photometric == "PALETTE COLOR":
        return (apply_color_lut(values, dataset) >> 8).astype(np.uint8)
    if values.ndim == 3:
        return _colours(values, dataset)
    values = apply_modality_lut(values, dataset)
    if "WindowCenter" in dataset or "VOILUTSequence" in dataset:
        signed = dataset.PixelRepresentation == 1
        shown = apply_voi_lut(values, dataset).astype(np.float64)
        if "VOILUTSequence" in dataset:
            bits = dataset.VOILUTSequence[0].LUTDescriptor[2]
            low, high = 0.0, float(2**bits - 1)
        elif "RescaleSlope" in dataset:  # pydicom maps a window to the range of the rescaled values
            ends = np.array([-(2 ** (dataset.BitsStored - 1)), 2 ** (dataset.BitsStored - 1) - 1])
            ends = ends if signed else np.array([0, 2**dataset.BitsStored - 1])
            low, high = (ends * float(dataset.RescaleSlope) + float(dataset.RescaleIntercept)).tolist()
        else:
            low, high = (-(2.0 ** (dataset.BitsStored - 1)), 2.0 ** (dataset.BitsStored - 1) - 1) if signed else (
                0.0, 2.0**dataset.BitsStored - 1)  # fmt: skip
        values = np.rint((shown - low) * (255.0 / (high - low))).astype(np.uint8)
    return (255 - values if photometric == "MONOCHROME1" else values).astype(np.uint8)


def _colours(values: Pixels, dataset: Dataset) -> npt.NDArray[np.uint8]:
    if dataset.BitsStored > 8:
        values = (values >> (dataset.BitsStored - 8)).astype(np.uint8)
    if dataset.PhotometricInterpretation in ("YBR_FULL", "YBR_FULL_422"):
        return convert_color_space(values, "YBR_FULL", "RGB")
    return values.astype(np.uint8)
