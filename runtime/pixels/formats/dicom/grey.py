"""From stored values to the file's own units and to grey levels: modality LUT, rescale, VOI LUT, window (PS3.3, C.11).

Enhanced multi-frame files say these for each frame; what a frame says counts before what the whole file says.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset

from fieldlens.runtime.errors import ImageError
from fieldlens.runtime.pixels.formats.dicom.facts import StoredLayout

Values = npt.NDArray[Any]
_BAND = 262_144
"""Pixels at a time: whole images as float64 would be the largest thing in memory."""
_SHORT = 32_767


class FileWindow(NamedTuple):
    """A window of the file: centre, width and function (PS3.3, C.11.2.1.2)."""

    centre: float
    width: float
    function: str


def in_own_units(stored: Values, dataset: Dataset, frame: int, name: str) -> Values:
    """Modality LUT or rescale: int16 where that holds all values, else float32 ``[H,W]``. Raises ImageError."""
    if lut := _sequence(dataset, frame, "ModalityLUTSequence", ()):
        return _looked_up(stored, _lut_of(lut[0], stored, name)[0])
    slope, intercept = _rescale(dataset, frame, name)
    if (slope, intercept) == (1.0, 0.0):
        return stored
    ends = [int(stored.min()) * slope + intercept, int(stored.max()) * slope + intercept]
    whole = slope.is_integer() and intercept.is_integer() and max(map(abs, ends)) <= _SHORT
    result = np.empty(stored.shape, np.int16 if whole else np.float32)
    for band in _bands(stored):
        result[band] = stored[band].astype(np.float64) * slope + intercept
    return result


def reflected(values: Values, level: float) -> Values:
    """MONOCHROME1 for whoever puts a window of this level on it later: what was above the level is as far below."""
    result = np.empty(values.shape, np.float32)
    for band in _bands(values):
        result[band] = 2.0 * level - values[band].astype(np.float64)
    return result


def grey_levels(values: Values, dataset: Dataset, layout: StoredLayout, frame: int, name: str) -> npt.NDArray[np.uint8]:
    """The file's VOI LUT or its first window, uint8 ``[H,W]``; without either, 8-bit files as they are.

    Raises ImageError: more than 8 bits, and neither.
    """
    if lut := _sequence(dataset, frame, "VOILUTSequence", ("FrameVOILUTSequence",)):
        table, bits = _lut_of(lut[0], values, name)
        levels = _looked_up(np.rint(values).astype(np.int64) if values.dtype.kind == "f" else values, table)
        grey = np.rint(levels * (255.0 / ((1 << bits) - 1))).clip(0, 255).astype(np.uint8)
    elif window := _window(dataset, frame, name):
        grey = np.empty(values.shape, np.uint8)
        for band in _bands(values):
            grey[band] = np.rint(255.0 * _share(values[band].astype(np.float64), window))
    elif layout.bits <= 8 and not layout.signed and values.dtype == np.uint8:
        grey = values if layout.bits == 8 else np.rint(values * (255.0 / ((1 << layout.bits) - 1))).astype(np.uint8)
    else:
        raise ImageError(
            f"{name}: {layout.bits} bits per pixel, and neither the DICOM file nor this model has a grey-level window",
            "train with a window step, in the file's own units (CT: Hounsfield), or export the image with a window",
        )
    return 255 - grey if layout.photometric == "MONOCHROME1" else grey


def _share(values: Values, window: FileWindow) -> Values:
    """0 to 1, by C.11.2.1.2.1 (LINEAR), C.11.2.1.3.1 (SIGMOID) and C.11.2.1.3.2 (LINEAR_EXACT)."""
    centre, width = window.centre, window.width
    if window.function == "SIGMOID":
        return np.asarray(1.0 / (1.0 + np.exp(np.clip(-4.0 * (values - centre) / width, -700, 700))))
    if window.function == "LINEAR_EXACT":
        return np.asarray(np.clip((values - centre) / width + 0.5, 0.0, 1.0))
    if width <= 1.0:
        return np.asarray((values > centre - 0.5).astype(np.float64))
    return np.asarray(np.clip((values - (centre - 0.5)) / (width - 1.0) + 0.5, 0.0, 1.0))


def _window(dataset: Dataset, frame: int, name: str) -> FileWindow | None:
    """The first that the frame or the file has."""
    item = next(
        (item for item in _places(dataset, frame, ("FrameVOILUTSequence",)) if "WindowCenter" in item), Dataset()
    )
    centre, width = _first(item.get("WindowCenter")), _first(item.get("WindowWidth"))
    if centre is None or width is None:
        return None
    function = str(item.get("VOILUTFunction", "") or "LINEAR").strip().upper()
    least = 1.0 if function == "LINEAR" else 0.0
    if not (np.isfinite(centre) and np.isfinite(width)) or width < least or (width == 0):
        raise ImageError(f"{name}: corrupt DICOM file (a grey-level window of the width {width:g})", "export it again")
    if function not in ("LINEAR", "LINEAR_EXACT", "SIGMOID"):
        raise ImageError(f"{name}: a grey-level window of an unknown function", "export it with a linear window")
    return FileWindow(centre, width, function)


def _rescale(dataset: Dataset, frame: int, name: str) -> tuple[float, float]:
    for item in _places(dataset, frame, ("PixelValueTransformationSequence",)):
        if "RescaleSlope" in item or "RescaleIntercept" in item:
            slope, intercept = _first(item.get("RescaleSlope", 1)), _first(item.get("RescaleIntercept", 0))
            slope, intercept = 1.0 if slope is None else slope, 0.0 if intercept is None else intercept
            if not (np.isfinite(slope) and np.isfinite(intercept)) or slope == 0:
                raise ImageError(
                    f"{name}: corrupt DICOM file (its values are rescaled by {slope:g})", "export it again"
                )
            return slope, intercept
    return 1.0, 0.0


def _first(value: Any) -> float | None:
    """A number, or the first of several."""
    if value is None or value == "":
        return None
    several = not isinstance(value, str) and hasattr(value, "__len__")
    return (float(value[0]) if len(value) else None) if several else float(value)


def _places(dataset: Dataset, frame: int, inside: tuple[str, ...]) -> Iterator[Dataset]:
    """Where something may be said of a frame: its own functional group, the shared one, the file."""
    for keyword, place in (("PerFrameFunctionalGroupsSequence", frame), ("SharedFunctionalGroupsSequence", 0)):
        groups = dataset.get(keyword) or ()
        group = groups[place] if place < len(groups) else Dataset()
        for sequence in inside:
            yield from (group.get(sequence) or ())[:1]
    yield dataset


def _sequence(dataset: Dataset, frame: int, keyword: str, inside: tuple[str, ...]) -> Any:
    return next((found for item in _places(dataset, frame, inside) if (found := item.get(keyword))), ())


class _Lut(NamedTuple):
    first: int
    levels: Values


def _lut_of(item: Dataset, values: Values, name: str) -> tuple[_Lut, int]:
    """A LUT (PS3.3, C.11.1.1.1) and its bits. Raises ImageError: damaged."""
    entries, first, bits = (int(number) for number in item.LUTDescriptor)
    entries = entries or 65_536
    if first > _SHORT and values.dtype.kind == "i":  # read as unsigned where the pixels are signed
        first -= 65_536
    data = item.LUTData
    if isinstance(data, bytes):
        little = getattr(item, "original_encoding", (None, True))[1] is not False
        size = 1 if len(data) in (entries, entries + 1) and entries > 1 else 2
        levels: Values = np.frombuffer(data, "u1" if size == 1 else "<u2" if little else ">u2")
    else:
        levels = np.asarray([data] if isinstance(data, int) else list(data)).astype(np.uint16)
    if not 1 <= bits <= 16 or len(levels) < entries:
        raise ImageError(f"{name}: corrupt DICOM file (a lookup table of {len(levels)} entries)", "export it again")
    return _Lut(first, np.ascontiguousarray(levels[:entries])), bits


def _looked_up(values: Values, lut: _Lut) -> Values:
    places = np.clip(values.astype(np.int32) - lut.first, 0, len(lut.levels) - 1)
    return lut.levels[places]


def _bands(values: Values) -> Iterator[slice]:
    rows = max(1, _BAND // max(values.shape[1], 1))
    return (slice(top, top + rows) for top in range(0, len(values), rows))
