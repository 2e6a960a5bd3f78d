"""The side of the parent: a worker process, questions and answers, and whether it really sleeps between its turns."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any

from fieldlens.benchmarks.device.contenders.base import Job
from fieldlens.runtime.machine.host import usable_core_ids

ROOT = Path(__file__).parents[4]
"""Where `fieldlens` lies."""
START_TIMEOUT_S = 600.0
"""torch.compile calls a C++ compiler dozens of times."""
TURN_TIMEOUT_S = 300.0
_ASLEEP_WITHIN_S = 2.0


class LaneError(Exception):
    """A contender's process ended, hung or answered nonsense; the text is what it said last."""


class Lane:
    """One worker on its cores. ``start_ms``: from starting the process to its first answer."""

    def __init__(self, module: str, job: Job, images: Sequence[Path]) -> None:
        self._log = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115  # until close
        self._images = [str(path) for path in images]
        began = time.monotonic()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "fieldlens.benchmarks.device.compare.worker"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=self._log, cwd=ROOT, env=environment(job), text=True, encoding="utf-8",
        )  # fmt: skip
        try:
            with contextlib.suppress(OSError):  # it may have ended already; the question below says why
                pin(self._process.pid, job.threads)
            ready = self.ask("load", START_TIMEOUT_S, module=module, job=asdict(job), images=self._images[:1])
        except BaseException:
            self.close()
            raise
        self.runs = str(ready["runs"])
        self.start_ms = (float(ready["answered_at"]) - began) * 1e3

    def read_images(self) -> None:
        """Before the first turn."""
        self.ask("read", TURN_TIMEOUT_S, images=self._images)

    def ask(self, what: str, timeout_s: float, **values: Any) -> dict[str, Any]:
        """Send one question and wait, asleep, for its answer. Raises LaneError."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        timer = threading.Timer(timeout_s, self._process.kill)
        timer.start()
        try:
            self._process.stdin.write(json.dumps({"do": what, **values}) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        finally:
            late = not timer.is_alive()
            timer.cancel()
        if not line:
            raise LaneError(f"no answer within {timeout_s:.0f} s" if late else self._last_words())
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _last_words(self) -> str:
        """The last line on standard error: the exception."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(5)
        self._log.seek(0)
        lines = [line.strip() for line in self._log.read().splitlines() if line.strip()]
        return lines[-1] if lines else f"the process ended with {self._process.returncode}"

    def falls_asleep(self) -> bool:
        """Wait until no thread of the worker runs; False if one still does after two seconds."""
        end = time.monotonic() + _ASLEEP_WITHIN_S
        quiet = 0
        while time.monotonic() < end:
            quiet = 0 if _running_threads(self._process.pid) else quiet + 1
            if quiet == 3:
                return True
            time.sleep(0.004)
        return False

    @property
    def pid(self) -> int:
        """Of the worker."""
        return self._process.pid

    def close(self) -> None:
        """End the worker; a second call does nothing."""
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._log.close()

    def __enter__(self) -> Lane:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def environment(job: Job) -> dict[str, str]:
    """Ours, with every thread pool at ``threads`` and every compiler's cache in the contender's own folder."""
    pools = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    return {
        **os.environ,
        **dict.fromkeys(pools, str(job.threads)),
        "TORCHINDUCTOR_CACHE_DIR": str(Path(job.cache) / "inductor"),
        "TORCHINDUCTOR_COMPILE_THREADS": "1",  # no pool of compilers that outlives the compilation
        "PYTHONUTF8": "1",
    }


def pin(pid: int, threads: int) -> None:
    """The first ``threads`` of the cores that we may use; the same ones for every contender."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(pid, usable_core_ids()[:threads])


def _running_threads(pid: int) -> int:
    """How many threads of a process are on a core or wait for one; 0 where the system does not tell."""
    count = 0
    with contextlib.suppress(OSError):
        for task in os.scandir(f"/proc/{pid}/task"):
            with contextlib.suppress(OSError):
                state = Path(task.path, "stat").read_text(encoding="ascii", errors="replace")
                count += state.rpartition(")")[2].split()[0] == "R"
    return count
