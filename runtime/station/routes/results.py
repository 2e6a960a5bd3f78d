"""Stored results: search, one of them, its image and heat map, a review, CSV."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from typing import Annotated, Literal

import numpy as np
import simplejpeg
from fastapi import Depends, Path, Query
from starlette.responses import Response, StreamingResponse

from fieldlens.runtime.pixels.drawing import blend
from fieldlens.runtime.pixels.heat import heat_of, too_coarse
from fieldlens.runtime.station.records.rows import Review
from fieldlens.runtime.station.records.search import MOST, PAGE, Filters
from fieldlens.runtime.station.records.table import table_lines
from fieldlens.runtime.station.routes.given import StationOf, found, shown
from fieldlens.runtime.station.schemas import IN_LISTS, Line, ResultBody, ResultId, ResultsBody, ReviewForm
from fieldlens.runtime.station.serving.access import AuditEvent, CallerOf, Role, Routes
from fieldlens.runtime.station.serving.problems import HttpProblem

routes = Routes("/api/v1", "results")
_JPEG = {200: {"content": {"image/jpeg": {"schema": {"type": "string", "format": "binary"}}}}}
_CSV = {200: {"content": {"text/csv": {"schema": {"type": "string"}}}}}
Id = Annotated[ResultId, Path(description="a result's id")]
Moment = Annotated[
    str, Query(pattern=r"^$|^\d{4}-\d{2}-\d{2}(T\d{2}:\d{2}(:\d{2}(\.\d{1,6})?)?Z?)?$", description="UTC: 2026-11-27")
]
_OUTCOMES = Literal["", "refer", "no-sign-found", "uncertain", "retake", "classified"]
_REVIEWS = Literal["", "agrees", "disagrees", "none"]


def filters_of(
    text: Line = "",
    subject: Line = "",
    outcome: _OUTCOMES = "",
    site: Line = "",
    operator: Line = "",
    since: Moment = "",
    until: Moment = "",
    review: _REVIEWS = "",
) -> Filters:
    """The query's filters; empty ones do not filter."""
    given = locals()
    return Filters(**{field.name: given[field.name] for field in fields(Filters) if field.name in given})


FiltersOf = Annotated[Filters, Depends(filters_of)]


@routes.add("GET", "/results", may=Role.OPERATOR, event=AuditEvent.VIEW, response_model=ResultsBody)
def search(
    station: StationOf,
    filters: FiltersOf,
    limit: Annotated[int, Query(ge=1, le=MOST)] = PAGE,
    before: Annotated[int, Query(ge=0, le=2**53)] = 0,
) -> ResultsBody:
    """Results, newest first, each with its ten likeliest classes.

    ``text`` is looked for in subject, site, operator and review notes.
    """
    page = station.records.page(Filters(**{**filters.__dict__, "before": before}), limit)
    rows = [shown(station, row, IN_LISTS) for row in page.results]
    return ResultsBody(results=rows, total=page.total, next_before=page.next_before)


@routes.add(
    "GET", "/results/{id}", may=Role.OPERATOR, event=AuditEvent.VIEW, problems=(404,), response_model=ResultBody
)
def one(id: Id, station: StationOf) -> ResultBody:
    """One result."""
    return shown(station, found(station, id))


@routes.add(
    "GET", "/results/{id}/image", may=Role.OPERATOR, event=AuditEvent.VIEW, problems=(404,), response_class=Response,
    responses=_JPEG,
)  # fmt: skip
def image(id: Id, station: StationOf, kind: Literal["image", "view"] = "view") -> Response:
    """The whole image, or what the network saw of it (the default). 404 where it was not kept."""
    data = station.view(found(station, id), kind)
    if data is None:
        raise _not_kept()
    return Response(data, media_type="image/jpeg")


@routes.add(
    "GET", "/results/{id}/heatmap", may=Role.OPERATOR, event=AuditEvent.VIEW, problems=(404, 409),
    response_class=Response, responses=_JPEG,
)  # fmt: skip
def heat_map(id: Id, station: StationOf) -> Response:
    """Where the model looked, not where the disease is, over what the network saw. 409 where it is never there: on a
    retake, and where its cells are too coarse to point at anything."""
    row = found(station, id)
    if not station.has_heat_map(row):
        raise HttpProblem(409, "retake", "an image that has to be taken again has no heat map", "take it again")
    if why := too_coarse(row.cam):
        raise HttpProblem(409, "too-coarse", why, "train with a larger input, or with model.output_stride = 16")
    data = station.view(row)
    if data is None:
        raise _not_kept()
    view = simplejpeg.decode_jpeg(data)
    drawn = blend(view, heat_of(row.cam, view.shape[0]))
    jpeg = simplejpeg.encode_jpeg(np.ascontiguousarray(drawn), 88, colorsubsampling="420")
    return Response(jpeg, media_type="image/jpeg")


@routes.add(
    "POST", "/results/{id}/review", may=Role.CLINICIAN, event=AuditEvent.REVIEW, problems=(404, 507),
    response_model=ResultBody,
)  # fmt: skip
def review(id: Id, form: ReviewForm, station: StationOf, caller: CallerOf) -> ResultBody:
    """Agree or disagree, with a note. Earlier reviews stay in the records; the newest is shown."""
    found(station, id)
    said = Review(station.clock.stamp(), form.agrees, form.note, caller.signs(form.reviewer))
    station.records.review(id, said, caller.name)
    return shown(station, found(station, id))


@routes.add(
    "GET", "/export.csv", may=Role.CLINICIAN, event=AuditEvent.EXPORT, response_class=StreamingResponse, responses=_CSV
)
def export(station: StationOf, filters: FiltersOf) -> StreamingResponse:
    """Every result that fits, as CSV, with the audit's head in the last column.

    A cell that a spreadsheet would take for a formula begins with an apostrophe.
    """
    classes = station.model.bundle.manifest.class_ids
    head = str(station.records.audit_head())

    def lines() -> Iterator[str]:
        yield from table_lines(station.records.all(filters), classes, head)

    headers = {"Content-Disposition": 'attachment; filename="results.csv"', "X-Audit-Head": head}
    return StreamingResponse(lines(), media_type="text/csv; charset=utf-8", headers=headers)


def _not_kept() -> HttpProblem:
    return HttpProblem(404, "not-kept", "the image was not kept", "start the station with --keep-images")
