"""The guard in front of every route: host and origin, rate, size and pace of a body, and the headers of each answer.

A page on the internet must not reach the station through its visitor's browser: the Host header has to be ours (DNS
rebinding), and a request that another site caused is refused (Origin, Sec-Fetch-Site), as in the live view.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Iterable

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fieldlens.runtime.station.serving.limits import RequestLimits
from fieldlens.runtime.station.serving.problems import HttpProblem, busy

UPLOADS = ("/api/v1/predict",)
"""Addresses that take large bodies."""
_VISITORS = 1024
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}


class Guard:
    """Wraps the application. ``hosts``: what a Host header may be, ``127.0.0.1:8080`` for one."""

    def __init__(self, app: ASGIApp, hosts: Iterable[str], limits: RequestLimits, scheme: str = "http") -> None:
        self._app, self._limits = app, limits
        self._hosts = frozenset(hosts)
        self._origins = frozenset(f"{scheme}://{host}" for host in self._hosts)
        self._bodies = 0
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] == "http":
            await self._request(scope, receive, send)

    async def _request(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers[name] = value
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        headers = Headers(scope=scope)
        if (problem := self._refusal(scope, headers)) is not None:
            await problem.response()(scope, receive, with_headers)
            return
        upload = scope["path"] in UPLOADS and scope["method"] == "POST"
        if not upload:
            await self._bounded(scope, receive, with_headers, self._limits.json_bytes)
        elif self._bodies >= self._limits.bodies:
            await busy(1).response()(scope, receive, with_headers)
        else:
            self._bodies += 1
            try:
                await self._bounded(scope, receive, with_headers, self._limits.upload_bytes)
            finally:
                self._bodies -= 1

    # ---------------------------------------------------------------- before anything is read

    def _refusal(self, scope: Scope, headers: Headers) -> HttpProblem | None:
        if headers.getlist("host") not in [[host] for host in self._hosts]:
            return HttpProblem(403, "host", "this is not the station's own address", _HOST_HINT)
        origins, site = headers.getlist("origin"), headers.get("sec-fetch-site", "none")
        if origins and not (len(origins) == 1 and origins[0] in self._origins):
            return HttpProblem(403, "origin", "another site asked for this", _HOST_HINT)
        if site not in ("none", "same-origin"):
            return HttpProblem(403, "origin", "another site asked for this", _HOST_HINT)
        if not self._may_go_on(scope):
            return HttpProblem(429, "too-fast", "too many requests", "wait a second", {"Retry-After": "1"})
        upload = scope["path"] in UPLOADS and scope["method"] == "POST"
        most = self._limits.upload_bytes if upload else self._limits.json_bytes
        length = headers.get("content-length", "0")
        if not (length.isascii() and length.isdigit()) or len(length) > 18:
            return HttpProblem(400, "length", "the Content-Length is not a number", "send the body's size in bytes")
        return _too_large(most) if int(length) > most else None

    def _may_go_on(self, scope: Scope) -> bool:
        """A token bucket for each visitor."""
        visitor = (scope.get("client") or ("",))[0]
        now = time.monotonic()
        tokens, at = self._buckets.pop(visitor, (float(self._limits.burst), now))
        tokens = min(float(self._limits.burst), tokens + (now - at) * self._limits.rate)
        allowed = tokens >= 1.0
        self._buckets[visitor] = (tokens - allowed, now)
        if len(self._buckets) > _VISITORS:
            self._buckets.popitem(last=False)
        return allowed

    # ---------------------------------------------------------------- while the body comes in

    async def _bounded(self, scope: Scope, receive: Receive, send: Send, most: int) -> None:
        """The application, with a body that ends in a problem where it is too large or too slow."""
        limits, read, ended = self._limits, 0, False
        until = time.monotonic() + limits.body_s

        async def bounded() -> Message:
            nonlocal read, ended
            if ended:
                return await receive()  # only whether the visitor is still there
            left = min(limits.chunk_s, until - time.monotonic())
            try:
                message = await asyncio.wait_for(receive(), max(left, 0.001))
            except asyncio.TimeoutError:
                raise HttpProblem(408, "too-slow", "the request came too slowly", "check the line") from None
            read += len(message.get("body", b""))
            ended = not message.get("more_body", False)
            if read > most:
                raise _too_large(most)
            return message

        await self._app(scope, bounded, send)


_HOST_HINT = "open the address that the station printed at its start"


def _too_large(most: int) -> HttpProblem:
    return HttpProblem(
        413, "too-large", f"more than {most / 1e6:g} MB", "send fewer or smaller images", {"Connection": "close"}
    )
