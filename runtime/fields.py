"""Rules that stand beside a dataclass's fields, as in ``size: Annotated[int, Between(16, 1024)]``.

:mod:`fieldlens.runtime.files.records` reads records by them.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar


def nearest(word: str, known: Iterable[str]) -> str:
    """A "did you mean" clause, or the list of what is known."""
    options = list(known)
    close = difflib.get_close_matches(word[:80], options, n=1)
    return f"did you mean {close[0]!r}?" if close else "known: " + ", ".join(options)


def shown(value: Any, most: int = 80) -> str:
    """A value as an error message may hold it: on one line and not long."""
    text = repr(value)
    return text if len(text) <= most else f"{text[:most]}…"


class Unfit(ValueError):
    """A value that a rule or a ``__post_init__`` does not take; the reader puts the place in front of the message.

    ``suggestion``: what would be right.
    """

    def __init__(self, message: str, suggestion: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.suggestion = suggestion


@dataclass(frozen=True)
class Between:
    """A number within ``[low, high]``."""

    low: float
    high: float

    def __call__(self, value: float) -> None:
        """Raises Unfit."""
        if not self.low <= value <= self.high:
            raise Unfit(f"must be between {self.low} and {self.high}, not {shown(value)}")


@dataclass(frozen=True)
class OneOf:
    """One of these words; for an object, its keys are."""

    early: ClassVar[bool] = True
    options: tuple[str, ...]

    def __call__(self, value: str | Mapping[str, Any]) -> None:
        """Raises Unfit."""
        if isinstance(value, str):
            if value not in self.options:
                raise Unfit(f"is {shown(value)}", nearest(value, self.options))
            return
        for key in value:
            if key not in self.options:
                raise Unfit(f"has an unknown key {shown(key)}", nearest(key, self.options))


@dataclass(frozen=True)
class Matching:
    """A text of this form: a regular expression for all of it, and the form in words."""

    pattern: str
    words: str

    def __call__(self, value: str) -> None:
        """Raises Unfit."""
        if not re.fullmatch(self.pattern, value):
            raise Unfit(f"must be {self.words}, not {shown(value)}")


@dataclass(frozen=True)
class Count:
    """How many items a list or an object may have. ``early``: looked at before what is in it, as with other rules."""

    early: ClassVar[bool] = True
    low: int
    high: int

    def __call__(self, value: Any) -> None:
        """Raises Unfit."""
        if not self.low <= len(value) <= self.high:
            allowed = str(self.low) if self.low == self.high else f"{self.low} to {self.high}"
            raise Unfit(f"must have {allowed} items, not {len(value)}")


@dataclass(frozen=True)
class Tagged:
    """A union of dataclasses, distinguished by this key; each has its word as a class attribute of that name."""

    key: str


class _Exact:
    """See EXACT."""


EXACT = _Exact()
"""Below a field marked so an unknown key is refused even where others are only noted: it would change the answers."""
