"""What is wrong with somebody's data, collected so that all of it is reported at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from fieldlens.runtime.errors import KitError
from fieldlens.runtime.files.printable import printable

SHOWN_AT_MOST = 20


class DataError(KitError):
    """A data set that is missing, broken, or that cannot be split honestly."""


class Problem(NamedTuple):
    """One thing that is wrong, and what to do about it where that is not plain."""

    text: str
    hint: str = ""


def all_at_once(name: str, problems: Sequence[Problem]) -> DataError:
    """One error that names everything that is wrong with the data ``name``."""
    hints = list(dict.fromkeys(problem.hint for problem in problems if problem.hint))
    hint = "; ".join(hints) or "fix these, then run again"
    if len(problems) == 1:
        text = problems[0].text
        return DataError(text if text.startswith(name) else f"{name}: {text}", hint)
    return DataError(listing(f"{name}: everything that is wrong", [problem.text for problem in problems]), hint)


def listing(title: str, problems: Sequence[str]) -> str:
    """All problems at once, one a line; a long list is cut and its rest counted."""
    lines = [f"{title} ({len(problems)}):", *(f"  {printable(problem)}" for problem in problems[:SHOWN_AT_MOST])]
    if len(problems) > SHOWN_AT_MOST:
        lines.append(f"  … and {len(problems) - SHOWN_AT_MOST} more")
    return "\n".join(lines)
