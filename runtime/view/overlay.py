"""Annotated images in a folder: each with its heat map and its outcome."""

from __future__ import annotations

import errno
import os
import re
from pathlib import Path

import numpy as np
import simplejpeg

from fieldlens.runtime.classifier import Classifier
from fieldlens.runtime.errors import OutputError
from fieldlens.runtime.files import atomic
from fieldlens.runtime.output.sinks import Sink
from fieldlens.runtime.prediction import Prediction, Result
from fieldlens.runtime.prepare import Prepared

_LONGEST_NAME = 200
"""Bytes of an overlay's name, before its number and ending; file systems take 255."""


class OverlaySink(Sink):
    """A JPEG per image in a folder, named after its source. ``goes_on``: what earlier runs left there stays, and a name
    that is taken gets a number; otherwise a run over the same images writes the same files again."""

    def __init__(self, folder: Path, classifier: Classifier, *, goes_on: bool = False) -> None:
        self._folder = folder
        self._classifier = classifier
        self._goes_on = goes_on
        self._names: set[str] = set()
        self._last: dict[str, int] = {}
        self._series: dict[str, str] = {}
        try:
            atomic.make_folder(folder)
            if not os.access(folder, os.W_OK | os.X_OK):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        except OSError as error:
            raise OutputError(f"{folder}: cannot be written ({error.strerror})", "choose another place") from error

    def write(self, result: Result) -> None:
        """Results without an image have no overlay."""

    def picture(self, prediction: Prediction, prepared: Prepared) -> Path:
        """Draw and store one image; its path."""
        image = prediction.overlay(self._classifier.preprocess.view(prepared.pixels_rgb))
        path = self._folder / f"{self._name(prediction.source)}.jpg"
        data = simplejpeg.encode_jpeg(np.ascontiguousarray(image), quality=90, colorsubsampling="444")
        try:
            atomic.write_bytes(path, data)
        except OSError as error:
            raise OutputError(
                f"{path}: {error.strerror}", f"make room, or choose another place: df -h '{self._folder}'"
            ) from error
        return path

    def _name(self, source: str) -> str:
        """A file name that is safe and not taken yet. Frames have their source's name and their number: nothing to
        remember for each.
        """
        whole, _, number = source.rpartition("#")
        if not (whole and number.isdecimal()):
            return self._taken(_safe(Path(source).stem))
        if whole not in self._series:
            self._series[whole] = self._taken(_safe(Path(whole).name), on_disk=False)
        return self._free(f"{self._series[whole]}_{number}")[0]

    def _taken(self, stem: str, *, on_disk: bool = True) -> str:
        """A free name, which no other source gets."""
        name, self._last[stem] = self._free(stem, on_disk=on_disk)
        self._names.add(name.casefold())  # a memory card may take A for a
        return name

    def _free(self, stem: str, *, on_disk: bool = True) -> tuple[str, int]:
        """The name, with a number where it is taken; the number."""
        name, number = stem, self._last.get(stem, 1)
        while name.casefold() in self._names or (
            on_disk and self._goes_on and os.path.lexists(self._folder / f"{name}.jpg")
        ):
            number += 1
            name = f"{stem}-{number}"
        return name, number

    def close(self) -> None:
        """Every image is stored already."""


def _safe(name: str) -> str:
    """A byte that is not UTF-8 becomes ``%XX``, and no other ``%`` is left; every other odd sign is ``_``."""
    parts = re.split("([\udc80-\udcff])", name)
    named = (f"%{ord(p) - 0xDC00:02X}" if n % 2 else re.sub(r"[^\w.-]+", "_", p) for n, p in enumerate(parts))
    stem = "".join(named) or "image"
    return re.sub("%.?$", "", stem.encode()[:_LONGEST_NAME].decode(errors="ignore"))
