"""The comparison itself: a process per contender, taking turns in random order, round after round."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fieldlens.benchmarks.device.compare import folder
from fieldlens.benchmarks.device.compare.folder import FolderRow
from fieldlens.benchmarks.device.compare.lane import TURN_TIMEOUT_S, Lane, LaneError
from fieldlens.benchmarks.device.compare.stage import Stage
from fieldlens.benchmarks.device.compare.statistics import Ratio, agreement, percentiles, ratio
from fieldlens.benchmarks.device.contenders.catalogue import FLOOR, FOLDER, OURS, REFERENCE, Contender, why_not
from fieldlens.benchmarks.device.figures import accuracy, auc
from fieldlens.benchmarks.device.machine.quiet import Quiet, QuietWatch, cores_for
from fieldlens.runtime.errors import KitError
from fieldlens.runtime.terminal.pace import Pace

WARM_UP_IMAGES = 20
IMAGES_A_TURN = 5
"""Of a folder, for each image of another turn: its threads have to get going."""


@dataclass(frozen=True)
class ComparisonSettings:
    """``warmup``: images of every turn that are not counted, because the others left cold caches behind.
    ``starts``: further fresh processes per contender, for the start-up with warm caches."""

    rounds: int = 30
    per_round: int = 20
    warmup: int = 3
    starts: int = 3
    threads: int = 0
    settle_s: float = 60.0
    seed: int = 0


@dataclass
class ContenderRow:
    """One contender's figures; ``note`` says why there are none."""

    contender: Contender
    note: str | None = None
    runs: str = ""
    rounds: list[list[float]] = field(default_factory=list)
    first_start_ms: float | None = None
    starts_ms: list[float] = field(default_factory=list)
    peak_mb: float | None = None
    probabilities: list[list[float]] | None = None
    ratio: Ratio | None = None
    agrees: float | None = None
    largest_difference: float | None = None
    accuracy: float | None = None
    auc: float | None = None

    @property
    def times(self) -> dict[str, float]:
        """Percentiles; empty without figures."""
        return percentiles(self.rounds) if self.rounds and self.note is None else {}

    @property
    def start_ms(self) -> float | None:
        """Median of the starts after the first, else the first."""
        return float(np.median(self.starts_ms)) if self.starts_ms else self.first_start_ms


@dataclass(frozen=True)
class Comparison:
    """Rows in the catalogue's order; ``reference`` names what ratios are taken to. ``folders``: those that were timed
    by how many images of a folder they answer in a second."""

    rows: tuple[ContenderRow, ...]
    reference: str
    quiet: Quiet
    settings: ComparisonSettings
    threads: int
    folders: tuple[FolderRow, ...] = ()


def compare(stage: Stage, contenders: Sequence[Contender], settings: ComparisonSettings) -> Comparison:
    """Run all rounds. A contender that fails becomes a row with its reason; the others go on.

    Raises KitError where none of ours runs, because there is then nothing to compare with.
    """
    cores = cores_for(settings.threads)
    lanes: dict[str, Lane] = {}
    watch = QuietWatch(cores, lambda: [lane.pid for lane in lanes.values()])
    watch.before(settings.settle_s, say=_say)
    rows = {each.name: ContenderRow(each) for each in contenders if each.group != FOLDER}
    many = [each for each in contenders if each.group == FOLDER]
    with contextlib.ExitStack() as stack:
        for number, (name, row) in enumerate(rows.items(), 1):
            _say(f"contender {number} of {len(rows)}: {name}; then {settings.rounds} rounds")
            row.note = why_not(row.contender, list(stage.models))
            if row.note is None and (lane := _start(row, stage, len(cores), settings.starts)):
                lanes[name] = stack.enter_context(lane)
        _warm_up(rows, lanes, len(stage.pictures.paths))
        watch.start()
        _rounds(rows, lanes, watch, settings, len(stage.pictures.paths))
        folders = folder.measure(
            stage, many, len(cores), watch, lanes,
            rounds=settings.rounds, images=IMAGES_A_TURN * settings.per_round, say=_say,
        ) if many else ()  # fmt: skip
        quiet = watch.finish()
        for name, lane in lanes.items():
            with contextlib.suppress(LaneError):
                rows[name].peak_mb = lane.ask("status", TURN_TIMEOUT_S)["peak_mb"]
    reference = _reference(rows)
    _judge(rows, reference, stage)
    return Comparison(tuple(rows.values()), reference, quiet, settings, len(cores), folders)


def _start(row: ContenderRow, stage: Stage, threads: int, starts: int) -> Lane | None:
    """The lane that will be timed, after ``starts`` more processes that only start, answer once and end."""
    contender = row.contender
    job = stage.job(contender, threads)
    try:
        lane = Lane(contender.module, job, stage.pictures.paths)
    except LaneError as error:
        row.note = f"failed: {error}"
        return None
    row.first_start_ms, row.runs = lane.start_ms, lane.runs
    lane.falls_asleep()
    try:
        for _ in range(starts if contender.group != FLOOR else 0):
            with Lane(contender.module, job, stage.pictures.paths[:1]) as another:
                row.starts_ms.append(another.start_ms)
    except LaneError as error:
        row.note = f"failed at a second start: {error}"
        lane.close()
        return None
    return lane


def _warm_up(rows: dict[str, ContenderRow], lanes: dict[str, Lane], count: int) -> None:
    """Images into memory, all answers (untimed), and enough turns to be warm where the images are few."""
    for name, lane in list(lanes.items()):
        try:
            lane.read_images()
            answers = lane.ask("answers", TURN_TIMEOUT_S)["probabilities"]
            if answers[0] is not None:
                rows[name].probabilities = answers
            lane.ask("turn", TURN_TIMEOUT_S, order=[i % count for i in range(WARM_UP_IMAGES)], warmup=0)
        except LaneError as error:
            rows[name].note = f"failed: {error}"
            del lanes[name]  # the exit stack closes it
        lane.falls_asleep()


def _rounds(
    rows: dict[str, ContenderRow], lanes: dict[str, Lane], watch: QuietWatch, settings: ComparisonSettings, count: int
) -> None:
    """Every round: the same images for all, in an order of contenders drawn again."""
    random = np.random.default_rng(settings.seed)
    pace = Pace(settings.rounds)
    for number in range(settings.rounds):
        pace.done = number
        _say(f"round {number + 1} of {settings.rounds}, {pace.left}    ", ends=number + 1 == settings.rounds)
        watch.round()
        pictures = random.integers(0, count, settings.warmup + settings.per_round).tolist()
        for name in random.permutation(sorted(lanes)).tolist():
            try:
                turn = lanes[name].ask("turn", TURN_TIMEOUT_S, order=pictures, warmup=settings.warmup)
                rows[name].rounds.append(turn["times_ms"])
            except LaneError as error:
                rows[name].note = f"failed in round {number + 1}: {error}"
                del lanes[name]
                continue
            if not lanes[name].falls_asleep():
                watch.seen.kept_spinning.add(name)


def _reference(rows: dict[str, ContenderRow]) -> str:
    """The first of ours, in the catalogue's order, that ran."""
    for name, row in rows.items():
        if row.contender.group == OURS and row.times:
            return name
    reasons = "; ".join(f"{row.contender.name}: {row.note}" for row in rows.values() if row.note)
    raise KitError(f"none of our own contenders ran, so there is nothing to compare with ({reasons})", "fix it first")


def _judge(rows: dict[str, ContenderRow], reference: str, stage: Stage) -> None:
    """Ratios to the reference, and how right the answers are."""
    truth = _most_exact(rows)
    for row in rows.values():
        if row.times:
            row.ratio = ratio(row.rounds, rows[reference].rounds)
        if row.probabilities is None:
            continue
        if truth is not None:
            row.agrees, row.largest_difference = agreement(row.probabilities, truth)
        if stage.pictures.labels is not None:
            values = np.asarray(row.probabilities, np.float64)
            area = auc(values, stage.pictures.labels)
            row.accuracy = accuracy(values, stage.pictures.labels)
            row.auc = None if np.isnan(area) else float(area)


def _most_exact(rows: dict[str, ContenderRow]) -> list[list[float]] | None:
    """The answers that others are compared with: FP32 through this runtime's preprocess, where it ran."""
    for name in ("fieldlens-openvino-fp32", "fieldlens-onnxruntime-fp32", "documents", REFERENCE):
        row = rows.get(name)
        if row is not None and row.probabilities is not None:
            return row.probabilities
    return None


def _say(text: str, ends: bool = True) -> None:
    """Progress on standard error: standard output is for figures."""
    if ends or not sys.stderr.isatty():
        print(text, file=sys.stderr, flush=True)
    else:
        print(f"\r{text}", end="", file=sys.stderr, flush=True)


def raw(comparison: Comparison) -> dict[str, Any]:
    """Every single time, for whoever wants to compute something else."""
    return {row.contender.name: row.rounds for row in comparison.rows if row.rounds}
