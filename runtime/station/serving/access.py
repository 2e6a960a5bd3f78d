"""Who may call what: the one place where every route says so.

Until accounts exist, the station listens on loopback only, and whoever sits at it is its administrator. After that
:func:`caller_of` finds out who calls, by a session's cookie or a machine's token; :class:`Routes` refuses a route that
does not say for whom it is and which event it is for the audit.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, IntEnum
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Depends, Request
from starlette.concurrency import run_in_threadpool

from fieldlens.runtime.audit.chain import AuditEntry
from fieldlens.runtime.station.records.store import STATION
from fieldlens.runtime.station.serving.problems import HttpProblem, ProblemBody
from fieldlens.runtime.station.serving.sessions import Sessions

LOGIN_PAGE = "/login"


class Role(IntEnum):
    """Each may do what those before it may."""

    ANYBODY = 0
    OPERATOR = 1
    CLINICIAN = 2
    ADMIN = 3


class AuditEvent(str, Enum):
    """What a call means to an auditor; ``NONE`` for what touches nothing of a patient."""

    NONE = "none"
    RESULT = "result"
    CAPTURE = "capture"
    VIEW = "view"
    REVIEW = "review"
    EXPORT = "export"
    SETTINGS = "settings"
    DELETE = "delete"
    LOG = "read-log"
    LOGIN = "login"


_BEFORE = (AuditEvent.VIEW, AuditEvent.EXPORT, AuditEvent.LOG)
"""Looked at: in the log before anything is shown. What changes the records is logged in the same transaction."""


@dataclass(frozen=True)
class Caller:
    """Who calls."""

    name: str
    role: Role
    csrf: str = ""
    """Of the session; empty where no cookie vouches for the caller."""

    def signs(self, given: str) -> str:
        """Whose name goes under a result or an opinion: nobody who is logged in writes another's."""
        return self.name if self.csrf else given


COOKIE = "fieldlens-session"
UNATTENDED = "x-unattended"
"""A header of requests that the page makes by itself, with nobody at it: they do not keep a session alive."""
_SAFE = ("GET", "HEAD", "OPTIONS")


async def caller_of(request: Request) -> Caller:
    """The machine of a token, the account of a cookie, or nobody; without accounts whoever sits at the station.

    ``async``: FastAPI sends any other dependency through a thread, and this reads a few rows only.
    """
    sessions: Sessions = request.app.state.sessions
    if sessions.everything_is_open():
        return Caller(STATION, Role.ADMIN)
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme:
        found = sessions.of_token(token.strip()) if scheme.lower() == "bearer" else None
        return Caller("", Role.ANYBODY) if found is None else Caller(f"token {found[0]}", Role[found[1].upper()])
    attended = request.headers.get(UNATTENDED) is None
    session = sessions.of_cookie(request.cookies.get(COOKIE, ""), attended=attended)
    if session is None:
        return Caller("", Role.ANYBODY)
    return Caller(session.account.name, Role[session.account.role.upper()], session.csrf)


CallerOf = Annotated[Caller, Depends(caller_of)]


@dataclass(frozen=True)
class _Permit:
    """A route's own condition."""

    role: Role
    event: AuditEvent
    path: str
    is_page: bool

    async def __call__(self, request: Request, caller: CallerOf) -> None:
        if self.is_page:
            self._lead(request, caller)
        elif self.role > Role.ANYBODY:
            self._check(request, caller)
        if self.event in _BEFORE:
            entry = AuditEntry(self.event.value, caller.name, request.path_params.get("id", ""), self.path)
            await run_in_threadpool(request.app.state.records.audit, entry)

    def _lead(self, request: Request, caller: Caller) -> None:
        """From a page that is not for the caller to one that is."""
        if caller.role == Role.ANYBODY and self.role > Role.ANYBODY:
            back = f"{LOGIN_PAGE}?next={quote(request.url.path)}"
            raise HttpProblem(303, "log-in", "nobody is logged in", "log in", {"Location": back})
        if caller.role < self.role:
            raise HttpProblem(
                303, "not-allowed", f"this needs the role {self.role.name.lower()}", "", {"Location": "/"}
            )

    def _check(self, request: Request, caller: Caller) -> None:
        if caller.role == Role.ANYBODY:
            how = {"WWW-Authenticate": "Bearer"}
            raise HttpProblem(401, "log-in", "nobody is logged in", f"log in at {LOGIN_PAGE}, or send a token", how)
        sent = request.headers.get("x-csrf-token", "")
        if caller.csrf and request.method not in _SAFE and not hmac.compare_digest(sent.encode(), caller.csrf.encode()):
            raise HttpProblem(403, "csrf", "the session's token is missing or wrong", "X-CSRF-Token, from /api/v1/me")
        if caller.role < self.role:
            raise HttpProblem(403, "not-allowed", f"this needs the role {self.role.name.lower()}", "log in with it")


class Routes:
    """A router whose every route says who may call it (``may``) and what the audit calls it (``event``).

    ``problems``: which refusals it documents beside those that any route can give.
    """

    def __init__(self, prefix: str, tag: str) -> None:
        self.router = APIRouter(prefix=prefix, tags=[tag])

    def add(
        self,
        method: str,
        path: str,
        *,
        may: Role,
        event: AuditEvent,
        problems: tuple[int, ...] = (),
        **options: Any,
    ) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """Decorator of a route."""
        documented = {status: {"model": ProblemBody, "content": _CONTENT} for status in (*_ANY, *problems)}
        extra = {**options.pop("openapi_extra", {}), "x-may": may.name.lower(), "x-audit": event.value}
        permit = _Permit(may, event, path, is_page=options.get("include_in_schema") is False)
        responses = {**documented, **options.pop("responses", {})}

        def register(function: Callable[..., Any]) -> Callable[..., Any]:
            self.router.add_api_route(
                path, function, methods=[method], dependencies=[Depends(permit)],
                responses=responses, openapi_extra=extra, **options,
            )  # fmt: skip
            return function

        return register


_ANY = (400, 401, 403, 422, 429, 507)
_CONTENT: dict[str, Any] = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/ProblemBody"}}}
