"""One curve against another on the same draws: what another recipe, or other starting weights, bring."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from fieldlens.runtime.files import records
from fieldlens.train.errors import RunError
from fieldlens.train.learning_curve.draws import Draw
from fieldlens.train.learning_curve.forecast import over_draws
from fieldlens.train.learning_curve.kept import STATE, Begun, Judged, stored
from fieldlens.train.metrics import Interval

FIGURES = {"auc": "AUC", "accuracy": "accuracy"}


@dataclass(frozen=True)
class Gain:
    """Mean of ``pairs`` differences (ours minus theirs) at one size, with its interval; None for fewer than two."""

    size: int
    pairs: int
    auc: Interval | None
    accuracy: Interval | None


def other_curve(other: Path, out: Path, draws: Sequence[Draw], judged: int) -> dict[tuple[int, int], Judged]:
    """What the networks of the curve in ``other`` scored on these draws, by size and number.

    Raises RunError: no curve there, of other data, judged by other images, without a draw in common.
    """
    renew = "give the --out folder of another `fieldlens train curve`"
    theirs, ours = (records.read_file(Begun, folder / STATE, RunError, renew) for folder in (other, out))
    for name, what in (("data", "other data"), ("judged", "other images that judge")):
        if getattr(theirs, name) != getattr(ours, name):
            raise RunError(f"--against {other} has {what}", "compare curves of the same data, --apart and --test")
    found = {(draw.size, draw.number): stored(other, draw, judged) for draw in draws}
    known = {place: value for place, value in found.items() if value is not None}
    if not known:
        raise RunError(
            f"--against {other} has none of these draws", "take its --sizes, data.val_fraction and split_seed"
        )
    return known


def gains(ours: Sequence[Judged], theirs: Mapping[tuple[int, int], Judged]) -> list[Gain]:
    """For each size, over the draws that both have."""
    found = []
    for size in sorted({one.size for one in ours}):
        pairs = [(one, theirs[size, one.draw]) for one in ours if one.size == size and (size, one.draw) in theirs]
        areas = [(a.auc, b.auc) for a, b in pairs]
        known = [a - b for a, b in areas if a is not None and b is not None]
        shares = [a.accuracy - b.accuracy for a, b in pairs]
        found.append(
            Gain(size, len(pairs), over_draws(known) if len(known) == len(pairs) else None, over_draws(shares))
        )
    return found


def to_json(other: Path, found: Sequence[Gain]) -> dict[str, Any]:
    """For ``curve.json``."""
    return {"curve": other.name, "gains": [asdict(gain) for gain in found]}


def lines(other: Path, found: Sequence[Gain]) -> list[str]:
    """For people."""
    said = []
    for gain in found:
        cells = [
            f"{name} {value.value:+.3f} [{value.low:+.3f}, {value.high:+.3f}]"
            for key, name in FIGURES.items()
            if (value := getattr(gain, key)) is not None
        ]
        rest = ", ".join(cells) if cells else "cannot say; an interval needs two draws that both have"
        said.append(f"against {other.name}, {gain.size} images, {gain.pairs} draws in pairs: {rest}")
    return said
