"""The live view's server: for this machine's own browser and nobody else."""

from __future__ import annotations

import contextlib
import http.client
import json
import re
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from fieldlens.runtime.errors import KitError
from fieldlens.runtime.view.scene import Scene
from fieldlens.runtime.view.server import LiveServer


@pytest.fixture
def server() -> Iterator[LiveServer]:
    made = LiveServer(0)
    yield made
    made.close()


def port_of(server: LiveServer) -> int:
    return int(server.url.rstrip("/").rpartition(":")[2])


def status(server: LiveServer, path: str = "/", method: str = "GET", **headers: str) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port_of(server), timeout=5)
    connection.request(method, path, headers={name.replace("_", "-"): value for name, value in headers.items()})
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return answer.status


def test_the_page_is_self_contained(server: LiveServer) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port_of(server), timeout=5)
    connection.request("GET", "/")
    answer = connection.getresponse()
    page = answer.read().decode()
    connection.close()
    assert answer.status == 200
    assert '<noscript><img src="/stream.mjpg"' in page
    assert '<script src="/live.js"></script>' in page
    assert "'unsafe-inline'" not in str(answer.headers["Content-Security-Policy"]).replace(
        "style-src 'unsafe-inline'", ""
    )
    assert "http" not in page
    assert "default-src 'none'" in str(answer.headers["Content-Security-Policy"])
    assert answer.headers["Cross-Origin-Resource-Policy"] == "same-origin"


def test_it_listens_on_loopback_only(server: LiveServer) -> None:
    listening = server._server.socket.getsockname()
    assert listening[0] == "127.0.0.1"


@pytest.mark.parametrize("path", ["/", "/live.js", "/now", "/stream.mjpg"])
@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Host": "evil.example:{port}"},
        {"Host": "127.0.0.1"},
        {"Host": "127.0.0.1:{port}", "Origin": "http://evil.example"},
        {"Host": "127.0.0.1:{port}", "Origin": "null"},
        {"Host": "127.0.0.1:{port}", "Origin": "https://127.0.0.1:{port}"},
        {"Host": "127.0.0.1:{port}", "Sec_Fetch_Site": "cross-site"},
        {"Host": "127.0.0.1:{port}", "Sec_Fetch_Site": "same-site"},
    ],
    ids=str,
)
def test_another_sites_request_is_refused(server: LiveServer, path: str, headers: dict[str, str]) -> None:
    port = str(port_of(server))
    assert status(server, path, **{name: value.format(port=port) for name, value in headers.items()}) == 403


def test_two_host_headers_are_refused(server: LiveServer) -> None:
    with socket.create_connection(("127.0.0.1", port_of(server)), 5) as raw:
        host = f"Host: 127.0.0.1:{port_of(server)}\r\n".encode()
        raw.sendall(b"GET / HTTP/1.1\r\n" + host + b"Host: evil.example\r\n\r\n")
        assert b" 403 " in raw.recv(100)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_our_own_names_are_served(server: LiveServer, host: str) -> None:
    own = f"{host}:{port_of(server)}"
    assert status(server, Host=own) == 200
    assert status(server, Host=own, Origin=f"http://{own}", Sec_Fetch_Site="same-origin") == 200
    assert status(server, "/else", Host=own) == 404
    assert status(server, method="POST", Host=own) == 501


def a_scene(kind: str = "card", old_at: float | None = None) -> Scene:
    blank = np.zeros((2, 2, 3), np.uint8)
    return Scene(kind, (), "title", ("words",), lambda: blank, time.monotonic(), old_at)


def publish(server: LiveServer, data: bytes, **more: Any) -> None:
    server.publish(a_scene(**more), data, data)


def watch(server: LiveServer, pictures: list[bytes], count: int) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port_of(server), timeout=10)
    connection.request("GET", "/stream.mjpg")
    answer = connection.getresponse()
    boundary = f"--{answer.headers.get_param('boundary')}".encode()
    assert answer.readline().strip() == boundary
    while len(pictures) < count:
        assert answer.readline() == b"Content-Type: image/jpeg\r\n"
        assert answer.readline() == b"\r\n"
        picture = answer.readline().strip()
        assert answer.readline().strip() == boundary
        if picture not in pictures:  # the newest is repeated where nothing new comes
            pictures.append(picture)
    connection.close()


def wait_until(condition: object, seconds: float = 5.0) -> None:
    end = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.01)


def test_watchers_get_what_is_published_while_they_watch(server: LiveServer) -> None:
    assert not server.watched
    publish(server, b"of somebody who has left")
    server.forget()
    pictures: list[bytes] = []
    thread = threading.Thread(target=watch, args=(server, pictures, 3))
    thread.start()
    wait_until(lambda: server.watched)
    for number in range(3):
        publish(server, b"image %d" % number)
        wait_until(lambda wanted=number: len(pictures) > wanted)
    thread.join(5)
    assert pictures == [b"image 0", b"image 1", b"image 2"]
    wait_until(lambda: not server.watched, 10)


def test_who_comes_is_announced() -> None:
    came = threading.Event()
    server = LiveServer(0, came.set)
    assert status(server) == 200
    assert not came.is_set()
    assert status(server, "/now") == 204
    assert came.is_set()
    assert server.watched
    server.close()


def ask(server: LiveServer, after: str = "") -> tuple[dict[str, Any], bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port_of(server), timeout=5)
    connection.request("GET", f"/now?after={after}")
    answer = connection.getresponse()
    state = json.loads(str(answer.headers["Fieldlens"]))
    body = answer.read()
    connection.close()
    return state, body


def test_the_page_is_told_what_an_image_is_and_when_it_must_be_gone(server: LiveServer) -> None:
    publish(server, b"jpeg", kind="answer", old_at=time.monotonic() + 2)
    state, body = ask(server)
    assert body == b"jpeg"
    assert state["kind"] == "answer"
    assert state["title"] == "title"
    assert state["lines"] == ["words"]
    assert 0 <= state["age_ms"] < 1000
    assert 1000 < state["left_ms"] <= 2000
    again, nothing = ask(server, state["id"])
    assert nothing == b""
    assert again["held_ms"] >= 900


def test_two_servers_never_give_an_image_the_same_name() -> None:
    """A page that knew the first one's image would take the second one's for the same."""
    names = set()
    for _ in range(2):
        server = LiveServer(0)
        publish(server, b"jpeg")
        names.add(ask(server)[0]["id"])
        server.close()
    assert len(names) == 2


def test_an_old_answer_is_not_sent_to_a_stream_that_begins_now(server: LiveServer) -> None:
    publish(server, b"old", kind="answer", old_at=time.monotonic() - 0.1)
    pictures: list[bytes] = []
    thread = threading.Thread(target=watch, args=(server, pictures, 1))
    thread.start()
    time.sleep(0.3)
    publish(server, b"card")
    thread.join(5)
    assert pictures == [b"card"]


def test_the_last_thing_a_stream_gets_is_what_was_published_last() -> None:
    server = LiveServer(0)
    publish(server, b"answer")
    with socket.create_connection(("127.0.0.1", port_of(server)), 5) as raw:
        raw.sendall(f"GET /stream.mjpg HTTP/1.1\r\nHost: 127.0.0.1:{port_of(server)}\r\n\r\n".encode())
        wait_until(lambda: server.watched)
        publish(server, b"the run has ended")
        server.close()
        data = b""
        while block := raw.recv(65_536):
            data += block
    assert re.search(rb"\r\n\r\nthe run has ended\r\n--[0-9a-f]{32}--\r\n$", data)


def test_more_connections_than_there_is_room_for_are_closed(server: LiveServer) -> None:
    opened = [socket.create_connection(("127.0.0.1", port_of(server)), 5) for _ in range(40)]
    closed = 0
    for each in opened:
        each.settimeout(0.05)
        with contextlib.suppress(TimeoutError):
            closed += each.recv(1) == b""
    assert closed >= 8
    for each in opened:
        each.close()
    wait_until(lambda: answers(server))


def answers(server: LiveServer) -> bool:
    try:
        return status(server) == 200
    except (OSError, http.client.HTTPException):
        return False


def test_a_fifth_watcher_is_turned_away(server: LiveServer) -> None:
    connections = []
    for _ in range(4):
        connection = http.client.HTTPConnection("127.0.0.1", port_of(server), timeout=5)
        connection.request("GET", "/stream.mjpg")
        connections.append((connection, connection.getresponse()))
    assert status(server, "/stream.mjpg") == 503
    assert status(server) == 200
    for connection, answer in connections:
        answer.close()
        connection.close()


def test_a_port_that_is_taken_names_the_command() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(KitError, match="cannot be used") as caught:
            LiveServer(port)
    assert f"ss -ltnp 'sport = :{port}'" in caught.value.hint
