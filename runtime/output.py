"""Where results go: lines for people, JSON lines, CSV."""

from __future__ import annotations

import csv
import io
import os
import sys
from abc import ABC, abstractmethod
from pathlib import Path
from typing import TextIO

from runtime.decision import Outcome
from runtime.errors import KitError
from runtime.manifest import Manifest
from runtime.prediction import STAGES, Failure, Result, json_line

STANDARD_OUTPUT = Path("-")


class Sink(ABC):
    """Takes results one by one."""

    @abstractmethod
    def write(self, result: Result) -> None:
        """Take one result; when this returns, the result is out of this process's hands."""

    @abstractmethod
    def close(self) -> None:
        """No more results."""


class LineFile:
    """A file written a whole line at a time, each with one system call: a kill never leaves half a line."""

    def __init__(self, path: Path) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o644)
        except OSError as error:
            raise KitError(f"{path}: cannot be written ({error.strerror})", "choose another place") from error
        self._path = path
        self._size = 0

    def write(self, line: str) -> None:
        """Append one line. On a full disk the part that was written is taken back. Raises KitError."""
        data = line.encode()
        try:
            written = os.write(self._handle, data)
            if written != len(data):
                raise OSError(28, "no space left on the device")
        except OSError as error:
            os.ftruncate(self._handle, self._size)
            raise KitError(
                f"{self._path}: {error.strerror}", "make room; all lines before this one are whole"
            ) from error
        self._size += len(data)

    def close(self) -> None:
        """Make the lines durable."""
        os.fsync(self._handle)
        os.close(self._handle)


class LineStream:
    """As a LineFile, over standard output."""

    def write(self, line: str) -> None:
        """Print one line, at once."""
        sys.stdout.write(line)
        sys.stdout.flush()

    def close(self) -> None:
        """Standard output is not ours to close."""


class JsonSink(Sink):
    """One JSON object a line; the path ``-`` is standard output."""

    def __init__(self, path: Path) -> None:
        self._file = LineStream() if path == STANDARD_OUTPUT else LineFile(path)

    def write(self, result: Result) -> None:
        self._file.write(json_line(result))

    def close(self) -> None:
        self._file.close()


class CsvSink(Sink):
    """A row per input: outcome, class, score, a probability per class, ms per stage, error."""

    def __init__(self, path: Path, manifest: Manifest) -> None:
        self._file = LineFile(path)
        self._classes = manifest.class_ids
        stages = (f"{stage}_ms" for stage in STAGES)
        self._row(["source", "outcome", "class", "score", *(f"p_{name}" for name in self._classes), *stages, "error"])

    def _row(self, cells: list[object]) -> None:
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerow(cells)
        self._file.write(text.getvalue())

    def write(self, result: Result) -> None:
        if isinstance(result, Failure):
            blank = [""] * (3 + len(self._classes) + len(STAGES))
            self._row([result.source, *blank, result.error])
            return
        probabilities = [f"{result.probabilities[name]:.9g}" for name in self._classes]
        times = [f"{result.latency_ms[stage]:.3f}" for stage in STAGES]
        score = "" if result.score is None else f"{result.score:.9g}"
        self._row([result.source, result.outcome, result.label, score, *probabilities, *times, ""])

    def close(self) -> None:
        self._file.close()


class HumanSink(Sink):
    """A line per image for people. No class on ``retake``: there the advice is what matters."""

    def __init__(self, manifest: Manifest, top_k: int, stream: TextIO | None = None) -> None:
        self._display = {info.id: info.display for info in manifest.classes}
        self._top_k = top_k
        self._stream = stream or sys.stdout

    def write(self, result: Result) -> None:
        if isinstance(result, Failure):
            print(f"{result.source}  not classified: {result.error}", file=self._stream, flush=True)
            return
        if result.outcome is Outcome.RETAKE:
            words = "; ".join(finding.advice for finding in result.findings)
        else:
            words = ", ".join(f"{self._display[name]} {p:.1%}" for name, p in result.top(self._top_k))
        line = f"{result.source}  {result.outcome:<13}  {words}  {result.latency_ms['total']:.1f} ms"
        print(line, file=self._stream, flush=True)

    def close(self) -> None:
        self._stream.flush()
