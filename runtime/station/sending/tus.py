"""The tus protocol 1.0.0 (tus.io): an upload that was cut goes on where the receiver's bytes end.

Core and creation. Two things are added. Of a whole upload the receiver tells its own SHA-256 in ``Repr-Digest``
(RFC 9530): only that says that it has what was sent. And where that is not the ``sha256`` of the upload's metadata, it
answers 460 and begins that upload again: the sender never deletes anything there, because an answer can be wrong where
the bytes are not.
"""

from __future__ import annotations

import base64
import contextlib
import http.client
import ssl
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from urllib.parse import urljoin, urlsplit

from fieldlens.runtime.errors import KitError
from fieldlens.runtime.station.sending.package import Package

PIECE_BYTES = 128 * 1024
"""Sent at a time: a cut costs one piece at most."""
_TIMEOUT_S = 30.0
_VERSION = "1.0.0"
_OTHER_BYTES = 460
_LONGEST_WAIT_S = 3600


class LineError(KitError):
    """The line or the receiver failed for now: the same again later goes on where it ended."""

    def __init__(self, message: str, wait_s: float = 0.0) -> None:
        super().__init__(message, "it is tried again by itself")
        self.wait_s = wait_s


class RefusedError(KitError):
    """The receiver does not take this package, or says that it has other bytes."""


@dataclass(frozen=True)
class Receiver:
    """Where packages go. ``authority``: a PEM file where the receiver's certificate is not a public one's."""

    url: str
    token: str = field(default="", repr=False)
    authority: Path | None = None

    @property
    def host(self) -> str:
        """For people and the log: never the whole address, which may hold a secret."""
        return urlsplit(self.url).hostname or ""


def check_receiver(receiver: Receiver) -> Receiver:
    """HTTPS; plain HTTP to this machine only, for a tunnel. Raises KitError."""
    parts = urlsplit(receiver.url)
    local = parts.hostname in ("127.0.0.1", "::1", "localhost")
    if not parts.hostname or parts.username or not (parts.scheme == "https" or (parts.scheme == "http" and local)):
        raise KitError(f"--send-to {receiver.url}: not an https:// address", "https://receiver.example/files/")
    if not receiver.token.isascii() or not receiver.token.isprintable():
        raise KitError("--send-token: the file holds no token", "one line of letters and digits")
    _context(receiver)
    return receiver


def send(receiver: Receiver, package: Package, url: str, began: Callable[[str], None]) -> None:
    """Returns when the receiver has said that it holds exactly this package. Raises LineError, RefusedError.

    ``url``: where an upload of the same bytes has begun, or empty; ``began`` is called with a new one, and with nothing
    where the old one is gone.
    """
    with contextlib.closing(_Line(receiver)) as line:
        offset, digest = line.look(url) if url else (-1, "")
        if offset < 0:
            url = line.create(package)
            began(url)
            offset, digest = line.look(url)
        while 0 <= offset < len(package.data):
            offset, digest = line.push(url, package, offset)
        if offset == len(package.data) and not digest:
            offset, digest = line.look(url)
    if offset != len(package.data):
        began("")
        raise LineError(f"the receiver does not know the upload any more ({offset} of {len(package.data)} bytes)")
    if digest != _digest(package):
        raise RefusedError(f"the receiver has other bytes than were sent ({digest or 'no Repr-Digest'})", "")


class _Line:
    """One connection, for one package."""

    def __init__(self, receiver: Receiver) -> None:
        self._receiver, parts = receiver, urlsplit(receiver.url)
        host, port = parts.hostname or "", parts.port
        if parts.scheme == "https":
            context = _context(receiver)
            self._connection: http.client.HTTPConnection = http.client.HTTPSConnection(
                host, port, timeout=_TIMEOUT_S, context=context
            )
        else:
            self._connection = http.client.HTTPConnection(host, port, timeout=_TIMEOUT_S)

    def close(self) -> None:
        self._connection.close()

    def look(self, url: str) -> tuple[int, str]:
        """How many bytes the receiver has, and of a whole upload its digest; -1 where it knows no such upload."""
        status, headers = self.ask("HEAD", url)
        if status in (HTTPStatus.NOT_FOUND, HTTPStatus.GONE, HTTPStatus.FORBIDDEN):
            return -1, ""
        return self._offset(status, headers), headers.get("repr-digest", "")

    def create(self, package: Package) -> str:
        """Where the upload goes. A receiver that has the package, or a part of it, answers with the old place."""
        facts = {"filename": f"{package.id}.tar", "id": package.id, "sha256": package.sha256}
        metadata = ",".join(f"{name} {base64.b64encode(value.encode()).decode()}" for name, value in facts.items())
        given = {"Upload-Length": str(len(package.data)), "Upload-Metadata": metadata, "Content-Length": "0"}
        status, headers = self.ask("POST", self._receiver.url, given)
        place = urljoin(self._receiver.url, headers.get("location", ""))
        if status not in (HTTPStatus.OK, HTTPStatus.CREATED) or not headers.get("location"):
            raise LineError(f"the receiver made no upload (HTTP {status})")
        if urlsplit(place)[:2] != urlsplit(self._receiver.url)[:2]:
            raise RefusedError("the receiver wants the package at another host", "correct --send-to")
        return place

    def push(self, url: str, package: Package, offset: int) -> tuple[int, str]:
        """One piece; where the receiver's bytes end now, and the digest once they are whole."""
        piece = package.data[offset : offset + PIECE_BYTES]
        given = {"Upload-Offset": str(offset), "Content-Type": "application/offset+octet-stream"}
        status, headers = self.ask("PATCH", url, given, piece)
        if status == HTTPStatus.CONFLICT:
            return self.look(url)
        if status == _OTHER_BYTES:
            raise LineError("the package was damaged on its way; it begins again")
        after = self._offset(status, headers)
        if after != offset + len(piece):
            raise LineError(f"an answer that does not fit: {after} bytes instead of {offset + len(piece)}")
        return after, headers.get("repr-digest", "")

    def ask(
        self, method: str, url: str, given: Mapping[str, str] | None = None, body: bytes = b""
    ) -> tuple[int, Mapping[str, str]]:
        """Status and headers (names in lower case). Raises LineError, RefusedError."""
        headers = {"Tus-Resumable": _VERSION, **(given or {})}
        if self._receiver.token:
            headers["Authorization"] = f"Bearer {self._receiver.token}"
        parts = urlsplit(url)
        path = f"{parts.path or '/'}{'?' if parts.query else ''}{parts.query}"
        with _line_errors():
            self._connection.request(method, path, body or None, headers)
            answer = self._connection.getresponse()
            answer.read()
        found = {name.lower(): value for name, value in answer.getheaders()}
        if answer.status in (401, 413, 415) or (answer.status == 403 and method == "POST"):
            raise RefusedError(f"the receiver refused it (HTTP {answer.status})", "check --send-token and the receiver")
        if answer.status >= 500 or answer.status in (408, 412, 423, 429):
            wait = found.get("retry-after", "")
            raise LineError(
                f"the receiver is not ready (HTTP {answer.status})",
                min(float(wait), _LONGEST_WAIT_S) if wait.isdigit() else 0.0,
            )
        return answer.status, found

    @staticmethod
    def _offset(status: int, headers: Mapping[str, str]) -> int:
        text = headers.get("upload-offset", "")
        if status not in (HTTPStatus.OK, HTTPStatus.NO_CONTENT) or not (text.isascii() and text.isdigit()):
            raise LineError(f"an answer that does not fit (HTTP {status})")
        return int(text)


@contextlib.contextmanager
def _line_errors() -> Iterator[None]:
    try:
        yield
    except ssl.SSLCertVerificationError as error:
        raise RefusedError(
            f"the receiver's certificate is not trusted ({error.verify_message})", "give its authority with --send-ca"
        ) from error
    except (OSError, http.client.HTTPException) as error:
        words = error.strerror if isinstance(error, OSError) and error.strerror else type(error).__name__
        raise LineError(f"no line to the receiver ({words})") from error


def _digest(package: Package) -> str:
    return f"sha-256=:{base64.b64encode(bytes.fromhex(package.sha256)).decode()}:"


def _context(receiver: Receiver) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=None if receiver.authority is None else str(receiver.authority))
    except (OSError, ssl.SSLError) as error:
        raise KitError(f"--send-ca {receiver.authority}: not a certificate ({error})", "a PEM file") from error
