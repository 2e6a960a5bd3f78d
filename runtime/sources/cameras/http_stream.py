"""From a camera's HTTP address to the bytes of its stream, as cameras really speak HTTP."""

from __future__ import annotations

import http.client
import re
import socket
from typing import Any
from urllib.parse import unquote, urlsplit

from fieldlens.runtime.errors import SourceError
from fieldlens.runtime.sources.cameras.address import Address, without_password
from fieldlens.runtime.sources.cameras.health import NOTICED_S
from fieldlens.runtime.sources.cameras.http_login import Challenge, Login, authorization, best, challenges

_CONNECT_S = 3.0
_RECEIVE_BUFFER = 256 * 1024
"""Small on purpose: what waits in the kernel's buffer is old, and looks like a fresh frame."""
_TRIES = 3
"""Without a password, with it, and once more where the camera says that its nonce was too old."""


class _FirstLine:
    """The stream's file, whose first line may be ``ICY 200 OK``: Shoutcast's, which some cameras send."""

    def __init__(self, file: Any) -> None:
        self._file = file
        self._first = True

    def readline(self, limit: int = -1) -> bytes:
        line: bytes = self._file.readline(limit)
        first, self._first = self._first, False
        return b"HTTP/1.0 " + line[4:] if first and line.startswith(b"ICY ") else line

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


class _Response(http.client.HTTPResponse):
    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.fp: Any = _FirstLine(self.fp)


class HttpStream:
    """An open ``multipart/…`` answer. ``boundary`` as it is announced, without dashes; empty where it is not.

    Raises SourceError where the camera does not answer, wants another password, or gives no stream of JPEGs.
    """

    def __init__(self, address: Address) -> None:
        self._response, self.socket = _opened(address)
        try:
            self.boundary = _boundary(self._response, address)
        except SourceError:
            self.close()
            raise
        if not self._response.chunked:
            self._response.length = None  # an endless stream has none, whatever (and however often) it says

    def read(self) -> bytes:
        """What has come, at most 64 kB; empty at the end. Raises OSError, TimeoutError and HTTPException."""
        return self._response.read1(65_536)

    def close(self) -> None:
        """Hang up."""
        self._response.close()
        self.socket.close()


def _opened(address: Address) -> tuple[_Response, socket.socket]:
    """The camera's answer, after the login that it asks for."""
    login = _login(address)
    header: bytes | None = None
    for attempt in range(_TRIES):
        response, raw = _asked(address, header)
        if response.status != http.client.UNAUTHORIZED:
            break
        said = response.headers.get_all("WWW-Authenticate", [])
        challenge = best(challenges(said)) if said else Challenge("basic", {})
        again = login is not None and (attempt == 0 or (challenge is not None and challenge.stale))
        if not again or attempt == _TRIES - 1:
            break
        if challenge is None:
            response.close()
            raw.close()
            raise SourceError(
                f"{address.name}: the camera wants a kind of login that is not known here",
                "switch it to digest or basic authentication in its settings",
            )
        assert login is not None
        response.close()
        raw.close()
        header = authorization(challenge, login, _path(address))
    if response.status == http.client.UNAUTHORIZED:
        response.close()
        raw.close()
        _refuse(address, given=login is not None)
    return response, raw


def _refuse(address: Address, *, given: bool) -> None:
    if given:
        raise SourceError(
            f"{address.name}: the camera does not accept this user and password",
            "check both; write special characters of a password as %XX",
        )
    raise SourceError(
        f"{address.name}: the camera wants a password",
        "give user and password: http://USER:PASSWORD@HOST/PATH (digest or basic authentication)",
    )


def _login(address: Address) -> Login | None:
    parts = urlsplit(address.target)
    if parts.username is None:
        return None
    login = Login(unquote(parts.username), unquote(parts.password or ""))
    if re.search(r"[\x00-\x1f\x7f]", login.user + login.password):
        raise SourceError(f"{address.name}: control characters in user or password", "check what stands as %XX")
    return login


def _path(address: Address) -> str:
    parts = urlsplit(address.target)
    return (parts.path or "/") + (f"?{parts.query}" if parts.query else "")


def _asked(address: Address, login_header: bytes | None) -> tuple[_Response, socket.socket]:
    parts = urlsplit(address.target)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.hostname or "", parts.port, timeout=_CONNECT_S)
    connection.response_class = _Response
    headers: dict[str, str | bytes] = {"User-Agent": "fieldlens", "Accept": "multipart/x-mixed-replace, */*"}
    if login_header is not None:
        headers["Authorization"] = login_header
    try:
        connection.connect()
        raw: socket.socket = connection.sock
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)
        connection.request("GET", _path(address), headers=headers)
        response = connection.getresponse()
    except (OSError, ValueError, http.client.HTTPException) as error:
        connection.close()
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        reason = "what it says is not HTTP" if isinstance(error, ValueError) else reason
        raise SourceError(
            f"{address.name}: the camera does not answer ({reason})", f"is it on, and reachable? ping {parts.hostname}"
        ) from error
    raw.settimeout(NOTICED_S)
    assert isinstance(response, _Response)
    return response, raw


def _boundary(response: http.client.HTTPResponse, address: Address) -> bytes:
    """What is said to separate the frames. Raises SourceError where the answer is no stream of JPEGs."""
    kind = response.headers.get("Content-Type", "")
    if response.status == http.client.OK and kind.lower().lstrip().startswith("multipart/"):
        found = re.search(r'boundary\s*=\s*"?([^";]+)"?', kind, flags=re.IGNORECASE)
        return found[1].strip().lstrip("-").encode("latin-1", "replace") if found else b""
    if response.status != http.client.OK:
        moved = response.headers.get("Location")
        hint = (
            f"use the address it names: {without_password(moved)}"
            if moved
            else "look up the MJPEG path in the camera's manual"
        )
        raise SourceError(f"{address.name}: the camera says {response.status} {response.reason}", hint)
    raise SourceError(
        f"{address.name}: this is {kind or 'of no kind that it names'}, not MJPEG",
        "look up the camera's MJPEG path, or use its rtsp:// address",
    )
