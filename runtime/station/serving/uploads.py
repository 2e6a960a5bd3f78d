"""Uploads: multipart forms, in memory only (no image of a patient in /tmp), with every count bounded."""

from __future__ import annotations

from dataclasses import dataclass

from fastapi import Request
from python_multipart.exceptions import MultipartParseError
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from fieldlens.runtime.station.serving.limits import RequestLimits
from fieldlens.runtime.station.serving.problems import HttpProblem

_FIELD_BYTES = 4096
_NAME = 200


class _InMemory(MultiPartParser):
    """The guard has bounded the body, so nothing has to go to a temporary file."""

    spool_max_size = 1 << 40


@dataclass(frozen=True)
class UploadedImage:
    """One file of a form. ``name`` is the visitor's: it goes back in the answer and is kept nowhere."""

    name: str
    data: bytes


@dataclass(frozen=True)
class UploadForm:
    """Files of the field ``images``, and the other fields' text."""

    images: tuple[UploadedImage, ...]
    fields: dict[str, str]


async def read_form(request: Request, limits: RequestLimits, names: tuple[str, ...]) -> UploadForm:
    """The form of a request; fields other than ``names`` are refused. Raises HttpProblem."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "multipart/form-data":
        raise HttpProblem(415, "not-a-form", "the body is not multipart/form-data", "send the images as form files")
    parser = _InMemory(
        request.headers, request.stream(), max_files=limits.images, max_fields=len(names), max_part_size=_FIELD_BYTES
    )
    try:
        form = await parser.parse()
    except (MultiPartException, MultipartParseError, KeyError, UnicodeError) as error:
        many = "Too many" in str(error)
        detail = f"more than {limits.images} images or too many fields" if many else "the form cannot be read"
        raise HttpProblem(
            422 if many else 400, "form", detail, "send fewer at a time" if many else "see docs"
        ) from error
    try:
        images, fields = [], {}
        for key, value in form.multi_items():
            if isinstance(value, UploadFile) and key == "images":
                images.append(UploadedImage((value.filename or "image")[:_NAME], await value.read()))
            elif isinstance(value, str) and key in names and key not in fields:
                fields[key] = value
            else:
                raise HttpProblem(
                    422, "invalid", f"the field {key[:40]!r} is not expected", f"there are images, {', '.join(names)}"
                )
        return UploadForm(tuple(images), fields)
    finally:
        await form.close()
