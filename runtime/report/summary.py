"""What is said at the end of a run: three lines, and where figures were asked for all that stands behind them."""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum

from fieldlens.runtime.backends.base import BackendInfo
from fieldlens.runtime.report.diagnosis import FEWEST, Diagnosis
from fieldlens.runtime.running.latency import milliseconds, table
from fieldlens.runtime.running.run import RunLog

_NAMED = 20
"""Failed inputs that are named at the end; all of them are in the lines above, and in --json and --csv."""


class Detail(Enum):
    """How much a run says. QUIET: only what went wrong. BRIEF: answers, and three lines at the end; the latency table
    too where there were images enough for it. LATENCY: the table in any case. VERBOSE: everything."""

    QUIET = 0
    BRIEF = 1
    LATENCY = 2
    VERBOSE = 3


def summary_lines(
    log: RunLog,
    info: BackendInfo,
    notes: tuple[str, ...],
    choice: tuple[str, ...],
    diagnosis: tuple[Diagnosis, ...],
    detail: Detail,
) -> Iterator[str]:
    """Lines for a terminal. ``notes`` are said in any case; ``choice``, why this backend and precision, with the
    table."""
    if detail is not Detail.QUIET:
        full = detail is not Detail.BRIEF or log.answered >= FEWEST
        if full and log.answered:
            yield from ["", *table(log.latency.summary()).split("\n")]
        yield ""
        yield from _short(log, info)
        if full:
            yield from _golden(log)
        yield from (f"note: {note}" for note in (*notes, *(choice if full else ()), *log.notes))
        if full:
            yield from (f"{found.rule}: {found.words}; {found.advice}" for found in diagnosis)
    yield from _failures(log)


def _short(log: RunLog, info: BackendInfo) -> Iterator[str]:
    """The three lines."""
    outcomes = ", ".join(f"{count} {name.replace('-', ' ')}" for name, count in log.outcomes.most_common())
    failed = f"; {log.failed} could not be classified" if log.failed else ""
    rate = f"{_images(log.answered)} in {log.seconds:.1f} s ({log.per_second:.1f} a second)"
    yield f"{rate}: {outcomes or 'none'}{failed}"
    total = log.latency.stages["total"]
    times = f"half within {milliseconds(total.percentile(50))} ms, the slowest {milliseconds(total.max_ms)} ms; "
    dropped = f"{log.dropped} frames dropped; " if log.cameras else ""
    yield f"{times if log.answered else ''}{dropped}ended by {log.ended_by}"
    yield backend_line(info)


def _images(count: int) -> str:
    return "1 image" if count == 1 else f"{count} images"


def backend_line(info: BackendInfo) -> str:
    """What ran: ``openvino 2025.3 on CPU, int8, 4 threads``."""
    return f"{info.name} {info.version} on {info.device}, {info.precision}, {info.threads} threads"


def _golden(log: RunLog) -> Iterator[str]:
    if log.golden_check is not None:
        again = f", {log.golden_repeats} times again" if log.golden_repeats else ""
        yield f"golden images: {log.golden_check}{again}"


def _failures(log: RunLog) -> Iterator[str]:
    if log.failed:
        yield f"inputs that could not be classified: {log.failed}"
        yield from (f"  {failure.source}: {failure.reason}" for failure in log.failures[:_NAMED])
    if log.failed > _NAMED:
        yield f"  … and {log.failed - _NAMED} more (all of them in --json and --csv)"
