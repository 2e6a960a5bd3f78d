"""Lines for people: what was found, the score and what it was compared with, and how long it took."""

from __future__ import annotations

import sys
from typing import TextIO

from fieldlens.runtime.files.printable import printable, shown_name
from fieldlens.runtime.output.linefile import LineStream
from fieldlens.runtime.output.sinks import Sink
from fieldlens.runtime.prediction import Failure, Notice, Prediction, Result
from fieldlens.runtime.terminal.colour import BLUE, GREEN, MAGENTA, RED, YELLOW, painted, wanted

_COLOURS = {"refer": RED, "uncertain": YELLOW, "no-sign-found": GREEN, "retake": MAGENTA, "classified": BLUE}
_WIDEST = len("no sign found")
_VERBOSE_CLASSES = 3


class HumanSink(Sink):
    """A line per image. No class on ``retake``: there the advice is what matters.

    ``top_k``: so many classes with their probabilities behind the score. ``verbose``: three of them, what the quality
    gate measured, and the time of each stage. Colours only where ``stream`` is a terminal.
    """

    def __init__(self, top_k: int = 0, stream: TextIO | None = None, *, verbose: bool = False) -> None:
        self._top_k = top_k or (_VERBOSE_CLASSES if verbose else 0)
        self._verbose = verbose
        self._lines = LineStream(stream)
        self._coloured = wanted(stream or sys.stdout)

    def write(self, result: Result) -> None:
        if isinstance(result, Notice):
            self._say(result.source, result.message)
        elif isinstance(result, Failure):
            self._say(result.source, f"not classified: {result.reason}", colour=RED)
        else:
            self._answer(result)

    def _answer(self, prediction: Prediction) -> None:
        outcome = str(prediction.outcome).replace("-", " ")
        parts = [prediction.words(self._top_k), f"{prediction.latency_ms['total']:.1f} ms"]
        if self._verbose:
            parts += _details(prediction)
        self._say(prediction.source, f"{outcome:<{_WIDEST}}", *parts, colour=_COLOURS[str(prediction.outcome)])

    def _say(self, source: str, word: str, *others: str, colour: int | None = None) -> None:
        """Names are made printable first, so that the only escapes in a line are ours."""
        shown = printable(word)
        if self._coloured and colour is not None:
            shown = painted(shown, colour)
        self._lines.write("  ".join([shown_name(source), shown, *map(printable, others)]) + "\n")

    def close(self) -> None:
        self._lines.close()


def _details(prediction: Prediction) -> list[str]:
    found = [f"{each.check} {each.value:.3g} (limit {each.limit:.3g})" for each in prediction.findings]
    stages = [f"{stage} {value:.1f}" for stage, value in prediction.latency_ms.items() if stage != "total"]
    return [*found, f"({', '.join(stages)})"]
