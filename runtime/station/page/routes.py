"""The page's addresses: HTML from templates, and static files.

No template holds anything of a patient: the page's scripts ask the REST service, where who may see it is decided.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path as FilePath
from typing import Annotated, Any

from fastapi import Path, Query, Request
from jinja2 import StrictUndefined
from starlette.responses import RedirectResponse, Response
from starlette.staticfiles import StaticFiles
from starlette.templating import Jinja2Templates

from fieldlens.runtime.station.schemas import ResultId
from fieldlens.runtime.station.serving.access import LOGIN_PAGE, AuditEvent, Caller, CallerOf, Role, Routes
from fieldlens.runtime.station.station import Station

_FOLDER = FilePath(__file__).parent
TRANSLATIONS = _FOLDER / "translations"
DEFAULT = "en"
_COOKIE = "language"
_YEAR_S = 365 * 24 * 3600
routes = Routes("", "page")
templates = Jinja2Templates(_FOLDER / "templates")
templates.env.undefined = StrictUndefined
_OPTIONS: dict[str, Any] = {"response_class": Response, "include_in_schema": False}
Lang = Annotated[str, Query(max_length=10)]


def static_files() -> StaticFiles:
    """To be mounted at ``/static``: anybody may have them, nothing of a patient is in them."""
    return StaticFiles(directory=_FOLDER / "static")


@cache
def languages() -> dict[str, str]:
    """Language → its own name, for each file in TRANSLATIONS."""
    return {path.stem: translation(path.stem)["language_name"] for path in sorted(TRANSLATIONS.glob("*.json"))}


@cache
def translation(language: str) -> dict[str, str]:
    """Key → text."""
    text = (TRANSLATIONS / f"{language}.json").read_text(encoding="utf-8")
    return {str(key): str(value) for key, value in json.loads(text).items()}


@routes.add("GET", "/", may=Role.OPERATOR, event=AuditEvent.NONE, **_OPTIONS)
def home(request: Request, caller: CallerOf, lang: Lang = "") -> Response:
    """The screening page: preview, capture, upload."""
    return _page(request, "screen", caller, lang)


@routes.add("GET", "/history", may=Role.OPERATOR, event=AuditEvent.NONE, **_OPTIONS)
def history(request: Request, caller: CallerOf, lang: Lang = "") -> Response:
    """Search in the results."""
    return _page(request, "history", caller, lang)


@routes.add("GET", "/results/{id}", may=Role.OPERATOR, event=AuditEvent.NONE, **_OPTIONS)
def result(request: Request, id: Annotated[ResultId, Path()], caller: CallerOf, lang: Lang = "") -> Response:
    """One result, its review and its slip."""
    return _page(request, "result", caller, lang)


@routes.add("GET", "/log", may=Role.ADMIN, event=AuditEvent.NONE, **_OPTIONS)
def log(request: Request, caller: CallerOf, lang: Lang = "") -> Response:
    """The audit log, and the deletion of one subject."""
    return _page(request, "log", caller, lang)


@routes.add("GET", LOGIN_PAGE, may=Role.ANYBODY, event=AuditEvent.NONE, **_OPTIONS)
def login_page(request: Request, caller: CallerOf, lang: Lang = "") -> Response:
    """Name and PIN; to the screening page where somebody is logged in, or nobody has to be."""
    if caller.role > Role.ANYBODY:
        return RedirectResponse("/", 303)
    return _page(request, "login", caller, lang)


def _page(request: Request, name: str, caller: Caller, lang: str) -> Response:
    """What a role may not do is not on its page; the REST service refuses it, whatever the page shows."""
    station = request.app.state.station
    assert isinstance(station, Station)
    language = lang if lang in languages() else _wanted(request)
    values = {
        "page": name, "language": language, "languages": languages(), "t": translation(language),
        "camera": station.camera is not None, "image_bytes": station.settings.limits.image_bytes,
        "pixels": station.settings.limits.pixels, "account": caller.name if caller.csrf else "",
        "role": caller.role.name.lower(), "reviews": caller.role >= Role.CLINICIAN,
    }  # fmt: skip
    response = templates.TemplateResponse(request, f"{name}.html", values)
    if lang == language:
        response.set_cookie(_COOKIE, language, max_age=_YEAR_S, httponly=True, samesite="strict")
    return response


def _wanted(request: Request) -> str:
    """The language that was chosen here before, else the browser's first that we have."""
    asked = [request.cookies.get(_COOKIE, ""), *request.headers.get("accept-language", "").lower().split(",")]
    for each in asked:
        name = each.partition(";")[0].strip()
        for language in (name, name[:2]):
            if language in languages():
                return language
    return DEFAULT
