"""Errors as ``application/problem+json`` (RFC 9457): one shape for every refusal, with words that help."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.responses import Response

from fieldlens.runtime.errors import ImageError, KitError
from fieldlens.runtime.files.printable import json_text, printable
from fieldlens.runtime.pixels.dicom_file import NoDicomReaderError
from fieldlens.runtime.station.records.database import RecordsError

MEDIA = "application/problem+json"
Headers = Mapping[str, str]


class ProblemBody(BaseModel):
    """An error: ``type`` is a fixed name for programs, ``detail`` and ``hint`` are for people."""

    type: str = Field(examples=["urn:fieldlens:busy"])
    title: str
    status: int = Field(ge=400, le=599)
    detail: str
    hint: str = ""


class HttpProblem(HTTPException):
    """Raised by a route, or while a body is read. ``kind`` is the last part of the problem's type."""

    def __init__(self, status: int, kind: str, detail: str, hint: str = "", headers: Headers | None = None) -> None:
        super().__init__(status, detail, dict(headers or {}))
        self.kind, self.hint = kind, hint

    def body(self) -> dict[str, Any]:
        """As in the answer."""
        return {
            "type": f"urn:fieldlens:{self.kind}",
            "title": HTTPStatus(self.status_code).phrase,
            "status": self.status_code,
            "detail": printable(self.detail),
            "hint": printable(self.hint),
        }

    def response(self) -> Response:
        """The whole answer."""
        return Response(json_text(self.body()), self.status_code, self.headers, MEDIA)


def busy(retry_after_s: int) -> HttpProblem:
    """The queue is full."""
    again = f"try again in {retry_after_s} s"
    return HttpProblem(503, "busy", f"busy: {again}", again, {"Retry-After": str(retry_after_s)})


def of(error: KitError) -> HttpProblem:
    """A known failure."""
    if isinstance(error, NoDicomReaderError):
        return HttpProblem(422, "no-dicom", error.message, error.hint)
    if isinstance(error, ImageError):
        return HttpProblem(422, "not-an-image", error.message, error.hint)
    if isinstance(error, RecordsError):
        return HttpProblem(507, "records", error.message, error.hint)
    return HttpProblem(503, "not-answered", error.message, error.hint, {"Retry-After": "10"})


async def on_problem(request: Request, error: Exception) -> Response:
    """FastAPI's handler for HttpProblem and KitError."""
    if isinstance(error, KitError):
        error = of(error)
    assert isinstance(error, HttpProblem)
    return error.response()


async def on_http(request: Request, error: Exception) -> Response:
    """Starlette's own errors: no such address, a method that it does not take."""
    assert isinstance(error, HTTPException)
    kind = {404: "not-found", 405: "method-not-allowed"}.get(error.status_code, "refused")
    return HttpProblem(error.status_code, kind, str(error.detail), "", error.headers or {}).response()


async def on_invalid(request: Request, error: Exception) -> Response:
    """A value that does not fit: which, and why; never the value itself."""
    assert isinstance(error, RequestValidationError)
    wrong = [f"{'.'.join(str(part) for part in each['loc'])}: {each['msg']}" for each in error.errors()[:5]]
    return HttpProblem(422, "invalid", "; ".join(wrong), "/api/v1/openapi.json says what is expected").response()


async def on_bug(request: Request, error: Exception) -> Response:
    """Our bug: the log has the traceback, the visitor gets none of it."""
    return HttpProblem(500, "bug", "this is a fault of the station", "its log says more; please report it").response()
