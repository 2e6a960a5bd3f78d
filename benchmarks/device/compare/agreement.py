"""Do two runs of the comparison say the same? Ratios within a tenth, and no decided order turned round."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from itertools import combinations
from pathlib import Path
from typing import Any

from fieldlens.benchmarks.device.compare.statistics import ratio
from fieldlens.runtime.errors import KitError

TOLERANCE = 0.1
"""Largest relative change of a ratio to ours between two runs on one device."""

Times = dict[str, list[list[float]]]


@dataclass(frozen=True)
class Agreement:
    """``changes``: contender → its ratio to ours in both runs. ``decided``: pairs whose order the first run decides
    (the 95% interval of their ratio excludes 1); ``reversed``: those that the second run decides the other way."""

    hours_apart: float
    changes: dict[str, tuple[float, float]]
    decided: int
    reversed: tuple[tuple[str, str], ...]

    @property
    def largest(self) -> tuple[str, float]:
        """The contender whose ratio changed most, and by how much of the first."""
        name = max(self.changes, key=lambda name: abs(self.change(name)))
        return name, self.change(name)

    def change(self, name: str) -> float:
        """Relative change of a contender's ratio."""
        first, second = self.changes[name]
        return second / first - 1

    @property
    def holds(self) -> bool:
        """Both rules."""
        return abs(self.largest[1]) <= TOLERANCE and not self.reversed

    def to_json(self) -> dict[str, Any]:
        """For the record."""
        return {**asdict(self), "tolerance": TOLERANCE, "holds": self.holds}


def agreement(first: Path, second: Path) -> Agreement:
    """Of two folders that ``compare --out`` or ``record`` wrote.

    The weights may differ: they change no time. Raises KitError: not such folders, another architecture or size, other
    images, a run that was not quiet.
    """
    facts = [_json(folder / "conditions.json") for folder in (first, second)]
    for folder, run in zip((first, second), facts, strict=True):
        if not run["quiet"]["valid"]:
            raise KitError(f"{folder}: this run is INVALID, its machine was not quiet", "measure it again")
    if any(facts[0][key] != facts[1][key] for key in ("network", "images")):
        raise KitError(f"{first} and {second} measured different things", "the same network and the same images twice")
    times: list[Times] = [_json(folder / "raw.json") for folder in (first, second)]
    lines = _lines(first / "compare.jsonl")
    reference = lines[0]["reference"]
    both = [line["contender"] for line in lines if line["contender"] in times[0] and line["contender"] in times[1]]
    if reference not in both:
        raise KitError(f"{reference} did not run in both", "measure again")
    values = {
        name: (ratio(times[0][name], times[0][reference]).value, ratio(times[1][name], times[1][reference]).value)
        for name in both
        if name != reference
    }
    if not values:
        raise KitError("only one contender ran in both", "compare with at least one peer")
    decided = list(_decided(times[0], both))
    other_way = {(slow, fast) for fast, slow in _decided(times[1], both)}
    hours = abs((_when(facts[1]) - _when(facts[0])).total_seconds()) / 3600
    return Agreement(hours, values, len(decided), tuple(pair for pair in decided if pair in other_way))


def show(found: Agreement) -> str:
    """For people."""
    lines = [f"{'contender':<28} {'× ours':>8} {'again':>8} {'change':>8}"]
    for name, (first, second) in found.changes.items():
        lines.append(f"{name:<28} {first:>8.3f} {second:>8.3f} {found.change(name):>+8.1%}")
    name, change = found.largest
    turned = ", ".join(f"{fast} before {slow}" for fast, slow in found.reversed)
    order = f"turned round: {turned}" if turned else "none turned round"
    return "\n".join(
        [
            *lines,
            f"{found.hours_apart:.1f} hours apart: the largest change of a ratio is {change:+.1%} ({name}), "
            f"{TOLERANCE:.0%} allowed; of {found.decided} pairs with a decided order {order}",
        ]
    )


def _decided(times: Times, names: list[str]) -> Iterator[tuple[str, str]]:
    """Pairs (faster, slower) whose ratio's interval excludes 1."""
    for one, other in combinations(names, 2):
        found = ratio(times[other], times[one])
        if found.low > 1:
            yield one, other
        elif found.high < 1:
            yield other, one


def _when(facts: dict[str, Any]) -> datetime:
    return datetime.strptime(facts["conditions"]["time_utc"], "%Y-%m-%dT%H:%M:%SZ")


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise KitError(f"{path} cannot be read ({error})", "give two folders of compare --out, or of record") from error


def _lines(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
