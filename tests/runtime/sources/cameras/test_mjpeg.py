"""MJPEG over HTTP, as different cameras speak it."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import pytest

from fieldlens.runtime.errors import SourceError
from fieldlens.runtime.sources.cameras.address import parse_address
from fieldlens.runtime.sources.cameras.link import Shot
from fieldlens.runtime.sources.cameras.mjpeg import MjpegLink
from fieldlens.runtime.sources.item import Encoded

FRAMES = [b"\xff\xd8" + bytes([n]) * (3000 + n) + b"\xff\xd9" for n in range(1, 6)]
MULTIPART = b"Content-Type: multipart/x-mixed-replace; boundary=%s\r\n"


@contextmanager
def server(talk: Callable[[socket.socket, bytes], None]) -> Iterator[str]:
    """One connection, answered by ``talk(client, request)``."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with suppress(OSError):
            client, _ = listener.accept()
            with client:
                talk(client, client.recv(4096))

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f"127.0.0.1:{listener.getsockname()[1]}"
    finally:
        listener.close()
        thread.join(5)


def link(where: str, user: str = "") -> MjpegLink:
    address = parse_address(f"http://{user}{where}/video?x=1")
    assert address is not None
    return MjpegLink(address)


def shots(where: str, count: int) -> list[Shot]:
    opened = link(where)
    try:
        found = [opened.read(1.0) for _ in range(count)]
    finally:
        opened.close()
    return [shot for shot in found if shot is not None]


def part(frame: bytes, *, boundary: bytes = b"--b", length: bool = True) -> bytes:
    header = b"Content-Type: image/jpeg\r\n" + (b"Content-Length: %d\r\n" % len(frame) if length else b"")
    return boundary + b"\r\n" + header + b"\r\n" + frame + b"\r\n"


def plain(client: socket.socket, request: bytes) -> None:
    assert request.startswith(b"GET /video?x=1 HTTP/1.1\r\n")
    client.sendall(b"HTTP/1.0 200 OK\r\n" + MULTIPART % b"b" + b"\r\n")
    for frame in FRAMES:
        client.sendall(part(frame))


def without_lengths(client: socket.socket, request: bytes) -> None:
    client.sendall(b"HTTP/1.0 200 OK\r\n" + MULTIPART % b'"--b"' + b"\r\n")
    client.sendall(b"".join(part(frame, length=False) for frame in FRAMES) + b"--b--")


def chunked(client: socket.socket, request: bytes) -> None:
    client.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n" + MULTIPART % b"b" + b"\r\n")
    text = b"".join(part(frame) for frame in FRAMES)
    for start in range(0, len(text), 777):
        block = text[start : start + 777]
        client.sendall(b"%x\r\n%s\r\n" % (len(block), block))


@pytest.mark.parametrize("talk", [plain, without_lengths, chunked])
def test_every_way_of_saying_it_gives_the_same_frames(talk: Callable[[socket.socket, bytes], None]) -> None:
    with server(talk) as where:
        found = shots(where, 5)
    assert [shot.image.data for shot in found if isinstance(shot.image, Encoded)] == FRAMES
    assert [shot.number for shot in found] == [1, 2, 3, 4, 5]
    assert len({shot.mark.print for shot in found}) == 5


def test_the_stamp_is_of_the_frames_first_byte_not_of_the_boundary_before() -> None:
    """A boundary right behind each frame, as mjpg-streamer sends it, must not make the next frame look old."""
    stamps = []

    def talk(client: socket.socket, request: bytes) -> None:
        client.sendall(b"HTTP/1.0 200 OK\r\n" + MULTIPART % b"b" + b"\r\n--b\r\n")
        for frame in FRAMES[:3]:
            time.sleep(0.15)
            stamps.append(time.monotonic())
            client.sendall(b"Content-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % len(frame))
            time.sleep(0.05)
            client.sendall(frame + b"\r\n--b\r\n")

    with server(talk) as where:
        found = shots(where, 3)
    for shot, sent in zip(found, stamps, strict=True):
        assert shot.image.timing.captured_at is not None
        assert 0 <= shot.image.timing.captured_at - sent < 0.04


def test_a_password_goes_into_the_header_and_nowhere_else() -> None:
    requests = []

    def talk(client: socket.socket, request: bytes) -> None:
        requests.append(request)
        client.sendall(b"HTTP/1.0 401 Unauthorized\r\n\r\n")

    with server(talk) as where, pytest.raises(SourceError, match="wants a password") as caught:
        link(where, "nurse:geheim@")
    assert b"Authorization: Basic bnVyc2U6Z2VoZWlt" in requests[0]
    assert "geheim" not in caught.value.message + caught.value.hint


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"HTTP/1.0 404 Not Found\r\n\r\n", "the camera says 404"),
        (b"HTTP/1.0 200 OK\r\nContent-Type: image/jpeg\r\n\r\n", "this is image/jpeg, not MJPEG"),
        (b"HTTP/1.0 200 OK\r\nContent-Type: text/html\r\n\r\n", "this is text/html, not MJPEG"),
        (b"RTSP/1.0 200 OK\r\n\r\n", "does not answer"),
        (b"", "does not answer"),
    ],
)
def test_an_answer_that_is_no_stream_says_so(answer: bytes, words: str) -> None:
    with server(lambda client, request: client.sendall(answer)) as where, pytest.raises(SourceError, match=words):
        link(where)


def test_nobody_there_says_so() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(SourceError, match="does not answer") as caught:
        link(f"127.0.0.1:{port}")
    assert "ping" in caught.value.hint


def test_a_thread_that_waits_in_a_silent_stream_can_be_woken() -> None:
    def talk(client: socket.socket, request: bytes) -> None:
        client.sendall(b"HTTP/1.0 200 OK\r\n" + MULTIPART % b"b" + b"\r\n")
        client.recv(1)

    with server(talk) as where:
        opened = link(where)
        threading.Timer(0.2, opened.interrupt).start()
        start = time.monotonic()
        with pytest.raises(SourceError):
            opened.read(10.0)
        assert time.monotonic() - start < 1.0
        opened.close()


def test_something_endless_that_is_no_mjpeg_is_given_up() -> None:
    def talk(client: socket.socket, request: bytes) -> None:
        client.sendall(b"HTTP/1.0 200 OK\r\n" + MULTIPART % b"b" + b"\r\n" + b"x" * 200_000)

    with server(talk) as where:
        opened = link(where)
        with pytest.raises(SourceError, match="not MJPEG"):
            opened.read(1.0)
        opened.close()
