"""A DICOM file's bytes to pixels: parse, unpack, and the grey levels or colours that the file or a model asks for.

Runs in decoder_process.py only. Whatever pydicom or a decoder raises on damage becomes an ImageError that quotes
nothing of the file: what stands in a damaged header may be anybody's name.
"""

from __future__ import annotations

import logging
import struct
import warnings
import zlib
from collections.abc import Callable
from io import BytesIO
from typing import Any, TypeVar

import numpy.typing as npt
from pydicom import config, dcmread
from pydicom.dataset import Dataset

from fieldlens.runtime.errors import ImageError
from fieldlens.runtime.pixels.formats.dicom.colour import in_rgb, through_palette
from fieldlens.runtime.pixels.formats.dicom.facts import StoredLayout, identity_of, layout_of, warnings_of
from fieldlens.runtime.pixels.formats.dicom.grey import grey_levels, in_own_units, reflected
from fieldlens.runtime.pixels.formats.dicom.stored import stored_values
from fieldlens.runtime.pixels.formats.dicom.syntaxes import JPEG_2000

T = TypeVar("T")
_BYTES, _WAVELET_BYTES = 12, 16
"""Per sample, while a frame is decoded: stored, as its decoder holds it, in its own units, as it is handed on."""
warnings.simplefilter("ignore")
logging.getLogger("pydicom").setLevel(logging.CRITICAL)
config.settings.reading_validation_mode = config.IGNORE


class DicomFile:
    """One parsed file. Raises ImageError: damaged. ``identity``: see facts.identity_of."""

    def __init__(self, data: bytes | memoryview, name: str) -> None:
        self._dataset = _guarded(name, lambda: _parsed(data))
        self.identity: dict[str, Any] = _guarded(name, lambda: identity_of(self._dataset))

    def facts(self, name: str) -> dict[str, Any]:
        """What the parent process has to know before it asks for pixels. Raises ImageError."""
        layout = self._whole(name)
        return {
            "width": layout.columns,
            "height": layout.rows,
            "bits": layout.bits,
            "channels": 3 if layout.samples == 3 or layout.photometric == "PALETTE COLOR" else 1,
            "frames": layout.frames,
            "sample_bytes": _WAVELET_BYTES if layout.syntax in JPEG_2000 else _BYTES,
            "warnings": _guarded(name, lambda: warnings_of(self._dataset)),
        }

    def pixels(self, name: str, frame: int, level: float | None) -> npt.NDArray[Any]:
        """Frame ``frame`` (from 0). ``level`` None: uint8 grey ``[H,W]`` or RGB ``[H,W,3]`` as the file wants to be
        shown. Else grey in the file's own units, for a window of that level. Raises ImageError."""
        layout = self._whole(name)
        return _guarded(name, lambda: self._pixels(layout, name, frame, level))

    def _pixels(self, layout: StoredLayout, name: str, frame: int, level: float | None) -> npt.NDArray[Any]:
        stored = stored_values(self._dataset, layout, frame, name)
        if layout.photometric == "PALETTE COLOR":
            return through_palette(stored, self._dataset, name)
        if layout.samples == 3:
            return in_rgb(stored, layout)
        values = in_own_units(stored, self._dataset, frame, name)
        del stored
        if level is None:
            return grey_levels(values, self._dataset, layout, frame, name)
        return reflected(values, level) if layout.photometric == "MONOCHROME1" else values

    def _whole(self, name: str) -> StoredLayout:
        return _guarded(name, lambda: layout_of(self._dataset, name))


def _parsed(data: bytes | memoryview) -> Dataset:
    dataset = dcmread(BytesIO(data))
    if "PixelData" in dataset:
        dataset["PixelData"]  # the first look turns the raw element into a value
    return dataset


_DAMAGE = (
    ArithmeticError, AssertionError, AttributeError, EOFError, LookupError, NotImplementedError, OSError,
    RecursionError, RuntimeError, TypeError, ValueError, struct.error, zlib.error,
)  # fmt: skip


def _guarded(name: str, work: Callable[[], T]) -> T:
    """The result of ``work``; what damage makes the libraries raise becomes an ImageError."""
    try:
        return work()
    except (ImageError, MemoryError):
        raise
    except _DAMAGE as error:
        kind = type(error).__name__
        raise ImageError(f"{name}: truncated or corrupt DICOM file ({kind})", "take or export it again") from error
