"""What each epoch gave: ``metrics.csv``, the choice of the best epoch, and when to stop."""

from __future__ import annotations

import csv
import io
import math
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from fieldlens.runtime.files.atomic import write_text
from fieldlens.train.errors import RunError


@dataclass(frozen=True)
class EpochRow:
    """A line of ``metrics.csv``. Losses in nats; ``seconds`` for the whole epoch, validation included."""

    epoch: int
    lr: float
    train_loss: float
    train_accuracy: float
    val_loss: float
    val_accuracy: float
    val_balanced_accuracy: float
    val_auc: float
    images_per_second: float
    seconds: float
    val_kappa: float = math.nan  # of grades in order only
    stage: int = 1
    judged: bool = True  # False: before train.judge_from, where no epoch is the best and patience has not begun


Merit = tuple[float, float]
"""The metric and the validation loss, so signed that more is better."""

NO_MERIT: Merit = (-math.inf, -math.inf)


class History:
    """The epochs so far, judged by one metric (a loss: the smaller the better), and among equals by the validation
    loss: on a few dozen images an AUC or an accuracy soon reaches a value that many epochs share.

    ``first_stage``: the first whose images have the device's size; epochs before it, and those that are not judged,
    are best only as long as there is no other.
    """

    def __init__(self, metric: str, rows: list[EpochRow] | None = None, first_stage: int = 1) -> None:
        self.metric = metric
        self.rows = rows or []
        self._first_stage = first_stage

    def add(self, row: EpochRow) -> bool:
        """Append; True if this epoch is the best so far. NaN is never better; an equal in both is not."""
        before = self.best if self.rows else None
        self.rows.append(row)
        return before is None or self._rank(row) > self._rank(before)

    def _rank(self, row: EpochRow) -> tuple[bool, bool, Merit]:
        return row.stage >= self._first_stage, row.judged, self._merit(row)

    def _merit(self, row: EpochRow) -> Merit:
        value = float(getattr(row, self.metric))
        return _sure(-value if self.metric.endswith("loss") else value), _sure(-row.val_loss)

    @property
    def best(self) -> EpochRow:
        """The best epoch; of those that are equal in both the first."""
        return max(self.rows, key=self._rank)

    def merits(self, stage: int) -> list[Merit]:
        """How good each epoch of a stage was: more is better."""
        return [self._merit(row) for row in self.rows if row.stage == stage]

    def stale(self, patience: int, stage: int = 1) -> bool:
        """Has the best judged epoch of this stage been ``patience`` epochs ago? Never with 0."""
        merits = [self._merit(row) for row in self.rows if row.stage == stage and row.judged]
        return 0 < patience < len(merits) - merits.index(max(merits)) if merits else False

    def write(self, path: Path) -> None:
        """The whole table, atomically: a few kilobytes."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        names = [field.name for field in fields(EpochRow)]
        if all(math.isnan(row.val_kappa) for row in self.rows):
            names.remove("val_kappa")
        if all(row.judged for row in self.rows):
            names.remove("judged")
        writer.writerow(names)
        for row in self.rows:
            writer.writerow([_short(getattr(row, name)) for name in names])
        write_text(path, text.getvalue())

    def to_plain(self) -> list[dict[str, Any]]:
        """For the resume state."""
        return [asdict(row) for row in self.rows]

    @classmethod
    def from_plain(cls, metric: str, rows: list[dict[str, Any]], first_stage: int = 1) -> History:
        """The inverse of :meth:`to_plain`. Raises RunError for rows of another version."""
        try:
            return cls(metric, [EpochRow(**row) for row in rows], first_stage)
        except TypeError as error:
            raise RunError(
                f"the history in last.pt was written by another version of the kit ({error})", "fit into a new folder"
            ) from error


def _sure(value: float) -> float:
    return -math.inf if math.isnan(value) else value


def _short(value: float) -> str:
    return str(int(value)) if isinstance(value, int) else f"{value:.6g}"
