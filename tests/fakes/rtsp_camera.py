"""A network camera for tests: RTSP over TCP (RFC 2326) with JPEG in RTP (RFC 2435), as far as a reader needs it.

``python rtsp_camera.py FPS [PORT]`` prints its port. A word on standard input changes what it does: ``ok``, ``silent``
(connected, but no frame), ``cut`` (connections closed, new ones refused).
"""

from __future__ import annotations

import contextlib
import re
import socket
import struct
import sys
import threading
import time

import cv2
import numpy as np

WIDTH, HEIGHT = 320, 240
_PACKET = 1400
_CLOCK = 90_000


def picture(number: int) -> bytes:
    """A JPEG with the standard Huffman tables, 4:2:0, as RFC 2435 wants it."""
    rng = np.random.default_rng(number)
    coarse = rng.integers(40, 215, (6, 8, 3), np.uint8)
    frame = cv2.resize(coarse, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
    return cv2.imencode(".jpg", frame, [cv2.IMWRITE_JPEG_QUALITY, 80])[1].tobytes()


def taken_apart(jpeg: bytes) -> tuple[bytes, bytes]:
    """Quantisation tables (64 bytes each) and the entropy-coded scan."""
    tables, position = b"", 2
    while True:
        marker, length = jpeg[position + 1], struct.unpack_from(">H", jpeg, position + 2)[0]
        body = jpeg[position + 4 : position + 2 + length]
        position += 2 + length
        if marker == 0xDB:
            while body:
                tables, body = tables + body[1:65], body[65:]
        if marker == 0xDA:
            return tables, jpeg[position:-2]


def packets(jpeg: bytes, sequence: int, stamp: int) -> list[bytes]:
    """RTP packets of one frame, each behind the four bytes that carry it through the RTSP connection."""
    tables, scan = taken_apart(jpeg)
    found: list[bytes] = []
    for offset in range(0, len(scan), _PACKET):
        last = offset + _PACKET >= len(scan)
        head = struct.pack(">BBHII", 0x80, 26 | (0x80 if last else 0), (sequence + len(found)) & 0xFFFF, stamp, 1)
        head += struct.pack(">I", offset) + bytes([1, 255, WIDTH // 8, HEIGHT // 8])
        if offset == 0:
            head += struct.pack(">BBH", 0, 0, len(tables)) + tables
        body = head + scan[offset : offset + _PACKET]
        found.append(struct.pack(">cBH", b"$", 0, len(body)) + body)
    return found


class RtspCamera:
    """Answers the five questions of a reader, then sends."""

    def __init__(self, fps: float, port: int) -> None:
        self._interval = 1 / fps
        self._frames = [picture(number) for number in range(30)]
        self._mode = "ok"
        self._clients: list[socket.socket] = []
        self._listener = self._listen(port)
        self._port = self._listener.getsockname()[1]
        print(self._port, flush=True)

    def _listen(self, port: int) -> socket.socket:
        listener = socket.create_server(("127.0.0.1", port))
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()
        return listener

    def _accept(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = listener.accept()
                self._clients.append(client)
                threading.Thread(target=self._talk, args=(client,), daemon=True).start()

    def _talk(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError), client:
            pending = b""
            while True:
                while b"\r\n\r\n" not in pending:
                    block = client.recv(4096)
                    if not block:
                        return
                    pending += block
                request, _, pending = pending.partition(b"\r\n\r\n")
                method = request.split(b" ", 1)[0]
                client.sendall(self._answer(method, request))
                if method == b"PLAY":
                    self._play(client)
                    return

    def _answer(self, method: bytes, request: bytes) -> bytes:
        counter = re.search(rb"(?i)cseq:\s*(\d+)", request)
        lines = [b"RTSP/1.0 200 OK", b"CSeq: " + (counter[1] if counter else b"0")]
        body = b""
        if method == b"OPTIONS":
            lines.append(b"Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN")
        elif method == b"DESCRIBE":
            body = (
                b"v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=camera\r\nt=0 0\r\nm=video 0 RTP/AVP 26\r\na=control:track1\r\n"
            )
            lines += [b"Content-Type: application/sdp", b"Content-Length: %d" % len(body)]
        elif method == b"SETUP":
            lines += [b"Transport: RTP/AVP/TCP;unicast;interleaved=0-1", b"Session: 1"]
        else:
            lines.append(b"Session: 1")
        return b"\r\n".join(lines) + b"\r\n\r\n" + body

    def _play(self, client: socket.socket) -> None:
        number, sequence, began = 0, 0, time.monotonic()
        while True:
            number += 1
            time.sleep(max(0.0, began + number * self._interval - time.monotonic()))
            if self._mode != "ok":
                continue
            made = packets(self._frames[number % 30], sequence, int(number * self._interval * _CLOCK))
            sequence += len(made)
            client.sendall(b"".join(made))

    def run(self) -> None:
        """Do as standard input says."""
        for line in sys.stdin:
            before, self._mode = self._mode, line.strip()
            if self._mode == "cut":
                with contextlib.suppress(OSError):
                    self._listener.shutdown(socket.SHUT_RDWR)
                self._listener.close()
                for client in self._clients:
                    with contextlib.suppress(OSError):
                        client.shutdown(socket.SHUT_RDWR)
                self._clients.clear()
            elif before == "cut":
                self._listener = self._listen(self._port)


if __name__ == "__main__":
    RtspCamera(float(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0).run()
