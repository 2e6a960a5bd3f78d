"""The station's own state: status bar, health, metrics, banners."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import Path
from starlette.responses import Response

from fieldlens.runtime.station.routes.given import StationOf
from fieldlens.runtime.station.schemas import BannerBody, BannersBody, SeenForm, banner_body
from fieldlens.runtime.station.serving import metrics
from fieldlens.runtime.station.serving.access import AuditEvent, CallerOf, Role, Routes
from fieldlens.runtime.station.serving.problems import HttpProblem
from fieldlens.runtime.station.state import gauges, state_of, why_not_ready
from fieldlens.runtime.station.status_schemas import HealthBody, ReadyBody, StatusBody

routes = Routes("", "operation")
_TEXT = {200: {"content": {"text/plain": {"schema": {"type": "string"}}}}}


@routes.add("GET", "/api/v1/status", may=Role.OPERATOR, event=AuditEvent.NONE, response_model=StatusBody)
def status(station: StationOf) -> StatusBody:
    """The status bar: camera, disk, clock, queue, model, temperature, banners."""
    return state_of(station)


@routes.add("GET", "/healthz", may=Role.ANYBODY, event=AuditEvent.NONE, response_model=HealthBody)
def health() -> HealthBody:
    """The process answers."""
    return HealthBody(status="ok")


@routes.add("GET", "/readyz", may=Role.ANYBODY, event=AuditEvent.NONE, problems=(503,), response_model=ReadyBody)
def ready(station: StationOf) -> ReadyBody:
    """Images can be answered, and with which bundle. A missing camera image is no reason: files can be."""
    if reason := why_not_ready(station):
        raise HttpProblem(503, "not-ready", reason, "/api/v1/status says more", {"Retry-After": "10"})
    camera = "none" if station.camera is None else station.camera.state.state
    return ReadyBody(status="ok", bundle_hash=station.model.bundle.hash, camera=camera)


@routes.add("GET", "/metrics", may=Role.ANYBODY, event=AuditEvent.NONE, response_class=Response, responses=_TEXT)
def numbers(station: StationOf) -> Response:
    """Prometheus: latency histograms by stage, outcomes, drops, queue, temperature. Nothing of a patient."""
    return Response(station.metrics.text(gauges(station)), media_type=metrics.MEDIA)


@routes.add("GET", "/api/v1/banners", may=Role.OPERATOR, event=AuditEvent.NONE, response_model=BannersBody)
def banners(station: StationOf, which: Literal["unseen", "all"] = "unseen") -> BannersBody:
    """What nobody has seen yet, oldest first; ``all``: everything there ever was, newest first."""
    rows = station.records.banners(everything=which == "all")
    return BannersBody(banners=[banner_body(row) for row in rows])


@routes.add(
    "POST", "/api/v1/banners/{number}/seen", may=Role.OPERATOR, event=AuditEvent.SETTINGS, problems=(404, 507),
    response_model=BannerBody,
)  # fmt: skip
def seen(
    number: Annotated[int, Path(ge=1, le=2**53)], form: SeenForm, station: StationOf, caller: CallerOf
) -> BannerBody:
    """Somebody has seen a banner. It leaves the page and stays in the records; who was first counts."""
    row = station.records.seen(number, caller.signs(form.by), station.clock.stamp(), caller.name)
    if row is None:
        raise HttpProblem(404, "no-banner", "there is no such banner", "")
    return banner_body(row)
