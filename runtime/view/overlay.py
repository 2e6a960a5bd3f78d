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
    """A JPEG per image in a folder, named after its source."""

    def __init__(self, folder: Path, classifier: Classifier) -> None:
        self._folder = folder
        self._classifier = classifier
        self._names: set[str] = set()
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
        """A file name that is safe and not taken yet. A camera's frames are numbered: nothing to remember.

        A byte that is not UTF-8 becomes ``%XX``, and no other ``%`` is left.
        """
        path = Path(source)
        stem = path.stem if "#" not in path.name else path.name.replace("#", "_")
        parts = re.split("([\udc80-\udcff])", stem)
        named = (f"%{ord(p) - 0xDC00:02X}" if n % 2 else re.sub(r"[^\w.-]+", "_", p) for n, p in enumerate(parts))
        stem = "".join(named) or "image"
        stem = re.sub("%.?$", "", stem.encode()[:_LONGEST_NAME].decode(errors="ignore"))
        name, number = stem, 2
        while name in self._names:
            name, number = f"{stem}-{number}", number + 1
        if "#" not in source:
            self._names.add(name)
        return name

    def close(self) -> None:
        """Every image is stored already."""
