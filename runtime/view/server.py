"""The live view in a browser: a page and an MJPEG stream on the loopback interface, for this machine's user only.

A page on the internet must not look into the camera through the visitor's browser, so the Host header must be ours
(DNS rebinding) and a request that another site caused is refused (Origin, Sec-Fetch-Site).

The page asks for one image after the other (``/now``), so nothing is ever queued for it, and each comes with its age.
``/stream.mjpg`` is for viewers without scripts. Chromium paints a part of it only when the next part's header is
there, so each boundary and header follows the image before it at once; a length cannot stand in it for that reason.
"""

from __future__ import annotations

import json
import secrets
import threading
import time
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socket import SO_SNDBUF, SOL_SOCKET, socket
from typing import Any
from urllib.parse import parse_qs, urlsplit

from fieldlens.runtime.errors import KitError
from fieldlens.runtime.view.page import PAGE, POLICY, SCRIPT
from fieldlens.runtime.view.scene import Scene

_MOST_STREAMS = 4
_MOST_CONNECTIONS = 32
_HOLD_S = 1.0
"""How long a question for the next image waits for it."""
_LOOKS_S = 3.0
"""A page that asked so long ago still looks."""
_REPEAT_S = 1.0
"""A stream repeats its image after so long: that tells whether anybody is still there."""
_END_S = 0.5
_WRITE_S = 5.0
_SEND_BUFFER = 128 * 1024
"""Small on purpose: what waits in it for a slow viewer is old when it arrives."""
_TEXT = "text/plain; charset=utf-8"


class LiveServer:
    """Serves what is published. ``came``: called when somebody begins to look. Port 0 takes any free one.

    Raises KitError if the port is taken.
    """

    def __init__(self, port: int, came: Callable[[], None] = lambda: None) -> None:
        try:
            self._server = _Server(port, came)
        except (OSError, OverflowError) as error:
            raise KitError(
                f"--stream {port}: the port cannot be used ({getattr(error, 'strerror', error)})",
                f"see who has it: ss -ltnp 'sport = :{port}'; or choose another",
            ) from error
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.2,), name="stream", daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """Where to look."""
        return f"http://127.0.0.1:{self._server.server_port}/"

    @property
    def watched(self) -> bool:
        """Whether drawing is worth the while."""
        return self._server.watched

    def publish(self, scene: Scene, jpeg: bytes, marked_jpeg: bytes) -> None:
        """Show this image to everybody who watches; ``marked_jpeg`` where no page says how old it is."""
        self._server.show(_Published(secrets.token_hex(8), scene, jpeg, marked_jpeg))

    def forget(self) -> None:
        """Nobody watches: whoever comes next waits for a new image."""
        self._server.show(None)

    def close(self) -> None:
        """End all streams, each with the image published last."""
        self._server.end()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(_END_S)


class _Published:
    """An image under a name that no other run of this program will use."""

    def __init__(self, name: str, scene: Scene, jpeg: bytes, marked_jpeg: bytes) -> None:
        self.name, self.scene, self.jpeg, self.marked_jpeg = name, scene, jpeg, marked_jpeg

    def to_json(self, now: float) -> dict[str, Any]:
        """What the page has to know; times are in ms."""
        scene = self.scene
        return {
            "id": self.name,
            "kind": scene.kind,
            "title": scene.title,
            "lines": scene.lines,
            "age_ms": None if scene.since is None else round((now - scene.since) * 1e3),
            "left_ms": None if scene.old_at is None else round((scene.old_at - now) * 1e3),
        }


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, port: int, came: Callable[[], None]) -> None:
        self.changed = threading.Condition()
        self.published: _Published | None = None
        self.ended = False
        self.streams = 0
        self._asking = 0
        self._asked_at = -1e9
        self._came = came
        self._connections = threading.BoundedSemaphore(_MOST_CONNECTIONS)
        super().__init__(("127.0.0.1", port), _Handler)

    @property
    def watched(self) -> bool:
        return bool(self.streams or self._asking) or time.monotonic() - self._asked_at < _LOOKS_S

    def show(self, published: _Published | None) -> None:
        with self.changed:
            self.published = published
            self.changed.notify_all()

    def next_image(self, name: str, timeout_s: float) -> _Published | None:
        """The image that is shown, once it is not the one called ``name``; None where it still is after a while."""
        with self.changed:
            self._asking += 1
        self._came()
        try:
            with self.changed:
                self.changed.wait_for(lambda: self.ended or self._is_new(name), timeout_s)
                self._asked_at = time.monotonic()
                return self.published if self._is_new(name) else None
        finally:
            with self.changed:
                self._asking -= 1
                if self.ended:
                    self.changed.notify_all()

    def _is_new(self, name: str) -> bool:
        return self.published is not None and self.published.name != name

    def end(self) -> None:
        """Let the streams send what is left, and wait for them a moment."""
        with self.changed:
            self.ended = True
            self.changed.notify_all()
            self.changed.wait_for(lambda: not self.streams and not self._asking, _END_S)

    def join_stream(self) -> bool:
        """Whether there was room for one more stream."""
        with self.changed:
            room = self.streams < _MOST_STREAMS
            self.streams += room
        return room

    def leave_stream(self) -> None:
        with self.changed:
            self.streams -= 1
            self.changed.notify_all()

    def process_request(self, request: Any, client_address: Any) -> None:
        """A thread for each connection, up to a number."""
        if self._connections.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._connections.release()

    def handle_error(self, request: object, client_address: object) -> None:
        """A watcher that went away is no news."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    connection: socket
    timeout = _WRITE_S
    protocol_version = "HTTP/1.1"
    server_version = "fieldlens"
    sys_version = ""
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        """The page, its script, the next image, or the stream."""
        path = urlsplit(self.path).path
        if not self._from_here():
            self.close_connection = True
            self._answer(HTTPStatus.FORBIDDEN, _TEXT, b"only from this machine's own browser\n")
        elif path == "/":
            self._answer(HTTPStatus.OK, "text/html; charset=utf-8", PAGE.encode())
        elif path == "/live.js":
            self._answer(HTTPStatus.OK, "text/javascript; charset=utf-8", SCRIPT.encode())
        elif path == "/now":
            self._now()
        elif path == "/stream.mjpg":
            self._stream()
        else:
            self._answer(HTTPStatus.NOT_FOUND, _TEXT, b"there are / and /stream.mjpg\n")

    def _from_here(self) -> bool:
        port = self.server.server_port
        hosts = [f"{name}:{port}" for name in ("127.0.0.1", "localhost")]
        if self.headers.get_all("Host", []) not in [[host] for host in hosts]:
            return False
        origin = self.headers.get("Origin")
        site = self.headers.get("Sec-Fetch-Site", "none")
        return origin in (None, *(f"http://{host}" for host in hosts)) and site in ("none", "same-origin")

    def _answer(self, status: HTTPStatus, kind: str, body: bytes, **more: str) -> None:
        self.send_response(status)
        self._headers(kind, **more)
        if status is not HTTPStatus.NO_CONTENT:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _headers(self, kind: str, **more: str) -> None:
        headers = {
            "Content-Type": kind,
            "Content-Security-Policy": POLICY,
            "Cross-Origin-Resource-Policy": "same-origin",
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",
            "Cache-Control": "no-store",
            **({"Connection": "close"} if self.close_connection else {}),
            **more,
        }
        for name, value in headers.items():
            self.send_header(name, value)

    def _now(self) -> None:
        """The image that is shown, unless the page has it already; what the page must know is in a header."""
        asked = time.monotonic()
        known = parse_qs(urlsplit(self.path).query).get("after", [""])[0]
        found = self.server.next_image(known, _HOLD_S)
        now = time.monotonic()
        state = {} if found is None else found.to_json(now)
        said = {"Fieldlens": json.dumps({**state, "held_ms": round((now - asked) * 1e3), "ended": self.server.ended})}
        self.close_connection = self.close_connection or self.server.ended
        if found is None:
            self._answer(HTTPStatus.NO_CONTENT, "image/jpeg", b"", **said)
        else:
            self._answer(HTTPStatus.OK, "image/jpeg", found.jpeg, **said)

    def _stream(self) -> None:
        self.close_connection = True
        if not self.server.join_stream():
            self._answer(HTTPStatus.SERVICE_UNAVAILABLE, _TEXT, b"four are watching already\n")
            return
        try:
            self.connection.setsockopt(SOL_SOCKET, SO_SNDBUF, _SEND_BUFFER)
            boundary = secrets.token_hex(16)
            self.send_response(HTTPStatus.OK)
            self._headers(f"multipart/x-mixed-replace; boundary={boundary}")
            self.end_headers()
            self._send_images(f"--{boundary}".encode())
        finally:
            self.server.leave_stream()

    def _send_images(self, boundary: bytes) -> None:
        """Each image with the next one's boundary and header; the newest again where nothing new comes."""
        header = boundary + b"\r\nContent-Type: image/jpeg\r\n\r\n"
        self.wfile.write(header)
        name, server, over = "", self.server, False
        while not over:
            found = server.next_image(name, _REPEAT_S) or server.published
            over = server.ended and (found is None or found is server.published)
            if found is not None and not _too_old(found.scene):
                name = found.name
                self.wfile.write(found.marked_jpeg + b"\r\n" + (boundary + b"--\r\n" if over else header))

    def log_message(self, format: str, *args: object) -> None:
        """No log of who looked: one person's machine, one person's screen."""


def _too_old(scene: Scene) -> bool:
    """A second lock on the door: the drawing thread has replaced it by then."""
    return scene.old_at is not None and time.monotonic() > scene.old_at
