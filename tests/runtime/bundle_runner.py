"""Runs the device's commands on a bundle, each in a process of its own, and reports what they did and what it cost.

``python -m tests.runtime.bundle_runner`` imports the runtime once, then forks a child per command: a line of JSON in,
a line of JSON out. So a thousand damaged bundles take minutes and not hours, and a child that hangs is simply killed.
"""

from __future__ import annotations

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
    """One command: its exit code (negative: killed by that signal), what it printed, wall time, peak memory."""

    code: int
    out: str
    err: str
    seconds: float
    peak_mb: float


class Runner:
    """The process that forks. Use it in a ``with``."""

    def __init__(self) -> None:
        quiet = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "PYTHONPATH": ""}
        self._process = subprocess.Popen(
            [sys.executable, "-W", "error", "-m", "tests.runtime.bundle_runner"],
            cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ, **quiet},
        )  # fmt: skip

    def run(self, commands: Sequence[Sequence[object]]) -> list[Ran]:
        """Run each of ``commands`` (the words after ``python -m runtime``), one after the other."""
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


def _serve(lines: Iterable[str]) -> None:
    import onnxruntime  # noqa: F401
    import openvino  # noqa: F401

    from fieldlens.runtime import commands  # noqa: F401

    for line in lines:
        print(json.dumps([_forked(command) for command in json.loads(line)]), flush=True)


def _forked(command: list[str]) -> dict[str, Any]:
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        began = time.monotonic()
        child = os.fork()
        if child == 0:
            _child(command, out.fileno(), err.fileno())
        _, status, used = os.wait4(child, 0)
        seconds = time.monotonic() - began
        code = os.waitstatus_to_exitcode(status)
        texts = []
        for file in (out, err):
            file.seek(0)
            texts.append(file.read().decode(errors="replace"))
    return {"code": code, "out": texts[0], "err": texts[1], "seconds": seconds, "peak_mb": used.ru_maxrss / 1024}


def _child(command: list[str], out: int, err: int) -> None:
    """Never returns. The alarm's default action ends it wherever it waits."""
    code = 1
    try:
        signal.setitimer(signal.ITIMER_REAL, TIMEOUT_S)
        resource.setrlimit(resource.RLIMIT_AS, (_ADDRESS_SPACE, _ADDRESS_SPACE))
        os.dup2(out, 1)
        os.dup2(err, 2)
        sys.argv = ["runtime", *command]
        from fieldlens.runtime.__main__ import main
        from fieldlens.runtime.boundary import run_cli

        code = run_cli(main)
        sys.stdout.flush()
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 1
    except BaseException:  # noqa: BLE001  (it is what the test looks for)
        code = 1
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    _serve(sys.stdin)
