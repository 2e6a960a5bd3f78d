"""Figures that were noted outside of ``record``, as what they are: with their conditions and what they do not prove.

A folder of results has ``notes.json`` instead of ``conditions.json`` where a machine was at hand once, was not quiet,
or ran what ``record`` does not measure. Its remarks come before its figures, and it draws no bars: nothing invites to
compare it with a recorded device.
"""

from __future__ import annotations

from typing import Any

from fieldlens.runtime.errors import KitError

FILE = "notes.json"
_KEYS = {"format", "title", "what", "remarks", "conditions", "tables"}


def section(notes: dict[str, Any]) -> str:
    """The device's part of the page. Raises KitError: without conditions and remarks no figure is shown."""
    if missing := sorted(key for key in _KEYS if not notes.get(key)):
        raise KitError(f"{FILE} has no {', '.join(missing)}", "say how the figures came about, or leave them out")
    parts = [f"## {notes['title']}", notes["what"], *notes["remarks"], _conditions(notes["conditions"])]
    return "\n\n".join([*parts, *(_table(table) for table in notes["tables"])]) + "\n"


def _conditions(around: dict[str, Any]) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in sorted(around["versions"].items()))
    before, after = around["load_1min"]
    return (
        f"{around['gpu']}, driver {around['driver']}, CUDA {around['cuda']}; {around['cpu']}, {around['cores']} cores. "
        f"Load average {before} before and {after} after the run of a minute. Power mode: {around['power_mode']}. "
        f"{around['os']}, kernel {around['kernel']}, Python {around['python']}. {around['time_utc'][:10]}.\n\n"
        f"Versions: {versions}."
    )


def _table(table: dict[str, Any]) -> str:
    """The first column to the left, figures to the right. Raises KitError for a row of another length."""
    columns = table["columns"]
    lines = ["| " + " | ".join(columns) + " |", "|---|" + "---:|" * (len(columns) - 1)]
    for row in table["rows"]:
        if len(row) != len(columns):
            raise KitError(f"{FILE}: {table['title']}: a row has {len(row)} cells, not {len(columns)}", "correct it")
        lines.append("| " + " | ".join("–" if cell is None else str(cell) for cell in row) + " |")
    return "\n\n".join([f"### {table['title']}", table["words"], "\n".join(lines)])
