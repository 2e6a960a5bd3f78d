"""One contender in its own process: JSON lines in, JSON lines out; asleep on standard input between its turns.

Standard library only until the contender itself is loaded, because start-up is measured.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any, TextIO

from fieldlens.benchmarks.device.contenders.base import Answer, Job


class Worker:
    """Answers ``load``, ``turn``, ``many``, ``answers`` and ``status``, one after the other."""

    def __init__(self) -> None:
        self._images: list[bytes] = []
        self._answer: Answer | None = None
        self._many: Callable[[list[str]], None] | None = None

    def load(self, module: str, job: dict[str, Any], images: list[str]) -> dict[str, Any]:
        """Load the contender and answer the first image. Only that one is read: it is what start-up means."""
        with open(images[0], "rb") as file:  # noqa: PTH123  # pathlib's import would count as the contender's
            first = file.read()
        loaded = importlib.import_module(module).load(Job.from_json(job))
        self._answer, self._many = loaded.answer, loaded.many
        loaded.answer(first)
        return {"runs": loaded.runs, "answered_at": time.monotonic()}

    def read(self, images: list[str]) -> dict[str, Any]:
        """Take all images into memory: a comparison from bytes does not measure the disk."""
        for name in images:
            with open(name, "rb") as file:  # noqa: PTH123
                self._images.append(file.read())
        return {}

    def turn(self, order: list[int], warmup: int) -> dict[str, Any]:
        """Answer the images of ``order``; the first ``warmup`` are not counted. Milliseconds each."""
        answer, pictures, clock = self._ready(), self._images, time.perf_counter
        times: list[float] = []
        gc.collect()
        gc.disable()
        try:
            for index in order:
                start = clock()
                answer(pictures[index])
                times.append((clock() - start) * 1e3)
        finally:
            gc.enable()
        return {"times_ms": times[warmup:]}

    def many(self, images: list[str]) -> dict[str, Any]:
        """Answer image files, as many at a time as the contender likes: seconds for all."""
        if self._many is None:
            raise RuntimeError("this contender takes one image at a time")
        gc.collect()
        start = time.perf_counter()
        self._many(images)
        return {"seconds": time.perf_counter() - start}

    def answers(self) -> dict[str, Any]:
        """Probabilities of every image; null from a floor."""
        answer = self._ready()
        return {"probabilities": [answer(data) for data in self._images]}

    def status(self) -> dict[str, Any]:
        """Peak memory in MB of this process (VmHWM), null where the system does not tell."""
        try:
            with open("/proc/self/status", encoding="ascii", errors="replace") as file:  # noqa: PTH123
                lines = [line.split() for line in file if line.startswith("VmHWM:")]
        except OSError:
            lines = []
        return {"peak_mb": int(lines[0][1]) / 1024 if lines else None}

    def _ready(self) -> Answer:
        if self._answer is None:
            raise RuntimeError("load comes first")
        return self._answer


def main() -> None:
    """Until standard input ends. Whatever a library prints goes to standard error."""
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    worker = Worker()
    commands = {name: getattr(worker, name) for name in ("load", "read", "turn", "many", "answers", "status")}
    for line in sys.stdin:
        message = json.loads(line)
        _reply(replies, commands[message.pop("do")](**message))


def _reply(replies: TextIO, value: dict[str, Any]) -> None:
    replies.write(json.dumps(value) + "\n")
    replies.flush()


if __name__ == "__main__":
    main()
