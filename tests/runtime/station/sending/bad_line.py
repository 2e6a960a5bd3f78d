"""A line between sender and receiver that cuts, delays, answers twice, and lies about the hash; it counts the bytes."""

from __future__ import annotations

import contextlib
import random
import re
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator

BLOCK = 4096
FAULTS = ("none", "none", "none", "cut up", "cut down", "delay", "twice", "lie")
_DIGEST = re.compile(rb"(?i)(repr-digest: sha-256=:)....")


class BadLine:
    """Each connection gets a fault by chance. ``up_bytes``: everything that the sender put on the line."""

    def __init__(self, port: int, seed: int, faults: tuple[str, ...] = FAULTS, cut_before: int = 120_000) -> None:
        self._to, self._faults, self._cut_before = port, faults, cut_before
        self._chance, self._lock = random.Random(seed), threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.up_bytes = 0
        self.seen: Counter[str] = Counter()
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}/files/"

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)  # a close alone wakes nobody who waits in accept
        self._listener.close()
        self._thread.join(5)
        assert not self._thread.is_alive()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            fault, after = self._chance.choice(self._faults), self._chance.randrange(1, self._cut_before)
            self.seen[fault] += 1
            far = socket.create_connection(("127.0.0.1", self._to))
            for here in (near, far):
                here.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self._up, args=(near, far, fault, after), daemon=True).start()
            threading.Thread(target=self._down, args=(near, far, fault), daemon=True).start()

    def _up(self, near: socket.socket, far: socket.socket, fault: str, after: int) -> None:
        left = after if fault == "cut up" else None
        with contextlib.suppress(OSError):
            while data := near.recv(BLOCK if left is None else min(BLOCK, left)):
                with self._lock:
                    self.up_bytes += len(data)
                if fault == "delay":
                    time.sleep(0.002)
                far.sendall(data)
                if left is not None:
                    left -= len(data)
                    if left <= 0:
                        break
        _end(near, far)

    def _down(self, near: socket.socket, far: socket.socket, fault: str) -> None:
        answers = 0
        with contextlib.suppress(OSError):
            while data := far.recv(65536):
                answers += 1
                if fault == "cut down" and answers == 2:  # the receiver has acted, and nobody hears of it
                    break
                if fault == "lie":
                    data = _DIGEST.sub(rb"\1AAAA", data)
                near.sendall(data * 2 if fault == "twice" and answers == 1 else data)
        _end(near, far)


def _end(*sockets: socket.socket) -> None:
    for each in sockets:
        with contextlib.suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)
        each.close()


@contextlib.contextmanager
def bad_line(port: int, seed: int, **options: object) -> Iterator[BadLine]:
    """A line to the receiver at ``port``."""
    line = BadLine(port, seed, **options)  # type: ignore[arg-type]
    try:
        yield line
    finally:
        line.close()
