"""The page's addresses: HTML from templates, and static files."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Annotated

from fastapi import Query, Request
from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.templating import Jinja2Templates

from fieldlens.runtime.station.serving.access import AuditEvent, Role, Routes

_FOLDER = Path(__file__).parent
DEFAULT = "en"
routes = Routes("", "page")
templates = Jinja2Templates(_FOLDER / "templates")


def static_files() -> StaticFiles:
    """To be mounted at ``/static``: anybody may have them, nothing of a patient is in them."""
    return StaticFiles(directory=_FOLDER / "static")


def languages() -> list[str]:
    """Those with a file in ``translations``."""
    return sorted(path.stem for path in (_FOLDER / "translations").glob("*.json"))


@cache
def translation(language: str) -> dict[str, str]:
    """Key → text."""
    text = (_FOLDER / "translations" / f"{language}.json").read_text(encoding="utf-8")
    return {str(key): str(value) for key, value in json.loads(text).items()}


@routes.add("GET", "/", may=Role.ANYBODY, event=AuditEvent.NONE, response_class=Response, include_in_schema=False)
def home(request: Request, lang: Annotated[str, Query(max_length=10)] = "") -> Response:
    """The screening page."""
    language = lang if lang in languages() else _wanted(request)
    return templates.TemplateResponse(request, "home.html", {"language": language, "t": translation(language)})


def _wanted(request: Request) -> str:
    """The first language of the browser that we have."""
    asked = request.headers.get("accept-language", "").lower().split(",")
    for each in asked:
        if (language := each.strip()[:2]) in languages():
            return language
    return DEFAULT
