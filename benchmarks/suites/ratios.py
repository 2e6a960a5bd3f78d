"""Comparing two runs of the suites: by ratios to a reference loop of the same run, because machines differ."""

from __future__ import annotations

import json
from pathlib import Path

from fieldlens.runtime.errors import KitError


def store(path: Path, ratios: dict[str, float]) -> None:
    """``{benchmark: time divided by the reference loop's}``."""
    path.write_text(json.dumps(ratios, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def load(path: Path) -> dict[str, float]:
    """Raises KitError for what is not such a file."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
        return {str(name): float(ratio) for name, ratio in value.items()}
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise KitError(f"{path} holds no ratios ({error})", "write it with --store-ratios FILE") from error


def compare(ratios: dict[str, float], before: dict[str, float] | None) -> list[str]:
    """A line per benchmark; with ``before`` also how it changed, and what is new or gone."""
    width = max((len(name) for name in (*ratios, *(before or {}))), default=0)
    lines = []
    for name, ratio in sorted(ratios.items()):
        line = f"{name:<{width}}  {ratio:>9.4f}"
        if before is not None:
            line += f"  {ratio / before[name] - 1:>+7.1%}" if before.get(name) else "      new"
        lines.append(line)
    lines += [f"{name:<{width}}       gone" for name in sorted(set(before or {}) - set(ratios))]
    return lines
