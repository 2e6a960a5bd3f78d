"""What a source gives, one by one: a file to read, an encoded image, a frame, a camera's news, or what went wrong."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from fieldlens.runtime.errors import ImageError, KitError, SourceError
from fieldlens.runtime.files.private_names import PrivateNames
from fieldlens.runtime.pixels import dicom_file
from fieldlens.runtime.pixels.formats.dicom.address import is_dicom, lacks_header
from fieldlens.runtime.pixels.preprocess import Pixels
from fieldlens.runtime.prediction import Failure, Notice
from fieldlens.runtime.sources.regular import read_image
from fieldlens.runtime.sources.timing import Timing


def _nobody() -> None:
    """Only a camera wants to know."""


@dataclass(frozen=True)
class File:
    """An image's file that is not read yet."""

    source: str
    path: Path


@dataclass(frozen=True)
class Encoded:
    """An image as its file or its camera has it. ``refuse`` tells a camera that it could not be decoded."""

    source: str
    data: bytes
    timing: Timing = field(default_factory=Timing)
    refuse: Callable[[], None] = _nobody


@dataclass(frozen=True)
class Frame:
    """Pixels from a camera or a video, uint8 BGR ``[H,W,3]``; how long they stay valid is the source's to say."""

    source: str
    frame_bgr: Pixels
    timing: Timing = field(default_factory=Timing)
    refuse: Callable[[], None] = _nobody


@dataclass(frozen=True)
class News:
    """A camera was lost, or is back."""

    notice: Notice


@dataclass(frozen=True)
class Broken:
    """What should have been an image, and why it is none. ``instead_of``: the item's name, where it is not written."""

    source: str
    error: KitError
    instead_of: str = field(default="", repr=False)

    @property
    def failure(self) -> Failure:
        """As a run's result."""
        return Failure(self.source, self.error.message, self.error.hint)


Item = File | Encoded | Frame | News | Broken
ReadItem = Encoded | Frame | News | Broken
"""An item with its file read."""


def unexpected(source: str, error: Exception) -> ImageError:
    """What no part of the kit has foreseen, as one item's error."""
    reason = f"{source}: an error of the program ({type(error).__name__}: {error})"
    return ImageError(reason, "keep the file, and report it with this line")


def loaded(item: Item) -> ReadItem:
    """The item with its file read, timed; a file that cannot be read is Broken."""
    if not isinstance(item, File):
        return item
    began = time.perf_counter()
    try:
        data = read_image(item.path)
    except SourceError as error:
        own, shown = str(item.path), item.source  # another one where the path may name a patient
        return Broken(shown, SourceError(error.message.replace(own, shown), error.hint.replace(own, shown)))
    except Exception as error:  # noqa: BLE001  (whatever one file does, the next one gets its answer)
        return Broken(item.source, unexpected(item.source, error))
    if is_dicom(data) or lacks_header(data):  # named as another format, so that nobody has looked whose it is
        hidden = _without_patient(item.source, data)
        message = f"{hidden}: a DICOM file by the name of another format"
        return Broken(hidden, ImageError(message, "rename it to end in .dcm"), instead_of=item.source)
    return Encoded(item.source, data, Timing(began, (time.perf_counter() - began) * 1e3))


def _without_patient(source: str, data: bytes) -> str:
    """The name of a DICOM file, as far as it carries nobody."""
    _, owner = dicom_file.look(data, source)
    names = PrivateNames()
    return names.path(source, owner.words) if owner is not None and owner.certain else names.whole(source)
