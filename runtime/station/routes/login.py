"""Log in, log out, and who is logged in."""

from __future__ import annotations

import math
from typing import Annotated

from fastapi import Request
from pydantic import BaseModel, ConfigDict, StringConstraints
from starlette.responses import Response

from fieldlens.runtime.files.printable import json_text
from fieldlens.runtime.station.serving.access import COOKIE, AuditEvent, CallerOf, Role, Routes
from fieldlens.runtime.station.serving.problems import HttpProblem
from fieldlens.runtime.station.serving.sessions import Sessions

routes = Routes("/api/v1", "accounts")
_Text = Annotated[str, StringConstraints(min_length=1, max_length=200)]


class LoginForm(BaseModel):
    """An account's name, and its PIN or passphrase."""

    model_config = ConfigDict(extra="forbid")
    name: _Text
    secret: _Text


class MeBody(BaseModel):
    """Who asks. ``csrf`` goes into the header ``X-CSRF-Token`` of every request that changes something."""

    name: str
    role: str
    csrf: str


@routes.add("POST", "/login", may=Role.ANYBODY, event=AuditEvent.LOGIN, problems=(401,), response_model=MeBody)
def login(form: LoginForm, request: Request) -> Response:
    """Log in: sets a cookie, always a new one. 429 while the account is locked after wrong tries."""
    sessions: Sessions = request.app.state.sessions
    found = sessions.log_in(form.name, form.secret, request.cookies.get(COOKIE, ""))
    if isinstance(found, float):
        if found > 0:
            wait_s = math.ceil(found)
            raise HttpProblem(
                429, "locked", f"too many wrong tries; again in {wait_s} s", "an admin can give a new PIN",
                {"Retry-After": str(wait_s)},
            )  # fmt: skip
        raise HttpProblem(401, "wrong", "the name or the PIN is wrong", "an admin can give a new PIN")
    cookie, session = found
    body = MeBody(name=session.account.name, role=session.account.role, csrf=session.csrf)
    answer = Response(json_text(body.model_dump()), media_type="application/json")
    secure = request.url.scheme == "https"
    answer.set_cookie(COOKIE, cookie, httponly=True, samesite="strict", secure=secure, path="/")
    return answer


@routes.add("POST", "/logout", may=Role.OPERATOR, event=AuditEvent.LOGIN, response_model=MeBody)
def logout(request: Request, caller: CallerOf) -> Response:
    """Log out: the cookie is worth nothing any more, on any machine."""
    sessions: Sessions = request.app.state.sessions
    sessions.end(request.cookies.get(COOKIE, ""))
    body = MeBody(name="", role=Role.ANYBODY.name.lower(), csrf="")
    answer = Response(json_text(body.model_dump()), media_type="application/json")
    answer.delete_cookie(COOKIE, path="/")
    return answer


@routes.add("GET", "/me", may=Role.OPERATOR, event=AuditEvent.NONE, response_model=MeBody)
def me(caller: CallerOf) -> MeBody:
    """Who asks, and the CSRF token of the session."""
    return MeBody(name=caller.name, role=caller.role.name.lower(), csrf=caller.csrf)
