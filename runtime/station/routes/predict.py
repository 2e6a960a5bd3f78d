"""Answers: uploaded images, and what the camera sees."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from fastapi import Request
from pydantic import ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from fieldlens.runtime.errors import KitError
from fieldlens.runtime.station.engine import BusyError
from fieldlens.runtime.station.records.rows import ResultRow
from fieldlens.runtime.station.routes.given import StationOf, shown
from fieldlens.runtime.station.schemas import AboutForm, PredictedBody, PredictedItem, ResultBody, SubjectBody
from fieldlens.runtime.station.serving import problems
from fieldlens.runtime.station.serving.access import AuditEvent, Caller, CallerOf, Role, Routes
from fieldlens.runtime.station.serving.parts import UploadPart, parts_of
from fieldlens.runtime.station.serving.problems import HttpProblem, ProblemBody
from fieldlens.runtime.station.serving.uploads import UploadedImage, read_form
from fieldlens.runtime.station.station import AboutResult, Station
from fieldlens.runtime.station.subjects import mistyped, new_subject

routes = Routes("/api/v1", "answers")
_FIELDS = tuple(AboutForm.model_fields)
_FORM: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["images"],
                    "additionalProperties": False,
                    "properties": {
                        "images": {
                            "type": "array", "minItems": 1, "maxItems": 32,
                            "items": {"type": "string", "format": "binary"},
                        },
                        **AboutForm.model_json_schema()["properties"],
                    },
                }
            }
        },
    }
}  # fmt: skip


@routes.add(
    "POST", "/predict", may=Role.OPERATOR, event=AuditEvent.RESULT, problems=(408, 413, 415, 503, 507),
    response_model=PredictedBody, openapi_extra=_FORM,
)  # fmt: skip
async def predict(request: Request, station: StationOf, caller: CallerOf) -> Response:
    """Answer one or many images (JPEG, PNG, BMP, TIFF, WebP; DICOM where its extra is installed). Each gets its result
    or its problem, in order; a DICOM file of several frames one for each frame.

    422 where not one of them could be answered.
    """
    form = await read_form(request, station.settings.limits, _FIELDS)
    if not form.images:
        raise HttpProblem(422, "no-images", "the form has no file named images", "add at least one")
    about = _by(_about(form.fields), caller)
    return Response(await run_in_threadpool(_all, station, form.images, about), media_type="application/json")


def _all(station: Station, images: tuple[UploadedImage, ...], about: AboutResult) -> bytes:
    """The answer's body, made in the worker: the event loop has the preview to send."""
    return PredictedBody(items=_each(station, images, about)).model_dump_json().encode()


def _each(station: Station, images: tuple[UploadedImage, ...], about: AboutResult) -> list[PredictedItem]:
    items: list[PredictedItem] = []
    limits = station.settings.limits
    for at, image in enumerate(images):
        most = limits.images - len(items) - (len(images) - at - 1)  # the files behind have their room
        parts = parts_of(image, station.model.private, limits, most)
        of_file = about if about.subject or len(parts) == 1 else replace(about, subject=new_subject())
        for part in parts:
            try:
                row = _answered(station, part, of_file)
                items.append(PredictedItem(name=part.name, notes=[*part.notes], result=shown(station, row)))
            except (KitError, HttpProblem) as error:
                problem = _problem(error)
                items.append(PredictedItem(name=part.name, notes=[*part.notes], problem=ProblemBody(**problem.body())))
                if len(images) == len(parts) == 1 or (problem.status_code != 422 and len(items) == 1):
                    raise problem from error
    if all(item.problem for item in items):
        first = items[0].problem
        assert first is not None
        text = f"none of {len(items)} images could be answered; the first: {first.detail}"
        raise HttpProblem(422, "not-an-image", text, first.hint)
    return items


def _answered(station: Station, part: UploadPart, about: AboutResult) -> ResultRow:
    if part.problem is not None:
        raise part.problem
    return station.upload(part.data, about, source=part.source, pixels_kept="burnt-in" not in part.notes)


def _problem(error: KitError | HttpProblem) -> HttpProblem:
    if isinstance(error, BusyError):
        return problems.busy(error.retry_after_s)
    return error if isinstance(error, HttpProblem) else problems.of(error)


def _about(fields: dict[str, str]) -> AboutResult:
    try:
        form = AboutForm.model_validate(fields)
    except ValidationError as error:
        first = error.errors()[0]
        raise HttpProblem(
            422, "invalid", f"{first['loc'][0]}: {first['msg']}", "letters, digits and . _ / -"
        ) from error
    return _checked(form)


def _checked(form: AboutForm) -> AboutResult:
    if mistyped(form.subject):
        raise HttpProblem(422, "subject", f"{form.subject}: its check letter is wrong", "read the ID again")
    return AboutResult(form.subject, form.site, form.operator)


def _by(about: AboutResult, caller: Caller) -> AboutResult:
    return replace(about, operator=caller.signs(about.operator), by=caller.name)


@routes.add(
    "POST", "/capture", may=Role.OPERATOR, event=AuditEvent.CAPTURE, problems=(409, 503, 507),
    response_model=ResultBody,
)  # fmt: skip
def capture(form: AboutForm, station: StationOf, caller: CallerOf) -> ResultBody:
    """Answer what the camera sees now: a frame that was captured after this request came in."""
    about = _by(_checked(form), caller)
    if station.camera is None:
        raise HttpProblem(409, "no-camera", "this station has no camera", "start it with --camera, or upload a file")
    try:
        row = station.capture(about)
    except KitError as error:
        raise _problem(error) from error
    if row is None:
        state = station.camera.state
        detail = f"the camera gives no image now ({state.message or state.state})"
        raise HttpProblem(503, "camera", detail, "look at the camera and its cable", {"Retry-After": "2"})
    return shown(station, row)


@routes.add("POST", "/subjects", may=Role.OPERATOR, event=AuditEvent.NONE, response_model=SubjectBody)
def make_subject() -> SubjectBody:
    """A new subject ID. Two stations make the same once in a trillion."""
    return SubjectBody(subject=new_subject())
