"""What each epoch gave: ``metrics.csv``, the choice of the best epoch, and when to stop."""

from __future__ import annotations

import csv
import io
import math
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from runtime.atomic import write_text


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


class History:
    """The epochs so far, judged by one metric (a loss: the smaller the better)."""

    def __init__(self, metric: str, rows: list[EpochRow] | None = None) -> None:
        self.metric = metric
        self.rows = rows or []

    def add(self, row: EpochRow) -> bool:
        """Append; True if this epoch is the best so far. NaN is never better; of equals the first stays."""
        before = max((self._merit(old) for old in self.rows), default=-math.inf)
        self.rows.append(row)
        return self._merit(row) > before or len(self.rows) == 1

    def _merit(self, row: EpochRow) -> float:
        value = float(getattr(row, self.metric))
        if math.isnan(value):
            return -math.inf
        return -value if self.metric.endswith("loss") else value

    @property
    def best(self) -> EpochRow:
        """The best epoch; of equals the first."""
        return max(self.rows, key=self._merit)

    def stale(self, patience: int) -> bool:
        """Has the best epoch been ``patience`` epochs ago? Never with 0."""
        return patience > 0 and self.rows[-1].epoch - self.best.epoch >= patience

    def write(self, path: Path) -> None:
        """The whole table, atomically: a few kilobytes."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow([field.name for field in fields(EpochRow)])
        for row in self.rows:
            writer.writerow([_short(value) for value in asdict(row).values()])
        write_text(path, text.getvalue())

    def to_plain(self) -> list[dict[str, Any]]:
        """For the resume state."""
        return [asdict(row) for row in self.rows]


def _short(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:.6g}"
