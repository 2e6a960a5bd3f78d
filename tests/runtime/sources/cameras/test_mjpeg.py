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
    """Connections one after the other, each answered by ``talk(client, request)``."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with suppress(OSError):
            while True:
                client, _ = listener.accept()
                with client, suppress(OSError):
                    talk(client, client.recv(4096))

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f"127.0.0.1:{listener.getsockname()[1]}"
    finally:
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
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


def part(
    frame: bytes, *, boundary: bytes = b"--b", length: bool = True, end: bytes = b"\r\n", extra: bytes = b""
) -> bytes:
    header = b"Content-Type: image/jpeg\r\n" + (b"Content-Length: %d\r\n" % len(frame) if length else b"") + extra
    return boundary + end + header.replace(b"\r\n", end) + end + frame + end


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


def raw(head: bytes, text: bytes) -> Callable[[socket.socket, bytes], None]:
    def talk(client: socket.socket, request: bytes) -> None:
        client.sendall(head + b"\r\n")
        for start in range(0, len(text), 1500):  # as a network cuts it
            client.sendall(text[start : start + 1500])

    return talk


OK = b"HTTP/1.0 200 OK\r\n"


def typed(boundary: bytes) -> bytes:
    return OK + MULTIPART % boundary


def parts(boundary: bytes, *, length: bool = True, end: bytes = b"\r\n", extra: bytes = b"") -> bytes:
    return b"".join(part(frame, boundary=boundary, length=length, end=end, extra=extra) for frame in FRAMES)


FORMS = {
    "plain": plain,
    "without lengths": without_lengths,
    "chunked": chunked,
    "length twice in the answer": raw(typed(b"b") + b"Content-Length: 5\r\nContent-Length: 99\r\n", parts(b"--b")),
    "length zero in the answer": raw(typed(b"b") + b"Content-Length: 0\r\n", parts(b"--b")),
    "length twice in a part": raw(
        typed(b"b"), b"".join(part(f, extra=b"Content-Length: %d\r\n" % len(f)) for f in FRAMES)
    ),
    "two lengths that differ": raw(typed(b"b"), parts(b"--b", extra=b"Content-Length: 7\r\n") + b"--b--\r\n"),
    "another header that ends in length": raw(typed(b"b"), parts(b"--b", extra=b"X-Content-Length: 7\r\n")),
    "lines that end in LF": raw(typed(b"b"), parts(b"--b", end=b"\n")),
    "LF, without lengths": raw(typed(b"b"), parts(b"--b", end=b"\n", length=False) + b"--b--\n"),
    "LF in the answer, too": raw(typed(b"b").replace(b"\r\n", b"\n"), b"\n" + parts(b"--b", end=b"\n")),
    "ICY": raw(b"ICY 200 OK\r\n" + MULTIPART % b"b", parts(b"--b")),
    "ICY with LF": raw((b"ICY 200 OK\r\n" + MULTIPART % b"b").replace(b"\r\n", b"\n"), parts(b"--b", end=b"\n")),
    "announced with dashes": raw(typed(b"--b"), parts(b"--b")),
    "announced with dashes, sent with four": raw(typed(b"--b"), parts(b"----b")),
    "sent without dashes": raw(typed(b"myboundary"), parts(b"myboundary")),
    "sent without dashes and lengths": raw(typed(b"b"), parts(b"b", length=False) + b"b--\r\n"),
    "another one than announced": raw(typed(b"announced"), parts(b"--other")),
    "another one, without dashes": raw(typed(b"announced"), parts(b"other")),
    "another one, without lengths": raw(typed(b"announced"), parts(b"--other", length=False) + b"--other--\r\n"),
    "another one, short, without lengths": raw(typed(b"announced"), parts(b"--o", length=False) + b"--o--\r\n"),
    "none announced": raw(OK + b"Content-Type: multipart/x-mixed-replace\r\n", parts(b"--b")),
    "quoted, with spaces": raw(OK + b'Content-Type: multipart/x-mixed-replace; boundary = "a b"\r\n', parts(b"--a b")),
    "a text before the first": raw(typed(b"b"), b"This is MJPEG.\r\n\r\n" + parts(b"--b")),
    "no header in a part": raw(typed(b"b"), b"".join(b"--b\r\n\r\n%s\r\n" % f for f in FRAMES) + b"--b--\r\n"),
    "no boundary at all": raw(typed(b"b"), b"".join(part(f).removeprefix(b"--b\r\n") for f in FRAMES)),
    "empty lines between": raw(typed(b"b"), parts(b"\r\n\r\n--b")),
    "a length that is too short": raw(typed(b"b"), parts(b"--b", length=False, extra=b"Content-Length: 3000\r\n")),
    "sound in between": raw(
        typed(b"b"),
        b"".join(part(f) + b"--b\r\nContent-Type: audio/basic\r\nContent-Length: 4\r\n\r\nbeep\r\n" for f in FRAMES),
    ),
    "an empty part first": raw(
        typed(b"b"), b"--b\r\nContent-Type: image/jpeg\r\nContent-Length: 0\r\n\r\n\r\n" + parts(b"--b")
    ),
    "padding behind the image": raw(
        typed(b"b"), b"".join(part(f + bytes(8), length=False) for f in FRAMES) + b"--b--\r\n"
    ),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_way_of_saying_it_gives_the_same_frames(form: str) -> None:
    with server(FORMS[form]) as where:
        found = shots(where, 5)
    images = [shot.image.data for shot in found if isinstance(shot.image, Encoded)]
    if form == "a length that is too short":  # the decoder refuses it; the next frame is found again
        assert [len(image) for image in images] == [3000] * 5
        assert [image[:3] for image in images] == [frame[:3] for frame in FRAMES]
    else:
        assert [image.rstrip(b"\0") for image in images] == FRAMES
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


@pytest.mark.parametrize("filler", [b"xxxx", b"log\n", b"a: b", b"a: b\n", b"--\r\n", b"\n\n"])
def test_something_endless_that_is_no_mjpeg_is_given_up(filler: bytes) -> None:
    def talk(client: socket.socket, request: bytes) -> None:
        client.sendall(b"HTTP/1.0 200 OK\r\n" + MULTIPART % b"b" + b"\r\n" + filler * 50_000)

    with server(talk) as where:
        opened = link(where)
        with pytest.raises(SourceError, match=r"not MJPEG|ended the stream"):
            opened.read(1.0)
        opened.close()
