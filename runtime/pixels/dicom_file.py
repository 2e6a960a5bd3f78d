"""DICOM from this side: what is asked of the decoder process, which alone reads such files.

The libraries are an extra (``runtime/requirements-dicom.txt``); without them the first DICOM file says so.
"""

from __future__ import annotations

import functools
import importlib.util
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from fieldlens.runtime.errors import ImageError
from fieldlens.runtime.pixels import killable_decoder
from fieldlens.runtime.pixels.decode_limits import DecodeLimits, Work
from fieldlens.runtime.pixels.formats.dicom.address import frame_of

NEEDED = ("pydicom", "imagecodecs")
_LIMITS = DecodeLimits()


class NoDicomReaderError(ImageError):
    """The extra that reads DICOM is not installed here."""


@dataclass(frozen=True)
class DicomOwner:
    """Whose image it is, for grouping and for finding it in paths. Never written anywhere; not in a ``repr``."""

    patient: str = field(default="", repr=False)
    study: str = field(default="", repr=False)
    series: str = field(default="", repr=False)
    words: tuple[str, ...] = field(default=(), repr=False)

    @property
    def certain(self) -> bool:
        """Whether a damaged file still says who the patient is; else its name may be the only one that does."""
        return bool(self.patient)

    @property
    def group(self) -> str:
        """What belongs together: the patient; without one the study, then the series. Empty: nothing is said."""
        named = (("patient", self.patient), ("study", self.study), ("series", self.series))
        return next((f"{kind}:{word}" for kind, word in named if word), "")


@dataclass(frozen=True)
class Facts:
    """What a DICOM file says of itself. ``warnings``: ``burnt-in`` (writing in its pixels), ``secondary`` (a secondary
    capture). ``sample_bytes``: of memory, for each sample of a frame while it is decoded."""

    width: int
    height: int
    bits: int
    channels: int
    frames: int
    sample_bytes: int
    warnings: tuple[str, ...]


@functools.lru_cache(maxsize=1)
def _missing() -> str:
    return " and ".join(name for name in NEEDED if importlib.util.find_spec(name) is None)


def _ask(
    data: bytes, name: str, wanted: dict[str, Any], limits: DecodeLimits, memory_bytes: float
) -> tuple[dict[str, Any], npt.NDArray[Any] | None]:
    if missing := _missing():
        raise NoDicomReaderError(
            f"{name}: a DICOM file; reading it takes {missing}, not installed here",
            "pip install -r runtime/requirements-dicom.txt, or pip install 'fieldlens[dicom]'",
        )
    return killable_decoder.SHARED.dicom(
        data, name, wanted, seconds=limits.seconds, memory_bytes=max(int(memory_bytes), 0)
    )


def look(data: bytes, name: str, limits: DecodeLimits = _LIMITS) -> tuple[Facts | ImageError, DicomOwner | None]:
    """What the file says of itself (or why it is no image), and whose it is (None: that cannot be read)."""
    try:
        answer, _ = _ask(data, name, {}, limits, limits.image_bytes - len(data))
    except ImageError as error:
        return error, None
    found = answer.get("identity")
    identity = DicomOwner(found["patient"], found["study"], found["series"], tuple(found["words"])) if found else None
    if "error" in answer:
        return ImageError(answer["error"], answer["hint"]), identity
    named = {key: int(answer[key]) for key in ("width", "height", "bits", "channels", "frames", "sample_bytes")}
    return Facts(**named, warnings=tuple(answer["warnings"])), identity


def facts_of(data: bytes, name: str, limits: DecodeLimits = _LIMITS) -> Facts:
    """Raises ImageError: damaged, no image, or of a kind that is not read."""
    facts, _ = look(data, name, limits)
    if isinstance(facts, ImageError):
        raise facts
    return facts


def pixels_of(data: bytes, name: str, limits: DecodeLimits, level: float | None) -> npt.NDArray[Any]:
    """The frame that ``name`` means (``FILE#k``; a file of one frame needs no k), upright as the file has it.

    ``level`` None: uint8 grey ``[H,W]`` or RGB ``[H,W,3]`` as the file says that it is to be shown. A number: grey in
    the file's own units, int16, uint16, uint8 or float32 ``[H,W]``, for a window of that level; colours as before.
    Raises ImageError: as :func:`facts_of`, over the limits, no such frame, several frames and none named.
    """
    facts = facts_of(data, name, limits)
    frame = 1 if facts.frames == 1 else frame_of(name)
    if frame is None:
        raise ImageError(f"{name}: a DICOM file of {facts.frames} frames", f"say which: {name}#1 to #{facts.frames}")
    if not 1 <= frame <= facts.frames:
        raise ImageError(f"{name}: the DICOM file has {facts.frames} frames", "they are counted from 1")
    needed = facts.width * facts.height * facts.channels * facts.sample_bytes
    limits.admit(name, (facts.width, facts.height), Work(0.0, 0.0), len(data), needed)
    answer, pixels = _ask(data, name, {"frame": frame - 1, "level": level}, limits, needed)
    if facts.frames == 1:
        killable_decoder.SHARED.forget()
    if pixels is None:
        raise ImageError(answer["error"], answer["hint"])
    return np.asarray(pixels)
