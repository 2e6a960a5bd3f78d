"""Runs the device's commands on a bundle in a process of their own, and reports what they did and what it cost.

``python -m tests.runtime.bundle_runner`` imports the runtime once, then forks a child per bundle: a line of JSON in, a
line of JSON out. So a thousand damaged bundles take minutes and not hours, and a child that hangs is simply killed.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
TIMEOUT_S = 5.0
_ADDRESS_SPACE = 8 << 30
"""Bytes a child may map: the machine's own safety. What is judged is ``peak_mb``."""


@dataclass(frozen=True)
class Ran:
    """One command: its exit code (negative: killed by that signal), what it printed, wall time, and the peak memory of
    the process so far (of the last one: of all)."""

    code: int
    out: str
    err: str
    seconds: float
    peak_mb: float


class Runner:
    """The process that forks. Use it in a ``with``. ``room``: whose commands (``python -m ROOM``)."""

    def __init__(self, room: str = "runtime") -> None:
        quiet = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "PYTHONPATH": ""}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.runtime.bundle_runner", room],
            cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ, **quiet},
        )  # fmt: skip

    def run(self, commands: Sequence[Sequence[object]]) -> list[Ran]:
        """Run each of ``commands`` (the words after ``python -m ROOM``), one after the other."""
        sent, answered = self._process.stdin, self._process.stdout
        if sent is None or answered is None:
            raise ValueError("the runner has no pipes")
        sent.write(json.dumps([[str(word) for word in command] for command in commands]) + "\n")
        sent.flush()
        return [Ran(**each) for each in json.loads(answered.readline())]

    def __enter__(self) -> Runner:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._process.wait(10)
        if self._process.stdout is not None:
            self._process.stdout.close()


def _serve(room: str, lines: Iterable[str]) -> None:
    for name in ("onnxruntime", "openvino", "fieldlens.runtime.commands", f"{room}.__main__"):
        importlib.import_module(name)

    gc.freeze()  # a collection in a child would touch, and so copy, every page
    for line in lines:
        print(json.dumps(_forked(room, json.loads(line))), flush=True)


def _forked(room: str, commands: list[list[str]]) -> list[dict[str, Any]]:
    """A command that kills its process ends those after it, too."""
    with tempfile.TemporaryDirectory() as folder:
        child = os.fork()
        if child == 0:
            _child(room, commands, Path(folder))
        _, status, used = os.wait4(child, 0)
        found = []
        for number in range(len(commands)):
            done = Path(folder, f"{number}.json")
            ended: dict[str, Any] = {
                "code": os.waitstatus_to_exitcode(status),
                "seconds": TIMEOUT_S,
                "peak_mb": used.ru_maxrss / 1024,
            }
            found.append(json.loads(done.read_text()) if done.exists() else ended)
            for name in ("out", "err"):
                file = Path(folder, f"{number}.{name}")
                found[-1][name] = file.read_bytes().decode(errors="replace") if file.exists() else ""
        return found


def _child(room: str, commands: list[list[str]], folder: Path) -> None:
    """Never returns. The alarm's default action ends it wherever it waits."""
    try:
        resource.setrlimit(resource.RLIMIT_AS, (_ADDRESS_SPACE, _ADDRESS_SPACE))
        for number, command in enumerate(commands):
            for stream, name in ((1, "out"), (2, "err")):
                handle = os.open(folder / f"{number}.{name}", os.O_WRONLY | os.O_CREAT)
                os.dup2(handle, stream)
                os.close(handle)
            began = time.monotonic()
            signal.setitimer(signal.ITIMER_REAL, TIMEOUT_S)
            code = _run(room, command)
            signal.setitimer(signal.ITIMER_REAL, 0)
            facts = {
                "code": code,
                "seconds": time.monotonic() - began,
                "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
            }
            (folder / f"{number}.json").write_text(json.dumps(facts))
    finally:
        os._exit(99)


def _run(room: str, command: list[str]) -> int:
    """The exit code that ``python -m ROOM`` would give."""
    from fieldlens.runtime.boundary import run_cli

    sys.argv = [room, *command]
    try:
        return run_cli(importlib.import_module(f"{room}.__main__").main)
    except SystemExit as error:
        return error.code if isinstance(error.code, int) else 1
    except BaseException:  # noqa: BLE001  (it is what the test looks for)
        traceback.print_exc()
        return 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()


if __name__ == "__main__":
    _serve(sys.argv[1], sys.stdin)
