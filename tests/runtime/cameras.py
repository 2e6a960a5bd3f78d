"""Starting the test cameras and the commands that watch them."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parents[2]

_WITH_DELAY = """
import dataclasses, sys
from fieldlens.runtime.backends import fake
load = fake.load
fake.load = lambda options, *rest: load(dataclasses.replace(options, delay_ms={delay_ms}), *rest)
from fieldlens.runtime.__main__ import main
from fieldlens.runtime.boundary import run_cli
sys.exit(run_cli(main))
"""


def slowed(delay_ms: float, *arguments: object) -> list[str]:
    """``python -m runtime`` with a fake backend that takes ``delay_ms``."""
    code = _WITH_DELAY.format(delay_ms=delay_ms)
    return [sys.executable, "-W", "error", "-c", code, *map(str, arguments)]


@dataclass
class Filmed:
    """A running test camera: its address, and when (monotonic, s) it sent which frame."""

    process: subprocess.Popen[str]
    port: int
    sent: dict[int, float] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    def tell(self, mode: str) -> None:
        """``ok``, ``cut``, ``silent``, ``frozen``, ``corrupt``, ``dribble``."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{mode}\n")
        self.process.stdin.flush()

    def listen(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            number, second = line.split()
            self.sent[int(number)] = float(second)


@contextmanager
def camera(fps: float = 30, kind: str = "mjpeg") -> Iterator[Filmed]:
    """A test camera in a process of its own; ``kind`` is ``mjpeg`` or ``rtsp``."""
    with subprocess.Popen(
        [sys.executable, f"tests/fakes/{kind}_camera.py", str(fps)],
        cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        filmed = Filmed(process, int(process.stdout.readline()))
        listener = threading.Thread(target=filmed.listen, daemon=True)
        listener.start()
        try:
            yield filmed
        finally:
            process.kill()
            listener.join(5)


@dataclass
class Watched:
    """A running command: its JSON lines, each with the monotonic second of its arrival."""

    process: subprocess.Popen[str]
    lines: list[tuple[float, dict[str, Any]]] = field(default_factory=list)

    def listen(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            arrived = time.monotonic()
            self.lines.append((arrived, json.loads(line)))

    @property
    def answers(self) -> list[tuple[float, dict[str, Any]]]:
        return [(second, line) for second, line in self.lines if line["outcome"]]

    def events(self, kind: str) -> list[tuple[float, dict[str, Any]]]:
        return [(second, line["event"]) for second, line in self.lines if line.get("event", {}).get("kind") == kind]

    def latencies_ms(self, stage: str) -> np.ndarray:
        return np.array([line["latency_ms"][stage] for _, line in self.answers])


@contextmanager
def watching(arguments: list[str], stderr: int | None = None) -> Iterator[Watched]:
    with subprocess.Popen(arguments, cwd=ROOT, stdout=subprocess.PIPE, stderr=stderr, text=True) as process:
        watched = Watched(process)
        listener = threading.Thread(target=watched.listen, daemon=True)
        listener.start()
        try:
            yield watched
        finally:
            process.terminate()
            process.wait(15)
            listener.join(5)
