"""A camera for tests: MJPEG over HTTP on loopback, in a process of its own, with faults on command.

``python mjpeg_camera.py FPS [PORT [FOLDER]]`` (port 0: a free one) prints its port, then ``NUMBER SECONDS`` (monotonic)
for every frame when it is sent. A word on standard input changes what it does: ``ok``, ``cut`` (connections closed, new
ones refused), ``silent`` (nothing more is sent), ``frozen``, ``corrupt``, ``dribble``, ``quit``. The mean red of every
image tells its number modulo CYCLE, and a comment that makes its bytes unique, as the noise of a sensor does. With a
FOLDER its JPEG files are shown, each for HOLD_S.
"""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import sys
import threading
import time
from pathlib import Path

import numpy as np
import simplejpeg

CYCLE = 40
STEP = 5
GREEN = 128
HOLD_S = 5.0


def red(number: int) -> int:
    """The red level of frame ``number``."""
    return 20 + STEP * (number % CYCLE)


def picture(number: int) -> bytes:
    """640×480 JPEG."""
    squares = np.where(np.indices((480, 640)).sum(axis=0) // 16 % 2, 10, -10)[..., None]
    pixels = (np.array((red(number), GREEN, GREEN)) + squares).astype(np.uint8)
    return bytes(simplejpeg.encode_jpeg(pixels, 95, colorsubsampling="444"))


def with_comment(jpeg: bytes, text: bytes) -> bytes:
    return jpeg[:2] + b"\xff\xfe" + struct.pack(">H", len(text) + 2) + text + jpeg[2:]


def spoilt(jpeg: bytes) -> bytes:
    """Whole by its length, broken inside."""
    return jpeg[: len(jpeg) // 2] + bytes(len(jpeg) // 4) + jpeg[len(jpeg) * 3 // 4 :]


class TestCamera:
    __test__ = False

    def __init__(self, fps: float, port: int, folder: str = "") -> None:
        self._interval = 1 / fps
        self._images = [picture(number) for number in range(CYCLE)]
        self._hold = 1
        if folder:
            self._images = [path.read_bytes() for path in sorted(Path(folder).glob("*.jpg"))]
            self._hold = round(HOLD_S * fps)
        self._mode = "ok"
        self._clients: list[socket.socket] = []
        self._frame = (0, b"")
        self._changed = threading.Condition()
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
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._clients.append(client)
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError), client:
            client.recv(4096)
            kind = b"multipart/x-mixed-replace; boundary=cut"
            client.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: " + kind + b"\r\n\r\n")
            sent = 0
            while True:
                with self._changed:
                    self._changed.wait_for(lambda: self._frame[0] > sent)  # noqa: B023
                    sent, jpeg = self._frame
                head = b"--cut\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % len(jpeg)
                if self._mode == "dribble":
                    for byte in head + jpeg:
                        client.sendall(bytes([byte]))
                        time.sleep(0.05)
                client.sendall(head + jpeg + b"\r\n")

    def run(self) -> None:
        """Frames at an even pace."""
        threading.Thread(target=self._obey, daemon=True).start()
        number, due = 0, time.monotonic()
        frozen = b""
        while True:
            due += self._interval
            time.sleep(max(0.0, due - time.monotonic()))
            if self._mode in ("cut", "silent"):
                continue
            number += 1
            jpeg = with_comment(self._images[number // self._hold % len(self._images)], b"%d" % number)
            frozen = (frozen or jpeg) if self._mode == "frozen" else b""
            jpeg = spoilt(jpeg) if self._mode == "corrupt" else frozen or jpeg
            print(number, time.monotonic(), flush=True)
            with self._changed:
                self._frame = (number, jpeg)
                self._changed.notify_all()

    def _obey(self) -> None:
        for line in sys.stdin:
            before, self._mode = self._mode, line.strip()
            if self._mode == "quit":
                break
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
        sys.stdout.flush()
        os._exit(0)


if __name__ == "__main__":
    TestCamera(float(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0, *sys.argv[3:]).run()
