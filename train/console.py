"""The reporter of the host's command lines: lines on standard output, progress bars where a person looks."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager
from typing import TypeVar

from tqdm import tqdm

from fieldlens.runtime.terminal.reporter import Lines, Progress

T = TypeVar("T")


class Console(Lines):
    """Bars go to standard error, and only where that is a terminal; lines are printed above them."""

    def say(self, text: str) -> None:
        """Print at once, above a bar."""
        with tqdm.external_write_mode():
            super().say(text)

    def each(self, items: Iterable[T], title: str, total: int, unit: str = "it") -> Iterable[T]:
        """The items, with a bar that is gone afterwards."""
        bar: Iterable[T] = tqdm(items, title, total, leave=False, disable=None, unit=unit)
        return bar

    def progress(self, title: str, total: int, done: int = 0, unit: str = "it") -> AbstractContextManager[Progress]:
        """A bar that stays."""
        bar: AbstractContextManager[Progress] = tqdm(
            total=total, initial=done, desc=title, unit=unit, disable=None, dynamic_ncols=True
        )
        return bar
