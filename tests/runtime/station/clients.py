"""Several clients at once, each with a connection of its own."""

from __future__ import annotations

import http.client
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np

EDGE = "fieldlens-edge"


@dataclass
class Load:
    """What the clients saw: ms for each answer, how often which status, and seconds in all."""

    seconds: float = 0.0
    statuses: Counter[int] = field(default_factory=Counter)
    times_ms: list[float] = field(default_factory=list)

    @property
    def per_second(self) -> float:
        return len(self.times_ms) / self.seconds

    def percentile_ms(self, percentile: float) -> float:
        return float(np.percentile(self.times_ms, percentile))

    def __str__(self) -> str:
        return (
            f"{len(self.times_ms)} uploads in {self.seconds:.1f} s ({self.per_second:.1f} a second), "
            f"p50 {self.percentile_ms(50):.1f} ms, p95 {self.percentile_ms(95):.1f} ms, {dict(self.statuses)}"
        )


def upload_all(port: int, images: list[bytes], clients: int, uploads: int, path: str = "/api/v1/predict") -> Load:
    """``clients`` at once upload ``uploads`` images each, one after the other."""
    load = Load()

    def client(number: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        for turn in range(uploads):
            body, headers = form(images[(number + turn) % len(images)])
            began = time.perf_counter()
            connection.request("POST", path, body, headers)
            answer = connection.getresponse()
            answer.read()
            load.times_ms.append((time.perf_counter() - began) * 1e3)
            load.statuses[answer.status] += 1
        connection.close()

    began = time.perf_counter()
    with ThreadPoolExecutor(clients) as pool:
        for done in [pool.submit(client, number) for number in range(clients)]:
            done.result()
    load.seconds = time.perf_counter() - began
    return load


def form(image: bytes) -> tuple[bytes, dict[str, str]]:
    """A form with one file ``images``, and its headers."""
    head = f'--{EDGE}\r\nContent-Disposition: form-data; name="images"; filename="a.jpg"\r\n\r\n'.encode()
    body = head + image + f"\r\n--{EDGE}--\r\n".encode()
    return body, {"Content-Type": f"multipart/form-data; boundary={EDGE}"}


def watch_preview(port: int, going_on: Callable[[], bool]) -> float:
    """Ask for frames as the page does; frames a second."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    after, frames, began = 0, 0, time.perf_counter()
    while going_on():
        connection.request("GET", f"/api/v1/preview?after={after}")
        answer = connection.getresponse()
        answer.read()
        if answer.status == 200:
            after = int(answer.headers["X-Frame"])
            frames += 1
    connection.close()
    return frames / (time.perf_counter() - began)
