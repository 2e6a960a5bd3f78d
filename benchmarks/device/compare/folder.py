"""Images of a folder a second: contenders that may work on many at a time, in turns as the others."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from fieldlens.benchmarks.device.compare.lane import TURN_TIMEOUT_S, Lane, LaneError
from fieldlens.benchmarks.device.compare.stage import Stage
from fieldlens.benchmarks.device.compare.statistics import Ratio, ratio
from fieldlens.benchmarks.device.contenders.catalogue import FOLDER_REFERENCE, Contender, why_not
from fieldlens.benchmarks.device.machine.quiet import QuietWatch


@dataclass
class FolderRow:
    """One contender's figures; ``note`` says why there are none. ``seconds``: of each turn of ``images`` files.
    ``ratio``: of its time to ours."""

    contender: Contender
    images: int
    note: str | None = None
    runs: str = ""
    seconds: list[float] = field(default_factory=list)
    ratio: Ratio | None = None

    @property
    def per_second(self) -> float | None:
        """The median turn's images a second; None without figures."""
        return self.images / float(np.median(self.seconds)) if self.seconds and self.note is None else None


def measure(
    stage: Stage, contenders: Sequence[Contender], threads: int, watch: QuietWatch, lanes: dict[str, Lane],
    *, rounds: int, images: int, say: Callable[[str], None],
) -> tuple[FolderRow, ...]:  # fmt: skip
    """``rounds`` turns of ``images`` files each, in an order drawn again in each round.

    ``lanes`` holds the workers of the comparison: these are added while they live, so that ``watch`` counts their time
    as ours.
    """
    rows = {contender.name: FolderRow(contender, images) for contender in contenders}
    paths = [str(path) for path in stage.pictures.paths]
    files = [paths[number % len(paths)] for number in range(images)]
    with contextlib.ExitStack() as stack:
        for name, row in rows.items():
            row.note = why_not(row.contender, list(stage.models))
            if row.note is None and (lane := _start(row, stage, threads, files)):
                lanes[name] = stack.enter_context(lane)
        _turns(rows, lanes, watch, files, rounds, say)
        for name in rows:
            lanes.pop(name, None)
    reference = rows.get(FOLDER_REFERENCE)
    for row in rows.values():
        if row.per_second and reference and reference.per_second:
            row.ratio = ratio([[each] for each in row.seconds], [[each] for each in reference.seconds])
    return tuple(rows.values())


def _start(row: FolderRow, stage: Stage, threads: int, files: list[str]) -> Lane | None:
    """A worker that has had one turn, which is not counted."""
    try:
        lane = Lane(row.contender.module, stage.job(row.contender, threads), stage.pictures.paths)
    except LaneError as error:
        row.note = f"failed: {error}"
        return None
    row.runs = lane.runs
    try:
        lane.ask("many", TURN_TIMEOUT_S, images=files)
    except LaneError as error:
        row.note = f"failed: {error}"
        lane.close()
        return None
    lane.falls_asleep()
    return lane


def _turns(
    rows: dict[str, FolderRow], lanes: dict[str, Lane], watch: QuietWatch, files: list[str], rounds: int,
    say: Callable[[str], None],
) -> None:  # fmt: skip
    random = np.random.default_rng(0)
    for number in range(rounds):
        say(f"folder, round {number + 1} of {rounds}")
        watch.round()
        for name in random.permutation([name for name, row in rows.items() if row.note is None]).tolist():
            try:
                rows[name].seconds.append(lanes[name].ask("many", TURN_TIMEOUT_S, images=files)["seconds"])
            except LaneError as error:
                rows[name].note = f"failed in round {number + 1}: {error}"
                continue
            if not lanes[name].falls_asleep():
                watch.seen.kept_spinning.add(name)
