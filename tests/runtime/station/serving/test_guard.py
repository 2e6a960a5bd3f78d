"""Refused or harmless: what a hostile page, visitor or file tries."""

from __future__ import annotations

import http.client
import io
import socket
import statistics
import struct
import threading
import time
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from fieldlens.runtime.station.app import build_app, own_hosts
from fieldlens.runtime.station.serving.limits import RequestLimits
from fieldlens.runtime.station.serving.server import listen, serve
from fieldlens.runtime.station.station import Station
from fieldlens.runtime.stopping import Stopper
from tests.runtime.conftest import bomb, jpeg, scene
from tests.runtime.station.conftest import Opened, client_of

PATIENCE_S = 2.0
WICKED = [
    "'; DROP TABLE results; --", '" OR 1=1 --', "<script>alert(1)</script>", "<img src=x onerror=alert(1)>",
    "{{7*7}}", "${jndi:ldap://x}", "../../etc/passwd", "%00", "=cmd|' /C calc'!A0",
]  # fmt: skip


def uploaded(client: TestClient, data: bytes, **fields: str) -> tuple[int, dict[str, object]]:
    answer = client.post("/api/v1/predict", files=[("images", ("a.jpg", data))], data=fields)
    return answer.status_code, answer.json()


# ---------------------------------------------------------------- who asks


@pytest.mark.parametrize(
    "headers",
    [{"Host": "evil.example"}, {"Host": "evil.example:8080"}, {"Host": "127.0.0.1"}, {"Host": "127.0.0.1:8081"},
     {"Origin": "http://evil.example"}, {"Origin": "null"}, {"Origin": "https://127.0.0.1:8080"},
     {"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}],
    ids=str,
)  # fmt: skip
@pytest.mark.parametrize("path", ["/", "/api/v1/status", "/api/v1/results", "/static/station.js", "/healthz"])
def test_another_site_gets_nothing(client: TestClient, headers: dict[str, str], path: str) -> None:
    answer = client.get(path, headers=headers)
    assert answer.status_code == 403
    assert answer.json()["type"] in ("urn:fieldlens:host", "urn:fieldlens:origin")


def test_our_own_page_is_let_in(client: TestClient) -> None:
    headers = {"Origin": "http://127.0.0.1:8080", "Sec-Fetch-Site": "same-origin"}
    assert client.post("/api/v1/subjects", headers=headers).status_code == 200
    assert client.get("/", headers={"Host": "localhost:8080"}).status_code == 200


@pytest.mark.parametrize("path", ["/", "/api/v1/status", "/nothing", "/static/station.js", "/api/v1/openapi.json"])
def test_every_answer_carries_the_policy(client: TestClient, path: str) -> None:
    headers = client.get(path).headers
    assert "script-src 'self'" in headers["Content-Security-Policy"]
    assert "unsafe" not in headers["Content-Security-Policy"]
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert "Access-Control-Allow-Origin" not in headers


# ---------------------------------------------------------------- paths


@pytest.mark.parametrize(
    "path",
    ["/static/../app.py", "/static/..%2fapp.py", "/static/%2e%2e/%2e%2e/app.py", "/static/....//app.py",
     "/static//etc/passwd", "/api/v1/results/..%2f..%2fetc%2fpasswd", "/static/%00", "/static/..\\app.py"],
)  # fmt: skip
def test_no_path_leaves_its_folder(client: TestClient, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code in (404, 422), answer.text
    assert "import" not in answer.text
    assert "root:" not in answer.text


def test_an_uploads_name_is_no_path(station: Station, photo: bytes, tmp_path: Path) -> None:
    name = "../../../../tmp/evil.jpg"
    answer = client_of(station).post("/api/v1/predict", files=[("images", (name, photo))])
    assert answer.status_code == 200
    assert not list(tmp_path.rglob("*evil*"))
    database = b"".join(path.read_bytes() for path in station.settings.data.glob("records.db*"))
    assert b"evil" not in database, "names of files may be names of people"


# ---------------------------------------------------------------- sizes


def test_a_large_body_is_refused_before_it_is_read(opened: Opened, photo: bytes) -> None:
    client = client_of(opened(limits=RequestLimits(upload_bytes=1000)))
    status, problem = uploaded(client, photo)
    assert (status, problem["type"]) == (413, "urn:fieldlens:too-large")
    assert client.post("/api/v1/capture", content=b"x" * 20_000).status_code == 413


def test_a_large_body_without_a_length_is_cut_off(opened: Opened) -> None:
    client, sent = client_of(opened(limits=RequestLimits(json_bytes=1000))), 0

    def endless() -> Iterator[bytes]:
        nonlocal sent
        while sent < 100_000:
            sent += 500
            yield b" " * 500

    answer = client.post("/api/v1/capture", content=endless(), headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["type"]) == (413, "urn:fieldlens:too-large")


def test_too_many_files_and_unknown_fields_are_refused(client: TestClient, photo: bytes) -> None:
    many = client.post("/api/v1/predict", files=[("images", (f"{n}.jpg", b"x")) for n in range(33)])
    assert (many.status_code, many.json()["type"]) == (422, "urn:fieldlens:form")
    assert uploaded(client, photo, name="Mrs. Jones")[0] == 422
    assert client.post("/api/v1/predict", content=b"{}").status_code == 415
    broken = client.post("/api/v1/predict", content=b"x", headers={"Content-Type": "multipart/form-data"})
    assert broken.status_code == 400


def test_one_visitor_cannot_take_everything(opened: Opened) -> None:
    client = client_of(opened(limits=RequestLimits(rate=0.001, burst=3)))
    answers = [client.get("/healthz") for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert answers[-1].headers["Retry-After"] == "1"


def test_a_full_queue_says_when_to_come_back(station: Station, photo: bytes) -> None:
    station.engine._under_way = station.engine.capacity
    answer = client_of(station).post("/api/v1/predict", files=[("images", ("a.jpg", photo))])
    station.engine._under_way = 0
    assert (answer.status_code, answer.json()["type"]) == (503, "urn:fieldlens:busy")
    assert int(answer.headers["Retry-After"]) >= 1


# ---------------------------------------------------------------- files


def _wide_png() -> bytes:
    """12,000×12,000 in 200 kB: whole, and a bomb."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", 12_000, 12_000, 8, 0, 0, 0, 0)
    data = zlib.compress(bytes(12_001 * 12_000), 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def _zipped() -> bytes:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("evil.html", "<script>alert(1)</script>")
    return archive.getvalue()


SVG = b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'


@pytest.mark.parametrize(
    ("name", "data"),
    [("bomb", bomb()), ("a whole bomb", _wide_png()), ("svg", SVG), ("html", b"<html><script>alert(1)</script>"),
     ("zip", _zipped()), ("gif", b"GIF89a" + bytes(200)), ("pdf", b"%PDF-1.7\n" + bytes(200))],
)  # fmt: skip
def test_what_is_no_ordinary_image_is_refused(client: TestClient, name: str, data: bytes) -> None:
    status, problem = uploaded(client, data)
    assert (status, problem["type"]) == (422, "urn:fieldlens:not-an-image"), name
    assert client.get("/api/v1/results").json()["total"] == 0


def test_of_a_polyglot_only_the_pixels_stay(client: TestClient, photo: bytes) -> None:
    evil = b"<script>alert('polyglot')</script>"
    both = photo[:2] + b"\xff\xfe" + struct.pack(">H", len(evil) + 2) + evil + photo[2:] + _zipped()
    status, body = uploaded(client, both)
    if status == 422:
        return  # what follows the image is refused: just as harmless
    result = body["items"][0]["result"]  # type: ignore[index]
    for what in ("image", "heatmap"):
        kept = client.get(f"/api/v1/results/{result['id']}/{what}")
        assert kept.headers["content-type"] == "image/jpeg"
        assert b"script" not in kept.content
        assert b"PK\x03\x04" not in kept.content


# ---------------------------------------------------------------- fields


@pytest.mark.parametrize("text", WICKED)
def test_text_stays_text(client: TestClient, photo: bytes, text: str) -> None:
    status, body = uploaded(client, photo, operator=text, site=text)
    assert status == 200
    result = body["items"][0]["result"]  # type: ignore[index]
    assert (result["operator"], result["site"]) == (text, text)
    assert uploaded(client, photo, subject=text)[0] == 422, "an ID has letters, digits and . _ / - only"
    path = f"/api/v1/results/{result['id']}"
    client.post(f"{path}/review", json={"agrees": False, "note": text, "reviewer": text})
    assert client.get(path).json()["review"]["note"] == text
    for name in ("text", "operator", "site"):
        found = client.get("/api/v1/results", params={name: text}).json()
        assert [each["id"] for each in found["results"]] == [result["id"]]
    assert client.get("/api/v1/results").json()["total"] == 1


@pytest.mark.parametrize("text", ["a\0b", "a\x1b[2Jb", "a\u202eb", "x" * 101])
def test_what_cannot_be_shown_is_refused(client: TestClient, photo: bytes, text: str) -> None:
    status, problem = uploaded(client, photo, operator=text)
    assert (status, problem["type"]) == (422, "urn:fieldlens:invalid")


# ---------------------------------------------------------------- slow visitors, over real sockets


@pytest.fixture
def running(opened: Opened) -> Iterator[int]:
    """The port of a server in a thread that loses its patience after two seconds."""
    limits = RequestLimits(header_s=PATIENCE_S, chunk_s=PATIENCE_S)
    listener, stopper = listen("127.0.0.1", 0), Stopper()
    port = listener.getsockname()[1]
    app = build_app(opened(limits=limits), own_hosts(port))
    thread = threading.Thread(target=serve, args=(app, listener, limits, stopper))
    thread.start()
    yield port
    stopper.reason = "the test's end"
    thread.join(10)
    listener.close()


def test_who_never_finishes_is_hung_up_on_and_others_are_answered(running: int) -> None:
    """Slow-loris: sixty heads that never end, and a body that stops."""
    head = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX-"
    body = (
        f"POST /api/v1/predict HTTP/1.1\r\nHost: 127.0.0.1:{running}\r\nContent-Length: 1000\r\n"
        "Content-Type: multipart/form-data; boundary=x\r\n\r\n--x\r\n"
    )
    slow = [socket.create_connection(("127.0.0.1", running)) for _ in range(60)]
    for one in slow[:-1]:
        one.sendall(head)
    slow[-1].sendall(body.encode())
    began = time.monotonic()
    with socket.create_connection(("127.0.0.1", running), timeout=5) as quick:
        quick.sendall(f"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1:{running}\r\nConnection: close\r\n\r\n".encode())
        assert quick.recv(100).startswith(b"HTTP/1.1 200")
    for one in slow[:-1]:
        one.settimeout(20)
        assert one.recv(100) == b"", "closed"
    assert 0.8 * PATIENCE_S < time.monotonic() - began < 6 * PATIENCE_S
    assert slow[-1].recv(100).startswith(b"HTTP/1.1 408")
    for one in slow:
        one.close()


def test_an_old_protocol_and_noise_are_refused(running: int) -> None:
    for noise in (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc", b"GET / HTTP/9\r\n\r\n", b"\r\n" * 50 + b"x y z\r\n\r\n"):
        with socket.create_connection(("127.0.0.1", running), timeout=15) as one:
            one.sendall(noise)
            assert one.recv(20)[:12] in (b"HTTP/1.1 400", b"", b"HTTP/1.1 505")


def test_an_image_is_answered_over_the_wire(running: int) -> None:
    photo = jpeg(scene(1, 120, 160))
    body = b'--x\r\nContent-Disposition: form-data; name="images"; filename="a"\r\n\r\n' + photo + b"\r\n--x--\r\n"
    head = f"POST /api/v1/predict HTTP/1.1\r\nHost: 127.0.0.1:{running}\r\nConnection: close\r\n"
    head += f"Content-Length: {len(body)}\r\nContent-Type: multipart/form-data; boundary=x\r\n\r\n"
    with socket.create_connection(("127.0.0.1", running), timeout=15) as one:
        one.sendall(head.encode() + body)
        assert one.recv(100).startswith(b"HTTP/1.1 200")


def test_no_answer_waits_for_the_visitor_to_confirm_its_head(running: int) -> None:
    """Nagle's algorithm held every body back by 40 ms, from a connection's second answer on."""
    connection = http.client.HTTPConnection("127.0.0.1", running, timeout=15)
    waited_ms = []
    for _ in range(12):
        connection.request("GET", "/api/v1/openapi.json")
        answer = connection.getresponse()
        began = time.perf_counter()
        assert answer.read()
        waited_ms.append((time.perf_counter() - began) * 1e3)
    connection.close()
    assert statistics.median(waited_ms) < 20
