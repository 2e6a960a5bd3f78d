"""The live view in a browser: MJPEG on the loopback interface, for this machine's own user and nobody else.

A page on the internet must not look into the camera through the visitor's browser, so the Host header must be ours
(DNS rebinding) and a request that another site caused is refused (Origin, Sec-Fetch-Site).
"""

from __future__ import annotations

import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from fieldlens.runtime.errors import KitError

_MOST_WATCHERS = 4
_SILENCE_S = 2.0
_END_S = 0.5
_WRITE_S = 5.0
_BOUNDARY = "frame"
_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Fieldlens live view</title>
<style>
body { margin: 0; background: #14171c; color: #e6edf3; font: 16px/1.5 system-ui, sans-serif; text-align: center }
img { max-width: 100%; max-height: 92vh }
</style></head>
<body><img src="/stream.mjpg" alt="the camera's image with the outcome written below it">
<p>Where the model looked, not where the disease is.</p></body></html>
"""
_POLICY = "default-src 'none'; img-src 'self'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'"


class LiveServer:
    """Serves what is published to up to four watchers. Port 0 takes any free one. Raises KitError if it is taken."""

    def __init__(self, port: int) -> None:
        try:
            self._server = _Server(port)
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
        return self._server.watchers > 0

    def publish(self, jpeg: bytes) -> None:
        """Show this image to everybody who watches."""
        with self._server.changed:
            self._server.jpeg = jpeg
            self._server.number += 1
            self._server.changed.notify_all()

    def close(self) -> None:
        """End all streams."""
        with self._server.changed:
            self._server.ended = True
            self._server.changed.notify_all()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(_END_S)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, port: int) -> None:
        self.changed = threading.Condition()
        self.jpeg = b""
        self.number = 0
        self.watchers = 0
        self.ended = False
        super().__init__(("127.0.0.1", port), _Handler)

    def handle_error(self, request: object, client_address: object) -> None:
        """A watcher that went away is no news."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = _WRITE_S
    server_version = "fieldlens"
    sys_version = ""

    def do_GET(self) -> None:
        """The page, or the stream."""
        if not self._from_here():
            self._answer(HTTPStatus.FORBIDDEN, "text/plain; charset=utf-8", b"only from this machine's own browser\n")
        elif self.path == "/":
            self._answer(HTTPStatus.OK, "text/html; charset=utf-8", _PAGE.encode())
        elif self.path == "/stream.mjpg":
            self._stream()
        else:
            self._answer(HTTPStatus.NOT_FOUND, "text/plain; charset=utf-8", b"there are / and /stream.mjpg\n")

    def _from_here(self) -> bool:
        port = self.server.server_port
        hosts = [f"{name}:{port}" for name in ("127.0.0.1", "localhost")]
        if self.headers.get_all("Host", []) not in [[host] for host in hosts]:
            return False
        origin = self.headers.get("Origin")
        site = self.headers.get("Sec-Fetch-Site", "none")
        return origin in (None, *(f"http://{host}" for host in hosts)) and site in ("none", "same-origin")

    def _answer(self, status: HTTPStatus, kind: str, body: bytes) -> None:
        self.send_response(status)
        self._common_headers(kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _common_headers(self, kind: str) -> None:
        headers = {
            "Content-Type": kind,
            "Content-Security-Policy": _POLICY,
            "Cross-Origin-Resource-Policy": "same-origin",
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",
            "Cache-Control": "no-store",
        }
        for name, value in headers.items():
            self.send_header(name, value)

    def _stream(self) -> None:
        with self.server.changed:
            full = self.server.watchers >= _MOST_WATCHERS
            self.server.watchers += not full
        if full:
            self._answer(HTTPStatus.SERVICE_UNAVAILABLE, "text/plain; charset=utf-8", b"four are watching already\n")
            return
        try:
            self.send_response(HTTPStatus.OK)
            self._common_headers(f"multipart/x-mixed-replace; boundary={_BOUNDARY}")
            self.end_headers()
            self._send_images()
        finally:
            with self.server.changed:
                self.server.watchers -= 1

    def _send_images(self) -> None:
        """Only images published from now on: an older one may be of somebody who has left."""
        server, sent = self.server, self.server.number
        while True:
            with server.changed:
                if server.number == sent and not server.ended:
                    server.changed.wait(_SILENCE_S)
                if server.ended:
                    return
                fresh, jpeg, sent = server.number > sent, server.jpeg, server.number
            if fresh:
                head = f"--{_BOUNDARY}\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n"
                self.wfile.write(head.encode() + jpeg + b"\r\n")
            else:
                self.wfile.write(b"\r\n")  # finds out whether anybody is still there
            self.wfile.flush()

    def log_message(self, format: str, *args: object) -> None:
        """No log of who looked: one person's machine, one person's screen."""
