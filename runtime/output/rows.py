"""What a report's table says of each image, kept while the run goes on."""

from __future__ import annotations

from collections import deque
from dataclasses import asdict, dataclass
from typing import Any

from fieldlens.runtime.output.sinks import Sink
from fieldlens.runtime.prediction import Failure, Notice, Result

NOT_CLASSIFIED = "not-classified"
ORDER = (NOT_CLASSIFIED, "refer", "uncertain", "retake", "classified", "no-sign-found")
"""What an image came to, what needs a person first at the head."""
MOST_ROWS = 10_000
"""A camera runs for months: the last ones are kept."""


@dataclass(frozen=True)
class ImageRow:
    """One image. ``note``: what to do about it, or what was wrong; ``finding``: a class's display name, where one was
    found. ``score`` and ``total_ms`` are None where there is none."""

    number: int
    source: str
    outcome: str
    finding: str = ""
    score: float | None = None
    total_ms: float | None = None
    note: str = ""


class RowSink(Sink):
    """The last ``most`` images of a run; ``count`` is how many there were."""

    def __init__(self, most: int = MOST_ROWS) -> None:
        self.rows: deque[ImageRow] = deque(maxlen=most)
        self.count = 0

    def write(self, result: Result) -> None:
        if isinstance(result, Notice):
            return
        self.count += 1
        if isinstance(result, Failure):
            row = ImageRow(self.count, result.source, NOT_CLASSIFIED, note=result.reason)
        else:
            outcome = str(result.outcome)
            found = result.finding if outcome in ("refer", "uncertain", "classified") else ""
            advice = "; ".join(finding.advice for finding in result.findings)
            score = None if outcome == "retake" else result.score
            row = ImageRow(self.count, result.source, outcome, found, score, result.latency_ms["total"], advice)
        self.rows.append(row)

    def close(self) -> None:
        """Nothing is held open."""

    def to_json(self) -> dict[str, Any]:
        """For the report."""
        return {"count": self.count, "rows": [asdict(row) for row in self.rows]}
