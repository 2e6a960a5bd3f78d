"""MJPEG over HTTP: the reader keeps bytes, and only the frame that is looked at gets decoded (strictly, later)."""

from __future__ import annotations

import base64
import contextlib
import http.client
import re
import socket
import time
import zlib
from collections.abc import Callable, Iterator
from urllib.parse import unquote, urlsplit

from fieldlens.runtime.errors import SourceError
from fieldlens.runtime.sources.cameras.address import Address, without_password
from fieldlens.runtime.sources.cameras.health import NOTICED_S, Mark
from fieldlens.runtime.sources.cameras.link import Shot
from fieldlens.runtime.sources.item import Encoded
from fieldlens.runtime.sources.timing import Timing

_CONNECT_S = 3.0
_RECEIVE_BUFFER = 256 * 1024
"""Small on purpose: what waits in the kernel's buffer is old, and cannot be told from a fresh frame."""
_LARGEST_FRAME = 64_000_000
_LARGEST_HEADER = 16_384


class MjpegLink:
    """A connection to a camera's ``multipart/x-mixed-replace`` stream."""

    def __init__(self, address: Address) -> None:
        self.opening = False
        self._name = address.name
        self._response, self._socket = _connect(address)
        try:
            self._boundary = _boundary(self._response, address)
        except SourceError:
            self.close()
            raise
        self._frames = self._parse()
        self._buffer = bytearray()
        self._began = self._received = time.monotonic()
        self._number = 0

    def read(self, timeout_s: float) -> Shot | None:
        """The next frame's bytes."""
        try:
            return next(self._frames)
        except StopIteration:
            raise SourceError(f"{self._name}: the camera ended the stream", "look at the camera") from None
        except TimeoutError:
            raise SourceError(f"{self._name}: no image for {NOTICED_S:.1f} s", "check cable and camera") from None
        except (OSError, ValueError, http.client.HTTPException) as error:
            raise SourceError(f"{self._name}: the stream broke ({error})", "check cable and camera") from error

    def _parse(self) -> Iterator[Shot]:
        while True:
            self._began = self._received
            if not self._fill_until(lambda: b"\r\n\r\n" in self._buffer, _LARGEST_HEADER):
                return
            captured = self._began
            header, _, rest = bytes(self._buffer).partition(b"\r\n\r\n")
            self._buffer = bytearray(rest)
            data = self._body(header)
            if data is None:
                return
            self._number += 1
            image = Encoded(f"{self._name}#{self._number}", data, Timing(captured_at=captured))
            yield Shot(self._number, image, Mark(zlib.crc32(data)))

    def _body(self, header: bytes) -> bytes | None:
        """The part's bytes: by its length where it says one, else up to the next boundary."""
        announced = re.search(rb"(?i)content-length:\s*(\d+)", header)
        if announced:
            length = int(announced[1])
            if length > _LARGEST_FRAME or not self._fill_until(lambda: len(self._buffer) >= length, _LARGEST_FRAME):
                return None
        else:
            if not self._fill_until(lambda: self._boundary in self._buffer, _LARGEST_FRAME):
                return None
            length = self._buffer.index(self._boundary)
        data = bytes(self._buffer[:length])
        del self._buffer[:length]
        return data if announced else data.rstrip(b"\r\n")

    def _fill_until(self, enough: Callable[[], bool], most: int) -> bool:
        """Receive until ``enough()``; False at the end of the stream. A frame that dribbles in counts as none."""
        deadline = time.monotonic() + NOTICED_S
        while not enough():
            if len(self._buffer) > most:
                raise ValueError("this is not MJPEG")
            if time.monotonic() > deadline:
                raise TimeoutError
            block = self._response.read1(65_536)
            if not block:
                return False
            self._received = time.monotonic()
            if self._between_frames():
                self._began = self._received
            self._buffer += block
        return True

    def _between_frames(self) -> bool:
        """Nothing of the next frame is here yet; many cameras send its boundary right behind the frame before."""
        return len(self._buffer) < 200 and self._buffer.strip(b"-\r\n ") in (b"", self._boundary.strip(b"-"))

    def interrupt(self) -> None:
        """Shutting the socket down wakes a thread that waits in it."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Hang up."""
        self.interrupt()
        self._response.close()
        self._socket.close()


def _connect(address: Address) -> tuple[http.client.HTTPResponse, socket.socket]:
    parts = urlsplit(address.target)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.hostname or "", parts.port, timeout=_CONNECT_S)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    headers = {"User-Agent": "fieldlens", "Accept": "multipart/x-mixed-replace"}
    if parts.username is not None:
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        headers["Authorization"] = "Basic " + base64.b64encode(pair.encode()).decode()
    try:
        connection.connect()
        raw = connection.sock
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)
        connection.request("GET", path, headers=headers)
        response = connection.getresponse()
    except (OSError, http.client.HTTPException) as error:
        connection.close()
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise SourceError(
            f"{address.name}: the camera does not answer ({reason})", f"is it on, and reachable? ping {parts.hostname}"
        ) from error
    raw.settimeout(NOTICED_S)
    return response, raw


def _boundary(response: http.client.HTTPResponse, address: Address) -> bytes:
    """What separates the frames. Raises SourceError where the answer is no stream of JPEGs."""
    kind = response.headers.get("Content-Type", "")
    if response.status == 200 and kind.lower().startswith("multipart/"):
        found = re.search(r'boundary="?([^";]+)"?', kind, flags=re.IGNORECASE)
        name = found[1].strip() if found else ""
        return (name if name.startswith("--") else f"--{name}").encode("latin-1")
    if response.status == 401:
        hint = "give user and password: http://USER:PASSWORD@HOST/PATH (basic authentication)"
        raise SourceError(f"{address.name}: the camera wants a password", hint)
    if response.status != 200:
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
