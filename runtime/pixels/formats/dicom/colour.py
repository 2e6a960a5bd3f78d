"""Palettes and luminance with two chrominances to RGB (PS3.3, C.7.6.3.1.2 and C.7.9)."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset

from fieldlens.runtime.errors import ImageError
from fieldlens.runtime.pixels.formats.dicom.facts import StoredLayout
from fieldlens.runtime.pixels.formats.dicom.stored import Values, turned

_BAND = 64
_TO_RGB = np.array([[1.0, 0.0, 1.402], [1.0, -0.114 * 1.772 / 0.587, -0.299 * 1.402 / 0.587], [1.0, 1.772, 0.0]])
"""BT.601 in full range, as C.7.6.3.1.2 has it the other way round."""


def in_rgb(values: Values, layout: StoredLayout) -> npt.NDArray[np.uint8]:
    """uint8 RGB ``[H,W,3]`` from three samples per pixel."""
    if layout.bits > 8:
        values = (values >> (layout.bits - 8)).astype(np.uint8)
    elif layout.bits < 8:
        values = np.rint(values * (255.0 / ((1 << layout.bits) - 1))).astype(np.uint8)
    values = values.astype(np.uint8, copy=False)
    return values if turned(layout) else _from_ybr(values)


def _from_ybr(values: Values) -> npt.NDArray[np.uint8]:
    result = np.empty(values.shape, np.uint8)
    for top in range(0, len(values), _BAND):
        parts = values[top : top + _BAND].astype(np.float64) - (0.0, 128.0, 128.0)
        result[top : top + _BAND] = np.rint(parts @ _TO_RGB.T).clip(0, 255)
    return result


def through_palette(values: Values, dataset: Dataset, name: str) -> npt.NDArray[np.uint8]:
    """uint8 RGB ``[H,W,3]`` of a palette's colours. Raises ImageError: damaged, or a kind that is not read."""
    channels = []
    for colour in ("Red", "Green", "Blue"):
        if f"Segmented{colour}PaletteColorLookupTableData" in dataset:
            raise ImageError(f"{name}: a DICOM image with a segmented palette", "export it as RGB")
        levels, first, bits = _table(dataset, colour, name)
        places = np.clip(values.astype(np.int32) - first, 0, len(levels) - 1)
        channels.append((levels >> (bits - 8)).astype(np.uint8)[places])
    return np.stack(channels, axis=-1)


def _table(dataset: Dataset, colour: str, name: str) -> tuple[npt.NDArray[Any], int, int]:
    described = dataset.get(f"{colour}PaletteColorLookupTableDescriptor")
    data = dataset.get(f"{colour}PaletteColorLookupTableData")
    if described is None or data is None or len(described) != 3:
        raise ImageError(f"{name}: corrupt DICOM file (its palette is missing)", "take or export it again")
    entries, first, bits = (int(number) for number in described)
    entries = entries or 65_536
    wide = len(data) >= 2 * entries  # entries of 8 bits may take a byte each, or two
    little = getattr(dataset, "original_encoding", (None, True))[1] is not False
    levels = np.frombuffer(data, ("<u2" if little else ">u2") if wide else "u1")[:entries].astype(np.uint16)
    if bits not in (8, 16) or len(levels) < entries:
        raise ImageError(f"{name}: corrupt DICOM file (a palette of {len(levels)} entries)", "take or export it again")
    if bits == 16 and not wide:
        bits = 8
    return levels, first, bits
