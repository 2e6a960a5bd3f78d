"""The live view's server: for this machine's own browser and nobody else."""

from __future__ import annotations

import http.client
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from fieldlens.runtime.errors import KitError
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
    assert '<img src="/stream.mjpg"' in page
    assert "http" not in page
    assert "default-src 'none'" in str(answer.headers["Content-Security-Policy"])
    assert answer.headers["Cross-Origin-Resource-Policy"] == "same-origin"


def test_it_listens_on_loopback_only(server: LiveServer) -> None:
    listening = server._server.socket.getsockname()
    assert listening[0] == "127.0.0.1"


@pytest.mark.parametrize("path", ["/", "/stream.mjpg"])
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


def watch(server: LiveServer, pictures: list[bytes], count: int) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port_of(server), timeout=10)
    connection.request("GET", "/stream.mjpg")
    answer = connection.getresponse()
    while len(pictures) < count:
        line = answer.readline().strip()
        if line.lower().startswith(b"content-length:"):
            answer.readline()
            pictures.append(answer.read(int(line.split(b":")[1])))
    connection.close()


def wait_until(condition: object, seconds: float = 5.0) -> None:
    end = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.01)


def test_watchers_get_what_is_published_while_they_watch(server: LiveServer) -> None:
    assert not server.watched
    server.publish(b"of somebody who has left")
    pictures: list[bytes] = []
    thread = threading.Thread(target=watch, args=(server, pictures, 3))
    thread.start()
    wait_until(lambda: server.watched)
    for number in range(3):
        server.publish(b"image %d" % number)
        wait_until(lambda wanted=number: len(pictures) > wanted)
    thread.join(5)
    assert pictures == [b"image 0", b"image 1", b"image 2"]

    def nobody() -> bool:
        server.publish(b"more")
        return not server.watched

    wait_until(nobody)


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
