"""The web application of one station: every route, behind the guard."""

from __future__ import annotations

from collections.abc import Iterable

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp

from fieldlens.runtime.errors import KitError
from fieldlens.runtime.station.page import routes as page
from fieldlens.runtime.station.routes import login, operation, predict, preview, results, trust
from fieldlens.runtime.station.serving import problems
from fieldlens.runtime.station.serving.guard import Guard
from fieldlens.runtime.station.serving.sessions import Sessions
from fieldlens.runtime.station.station import Station

VERSION = "1"
_HTTPS = 443
_PARTS = (
    predict.routes,
    preview.routes,
    results.routes,
    operation.routes,
    trust.routes,
    login.routes,
    page.routes,
)


def build_service(station: Station) -> FastAPI:
    """All routes, without the guard."""
    service = FastAPI(
        title="Fieldlens station", version=VERSION, docs_url=None, redoc_url=None, openapi_url="/api/v1/openapi.json",
        description="Images in, calibrated answers out, stored on this device.",
    )  # fmt: skip
    service.state.station, service.state.records = station, station.records
    service.state.sessions = Sessions(station.records, loopback=station.settings.tls is None)
    for part in _PARTS:
        service.include_router(part.router)
    service.mount("/static", page.static_files(), "static")
    service.add_exception_handler(KitError, problems.on_problem)
    service.add_exception_handler(problems.HttpProblem, problems.on_problem)
    service.add_exception_handler(HTTPException, problems.on_http)
    service.add_exception_handler(RequestValidationError, problems.on_invalid)
    service.add_exception_handler(Exception, problems.on_bug)
    return service


def build_app(station: Station, hosts: Iterable[str]) -> ASGIApp:
    """What the server runs. ``hosts``: what a Host header may be."""
    scheme = "http" if station.settings.tls is None else "https"
    return Guard(build_service(station), hosts, station.settings.limits, scheme)


def own_hosts(port: int, names: Iterable[str] = ()) -> list[str]:
    """The names of this machine for itself, and those that others know it by."""
    every = ["127.0.0.1", "localhost", "[::1]", *(f"[{name}]" if ":" in name else name for name in names)]
    return [f"{name}:{port}" for name in every] + (every if port == _HTTPS else [])
