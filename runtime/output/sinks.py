"""Where results go: lines for people, JSON lines, CSV."""

from __future__ import annotations

import csv
import io
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from fieldlens.runtime.bundle.manifest import Manifest
from fieldlens.runtime.errors import OutputError
from fieldlens.runtime.files.printable import escaped, printable
from fieldlens.runtime.machine.clock import clock_state, time_utc
from fieldlens.runtime.output.continued import continues
from fieldlens.runtime.output.linefile import LineFile, LineStream
from fieldlens.runtime.prediction import STAGES, AnswerOrigin, Failure, Notice, Prediction, Result, json_line

STANDARD_OUTPUT = Path("-")
_ORIGIN = (
    "bundle", "bundle_name", "bundle_version", "bundle_hash", "bundle_signed_by", "backend", "precision", "device",
    "host", "threshold_from",
)  # fmt: skip


class Sink(ABC):
    """Takes results one by one."""

    @abstractmethod
    def write(self, result: Result) -> None:
        """Take one result; when this returns, the result is out of this process's hands."""

    @abstractmethod
    def close(self) -> None:
        """No more results."""


@dataclass(frozen=True)
class Rotation:
    """``size_bytes`` None: a file is begun again and grows for ever; else it goes on, and ``keep`` old ones stay."""

    size_bytes: int | None = None
    keep: int = 10


class JsonSink(Sink):
    """One JSON object a line (``docs/answer.schema.json``); the path ``-`` is standard output.

    ``origin``: what answers, for the lines of inputs without an answer. A file whose lines have other keys is put
    aside.
    """

    def __init__(self, path: Path, origin: AnswerOrigin, rotation: Rotation = Rotation()) -> None:
        self._origin = origin
        self._file: LineFile | LineStream = (
            LineStream()
            if path == STANDARD_OUTPUT
            else LineFile(path, rotate_bytes=rotation.size_bytes, keep=rotation.keep, ours=continues)
        )

    def write(self, result: Result) -> None:
        self._file.write(json_line(result, self._origin))

    def close(self) -> None:
        self._file.close()


class CsvSink(Sink):
    """A row per input: when, outcome, class, score, threshold and band, a probability per class, ms per stage, error,
    and what answered (``bundle_signed_by`` empty: nobody whose signature was checked). No news of cameras. A file with
    other columns is put aside."""

    def __init__(self, path: Path, manifest: Manifest, origin: AnswerOrigin, rotation: Rotation = Rotation()) -> None:
        self._classes = manifest.class_ids
        named = origin.to_dict()
        low, high = origin.band or (None, None)
        self._borders = [_exact(origin.threshold), _exact(low), _exact(high)]
        self._origin = ["" if named[name] is None else named[name] for name in _ORIGIN]
        head = [
            "time_utc", "clock", "source", "outcome", "class", "score", "threshold", "band_low", "band_high",
            *(f"p_{name}" for name in self._classes), *(f"{stage}_ms" for stage in STAGES), "error", *_ORIGIN,
            "possibly_repeated",
        ]  # fmt: skip
        self._file = LineFile(
            path, rotate_bytes=rotation.size_bytes, keep=rotation.keep, header=_row(head), quoted=True
        )

    def write(self, result: Result) -> None:
        if isinstance(result, Notice):
            return
        when = [time_utc(result.time_s) or "", clock_state(result.time_s), escaped(result.source)]
        if isinstance(result, Failure):
            blank = [""] * (len(self._classes) + len(STAGES))
            self._file.write(
                _row(
                    [*when, "", "", "", *self._borders, *blank, escaped(result.error), *self._origin, _repeated(result)]
                )
            )
            return
        answer = [result.outcome, result.label, _exact(result.score), *self._borders]
        probabilities = [f"{result.probabilities[name]:.9g}" for name in self._classes]
        times = [f"{result.latency_ms[stage]:.3f}" if stage in result.latency_ms else "" for stage in STAGES]
        self._file.write(_row([*when, *answer, *probabilities, *times, "", *self._origin, _repeated(result)]))

    def close(self) -> None:
        self._file.close()


def _repeated(result: Prediction | Failure) -> str:
    return "yes" if result.possibly_repeated else ""


def _exact(value: float | None) -> str:
    """All digits: a rounded score could meet a threshold that it did not reach."""
    return "" if value is None else repr(value)


def _row(cells: Sequence[object]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerow(cells)  # both: only what ends a line is quoted in a name
    return text.getvalue().removesuffix("\r\n") + "\n"


class Talk:
    """What is said about a run, line by line. When a line cannot be written, the rest is not tried: the report still
    comes, and ``broken`` says what was wrong."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._lines = LineStream(stream)
        self.broken: OutputError | None = None

    def say(self, text: str) -> None:
        """One line, whatever names are in it. Raises BrokenPipeError when nobody reads any more."""
        if self.broken is None:
            try:
                self._lines.write(f"{printable(text)}\n")
            except OutputError as error:
                self.broken = error

    def say_all(self, text: str) -> None:
        """Several lines, such as a table."""
        for line in text.split("\n"):
            self.say(line)
