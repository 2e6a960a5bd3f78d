"""The images of one uploaded file: itself, or the frames of a DICOM file, by a name that carries no patient."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePath
from typing import Literal

from fieldlens.runtime.errors import ImageError
from fieldlens.runtime.files.private_names import PrivateNames
from fieldlens.runtime.pixels import dicom_file
from fieldlens.runtime.pixels.formats.dicom.address import SUFFIXES, frame_of, is_dicom
from fieldlens.runtime.station.serving import problems
from fieldlens.runtime.station.serving.limits import RequestLimits
from fieldlens.runtime.station.serving.problems import HttpProblem
from fieldlens.runtime.station.serving.uploads import UploadedImage

_NOTES: tuple[Literal["burnt-in", "secondary"], ...] = ("burnt-in", "secondary")
_SOURCE = "image"


@dataclass(frozen=True)
class UploadPart:
    """One image. ``name``: for the answer; ``source``: for the decoder, which finds a frame by it. ``notes``: what a
    DICOM file says of its pixels. ``problem``: why there is nothing to answer."""

    name: str
    data: bytes
    source: str = _SOURCE
    notes: tuple[Literal["burnt-in", "secondary"], ...] = ()
    problem: HttpProblem | None = None


def parts_of(image: UploadedImage, private: PrivateNames, limits: RequestLimits, most: int) -> list[UploadPart]:
    """At least one, at most ``most``: of a DICOM file one for each frame, or the frame that ``NAME#k`` means."""
    suffix = PurePath(image.name.rpartition("#")[0] or image.name).suffix.lower()
    dicom = is_dicom(image.data)
    if not dicom and suffix not in SUFFIXES:
        return [_whole(image.name, image, limits)]
    if not dicom or len(image.data) > limits.image_bytes:
        return [_whole(private.whole(image.name), image, limits)]
    return _frames(image, private, most)


def _whole(name: str, image: UploadedImage, limits: RequestLimits) -> UploadPart:
    problem = None
    if len(image.data) > limits.image_bytes:
        detail = f"more than {limits.image_bytes / 1e6:g} MB"
        problem = HttpProblem(413, "too-large", detail, "export it at a smaller size")
    return UploadPart(name, image.data, problem=problem)


def _frames(image: UploadedImage, private: PrivateNames, most: int) -> list[UploadPart]:
    facts, owner = dicom_file.look(image.data, _SOURCE)
    several = not isinstance(facts, ImageError) and facts.frames > 1
    asked = frame_of(image.name) if several else None
    file_name = image.name if asked is None else image.name.rpartition("#")[0]
    known = owner is not None and (owner.certain or not isinstance(facts, ImageError))
    name = private.path(file_name, owner.words) if owner is not None and known else private.whole(file_name)
    if isinstance(facts, ImageError):
        return [UploadPart(name, image.data, problem=problems.of(facts))]
    notes = tuple(note for note in _NOTES if note in facts.warnings)
    if not several:
        return [UploadPart(name, image.data, _SOURCE, notes)]
    if asked is None and facts.frames > most:
        detail = f"a DICOM file of {facts.frames} frames; there is room for {most} more images in this request"
        hint = "name the frames that count, one file each: FILE.dcm#1"
        return [UploadPart(name, image.data, notes=notes, problem=HttpProblem(422, "frames", detail, hint))]
    numbers = range(1, facts.frames + 1) if asked is None else (asked,)
    return [UploadPart(f"{name}#{number}", image.data, f"{_SOURCE}#{number}", notes) for number in numbers]
