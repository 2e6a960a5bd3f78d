"""Runs that wait for something that never comes, and what they leave behind."""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Container, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from fieldlens.runtime.stopping import END_S, children
from tests.runtime.conftest import jpeg, scene
from tests.runtime.test_classify import command, wait_for

ROOT = Path(__file__).parents[2]
_MARK = "FIELDLENS_TEST_MARK"

PATCHED = """
import hashlib, os, sys, time
{patch}
from fieldlens.runtime import stopping
from fieldlens.runtime.__main__ import main
from fieldlens.runtime.boundary import run_cli
stopping.leave(run_cli(main))
"""
"""``python -m runtime`` with something in it that hangs."""

IN_A_LIBRARY = "hashlib.pbkdf2_hmac('sha256', b'', b'', 2**31 - 1)"
"""Minutes in C, without Python's lock: no signal handler runs meanwhile."""


@dataclass
class Ended:
    """How a run ended: seconds from the signal to its end, exit code (negative: by a signal), what it printed, and what
    it left behind."""

    seconds: float
    code: int
    output: str
    error: str
    left: list[str]


@dataclass
class Hanging:
    """A running command, with everything that it starts marked. ``own``: other processes of the test's."""

    process: subprocess.Popen[bytes]
    mark: str
    own: frozenset[int]

    def end(self, number: signal.Signals = signal.SIGTERM, times: int = 1, limit_s: float = 20) -> Ended:
        """Send the signal (``times`` times, half a second apart), and wait."""
        began = time.monotonic()
        for time_ in range(times):
            if time_:
                time.sleep(0.5)
            self.process.send_signal(number)
        code = self.process.wait(limit_s)
        seconds = time.monotonic() - began
        left = [*marked(self.mark), *map(str, orphans(self.own))]
        output, error = (
            os.read(stream.fileno(), 1 << 20).decode(errors="replace") if stream else ""
            for stream in (self.process.stdout, self.process.stderr)
        )
        return Ended(seconds, code, output, error, left)


@contextlib.contextmanager
def hanging(arguments: list[str], **streams: int | None) -> Iterator[Hanging]:
    """``streams``: of subprocess.Popen; pipes that are not given are read after the end only."""
    mark = uuid.uuid4().hex
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **streams}
    own = frozenset(children())
    with (
        heir(),
        subprocess.Popen(arguments, cwd=ROOT, env={**os.environ, _MARK: mark}, **pipes) as process,  # type: ignore[call-overload]
    ):
        try:
            yield Hanging(process, mark, own)
        finally:
            process.kill()


def patched(patch: str, *arguments: object) -> list[str]:
    """The command, changed by ``patch`` (Python) before it begins."""
    return [sys.executable, "-W", "error", "-c", PATCHED.format(patch=patch), *map(str, arguments)]


def marked(mark: str) -> list[str]:
    """Living processes that were started with this mark."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if f"{_MARK}={mark}".encode() in (folder / "environ").read_bytes():
                found.append(f"{folder.name} {(folder / 'cmdline').read_bytes()!r}")
    return found


@contextlib.contextmanager
def heir() -> Iterator[None]:
    """Whoever loses his parent becomes a child of this process (prctl(2), PR_SET_CHILD_SUBREAPER): none can hide."""
    library = ctypes.CDLL(None)
    library.prctl(36, 1)
    try:
        yield
    finally:
        library.prctl(36, 0)


def orphans(own: Container[int] = ()) -> list[int]:
    """Children of this process that it did not start itself, zombies among them; those are collected."""
    found = [process for process in children() if process not in own]
    for process in found:
        with contextlib.suppress(ChildProcessError):
            os.waitpid(process, os.WNOHANG)
    return found


@contextlib.contextmanager
def deaf_server() -> Iterator[int]:
    """A port on which somebody takes every connection and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        kept: list[socket.socket] = []

        def accept() -> None:
            with contextlib.suppress(OSError):
                while True:
                    kept.append(listener.accept()[0])

        threading.Thread(target=accept, daemon=True).start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
        for each in kept:
            each.close()


def full(handle: int) -> bool:
    """Whether a pipe's writer would have to wait."""
    poller = select.poll()
    poller.register(handle, select.POLLOUT)
    return not poller.poll(0)


@dataclass
class Place:
    """Where a scenario finds and leaves things."""

    folder: Path
    basic: Sequence[object]
    stack: contextlib.ExitStack

    @property
    def report(self) -> Path:
        return self.folder / "r.html"

    @property
    def image(self) -> Path:
        path = self.folder / "image.jpg"
        if not path.exists():
            path.write_bytes(jpeg(scene(1, 120, 160)))
        return path

    def run(self, arguments: list[str], **streams: int | None) -> Hanging:
        return self.stack.enter_context(hanging(arguments, **streams))

    def classify(self, *arguments: object, patch: str = "", **streams: int | None) -> Hanging:
        words = ("classify", *arguments, *self.basic, "--report", self.report)
        return self.run(patched(patch, *words) if patch else command(*words), **streams)

    def began(self) -> None:
        """Wait for what a patched run does just before it hangs."""
        wait_for((self.folder / "hangs").exists)

    @property
    def touch(self) -> str:
        """Python that says that the run hangs now."""
        return f"open({str(self.folder / 'hangs')!r}, 'w').close()"

    @property
    def opening(self) -> str:
        """A patch that says so when a camera is about to be opened."""
        return (
            "from fieldlens.runtime.sources.cameras.camera import Camera\nopened = Camera._live\n"
            f"Camera._live = lambda self: ({self.touch}, opened(self))"
        )


def reported(report: Path) -> dict[str, Any]:
    run: dict[str, Any] = json.loads(report.with_suffix(".json").read_text())["run"]
    return run


def in_time(ended: Ended) -> None:
    print(f"\nended after {ended.seconds:.2f} s with {ended.code}; {ended.error.strip()[:200]}")
    assert ended.seconds < END_S
    assert not ended.left
    assert "Traceback" not in ended.error


def chosen(scenarios: Sequence[tuple[Callable[[Place], Hanging], signal.Signals, bool]]) -> list[Any]:
    """Each with one of the two signals, some of them always; each with both in the long version."""
    found = []
    for scenario, number, always in scenarios:
        for each in (signal.SIGTERM, signal.SIGINT):
            marks = () if always and each == number else (pytest.mark.full,)
            found.append(pytest.param(scenario, each, id=f"{scenario.__name__}-{each.name}", marks=marks))
    return found
