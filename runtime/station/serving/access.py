"""Who may call what: the one place where every route says so.

Until accounts exist, the station listens on loopback only, and whoever sits at it is its administrator. Accounts, CSRF
tokens and the audit have their places here: :func:`caller_of` finds out who calls, :class:`Routes` refuses a route
that does not say for whom it is and which event it is for the audit.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, IntEnum
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request

from fieldlens.runtime.audit.chain import AuditEntry
from fieldlens.runtime.station.serving.problems import HttpProblem, ProblemBody


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


async def caller_of(request: Request) -> Caller:
    """Whoever sits at the station. Accounts will look at the session's cookie or the token here."""
    return Caller("station", Role.ADMIN)


CallerOf = Annotated[Caller, Depends(caller_of)]


@dataclass(frozen=True)
class _Permit:
    """A route's own condition."""

    role: Role
    event: AuditEvent
    path: str

    async def __call__(self, request: Request, caller: CallerOf) -> None:
        if caller.role < self.role:
            raise HttpProblem(403, "not-allowed", f"this needs the role {self.role.name.lower()}", "log in with it")
        if self.event in _BEFORE:
            entry = AuditEntry(self.event.value, caller.name, request.path_params.get("id", ""), self.path)
            request.app.state.records.audit(entry)


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
        responses = {**documented, **options.pop("responses", {})}

        def register(function: Callable[..., Any]) -> Callable[..., Any]:
            self.router.add_api_route(
                path, function, methods=[method], dependencies=[Depends(_Permit(may, event, path))],
                responses=responses, openapi_extra=extra, **options,
            )  # fmt: skip
            return function

        return register


_ANY = (400, 403, 422, 429, 507)
_CONTENT: dict[str, Any] = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/ProblemBody"}}}
