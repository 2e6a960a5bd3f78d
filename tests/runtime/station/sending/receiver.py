"""A reference receiver: tus 1.0.0 (core, creation) in a folder, with the hash of what it holds.

What a clinic's receiver has to do beside tus: one place for each ID, however often it is asked for one; of a whole
upload its own SHA-256 in ``Repr-Digest``, from the bytes on its disk; and where that is not the ``sha256`` of the
metadata, 460 and the same upload from its first byte.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import ssl
import threading
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from fieldlens.runtime.station.serving.certificate import TlsFiles

BLOCK = 4096


class ReferenceReceiver(ThreadingHTTPServer):
    """``folder`` has ``ID.part`` while an upload goes on, ``ID.json`` about it, and ``ID.tar`` when it is whole."""

    daemon_threads = True

    def __init__(self, folder: Path, token: str = "", tls: TlsFiles | None = None) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.folder, self.token, self.scheme = folder, token, "http" if tls is None else "https"
        if tls is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(tls.certificate, tls.key)
            self.socket = context.wrap_socket(self.socket, server_side=True)
        self.locks: dict[str, threading.Lock] = {}
        self.arrived: Counter[str] = Counter()
        """How often each became whole; more than once would be a duplicate."""
        self.ready = True

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.server_address[1]}/files/"

    def handle_error(self, request: object, client_address: object) -> None:
        """A cut line is no news here."""


@contextlib.contextmanager
def receiving(folder: Path, token: str = "", tls: TlsFiles | None = None) -> Iterator[ReferenceReceiver]:
    """A receiver that answers in this process."""
    folder.mkdir(parents=True, exist_ok=True)
    with ReferenceReceiver(folder, token, tls) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 10
    server: ReferenceReceiver

    def log_message(self, format: str, *args: object) -> None:
        pass

    def _say(self, status: int, **headers: object) -> None:
        self.send_response(status)
        self.send_header("Tus-Resumable", "1.0.0")
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), str(value))
        if status != 204:
            self.send_header("Content-Length", "0")
        self.end_headers()

    def _known(self) -> Path | None:
        """``ID.json`` of the upload that is asked for."""
        path = self.server.folder / f"{self.path.rpartition('/')[2]}.json"
        return path if path.is_file() else None

    def _refused(self) -> bool:
        if self.server.token and self.headers.get("Authorization") != f"Bearer {self.server.token}":
            self._say(401)
            return True
        if not self.server.ready:
            self._say(503, Retry_After="0")
            return True
        return False

    def do_POST(self) -> None:
        if self._refused():
            return
        pairs = (pair.split(" ") for pair in self.headers["Upload-Metadata"].split(","))
        facts = {name: base64.b64decode(value).decode() for name, value in pairs}
        path = self.server.folder / f"{facts['id']}.json"
        status = 200 if path.exists() else 201
        if status == 201:
            path.with_suffix(".part").touch()
            path.write_text(json.dumps({"length": int(self.headers["Upload-Length"]), "sha256": facts["sha256"]}))
        self._say(status, Location=f"/files/{facts['id']}")

    def do_HEAD(self) -> None:
        if self._refused():
            return
        if (path := self._known()) is None:
            self._say(404)
            return
        with self._lock(path):
            self._say(200, Cache_Control="no-store", **self._facts(path))

    def do_PATCH(self) -> None:
        left = int(self.headers["Content-Length"])
        if self._refused() or (path := self._known()) is None:
            self.close_connection = True
            return
        with self._lock(path):
            if int(self.headers["Upload-Offset"]) != _held(path).stat().st_size:
                self.rfile.read(left)
                self._say(409)
                return
            with path.with_suffix(".part").open("ab") as file:
                while left and (block := self.rfile.read1(min(BLOCK, left))):  # each block counts, if the line is cut
                    file.write(block)
                    file.flush()
                    left -= len(block)
            if left:
                self.close_connection = True
                return
            facts = json.loads(path.read_text())
            part = path.with_suffix(".part")
            if part.stat().st_size == facts["length"]:
                if hashlib.sha256(part.read_bytes()).hexdigest() != facts["sha256"]:
                    part.write_bytes(b"")
                    self._say(460, Upload_Offset=0)
                    return
                part.rename(path.with_suffix(".tar"))
                self.server.arrived[path.stem] += 1
            self._say(204, **self._facts(path))

    def _lock(self, path: Path) -> threading.Lock:
        return self.server.locks.setdefault(path.stem, threading.Lock())

    def _facts(self, path: Path) -> dict[str, object]:
        held = _held(path)
        facts: dict[str, object] = {
            "Upload_Offset": held.stat().st_size,
            "Upload_Length": json.loads(path.read_text())["length"],
        }
        if held.suffix == ".tar":
            digest = hashlib.sha256(held.read_bytes()).digest()
            facts["Repr_Digest"] = f"sha-256=:{base64.b64encode(digest).decode()}:"
        return facts


def _held(path: Path) -> Path:
    whole = path.with_suffix(".tar")
    return whole if whole.exists() else path.with_suffix(".part")
