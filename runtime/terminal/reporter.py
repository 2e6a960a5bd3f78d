"""How long work says what it is doing: through a reporter that is handed in. A function never prints by itself."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from typing import Protocol, TypeVar

T = TypeVar("T")


class Reporter(Protocol):
    """What a function tells its caller meanwhile. Its methods are called from one thread, the function's own."""

    def say(self, text: str) -> None:
        """One or more whole lines."""

    def step(self, name: str, what: str) -> AbstractContextManager[None]:
        """Work that begins now, and ends with the ``with`` block."""

    def each(self, items: Iterable[T], title: str, total: int, unit: str = "it") -> Iterable[T]:
        """The items themselves, while their progress is shown."""

    def progress(self, title: str, total: int, done: int = 0, unit: str = "it") -> AbstractContextManager[Progress]:
        """A bar to be moved by hand."""


class Progress(Protocol):
    """A progress bar."""

    def update(self, count: int = 1) -> None:
        """``count`` more are done."""


class Silent:
    """Says nothing. The default wherever a reporter may be handed in."""

    def say(self, text: str) -> None:
        """Nothing."""

    def step(self, name: str, what: str) -> AbstractContextManager[None]:
        """Nothing."""
        return contextlib.nullcontext()

    def each(self, items: Iterable[T], title: str, total: int, unit: str = "it") -> Iterable[T]:
        """The items."""
        return items

    def progress(self, title: str, total: int, done: int = 0, unit: str = "it") -> AbstractContextManager[Progress]:
        """A bar that nobody sees."""
        return contextlib.nullcontext(self)

    def update(self, count: int = 1) -> None:
        """Nothing."""


SILENT = Silent()


class Lines(Silent):
    """Lines on standard output, without progress bars."""

    def say(self, text: str) -> None:
        """Print at once, also where the output is a file that somebody follows."""
        print(text, flush=True)

    @contextlib.contextmanager
    def step(self, name: str, what: str) -> Iterator[None]:
        """Say what is being done, and when it is done how long it took. An error ends the line and goes on up."""
        print(f"{name:<12}{what} …", end="", flush=True)
        start = time.perf_counter()
        try:
            yield
        except BaseException:
            print(" stopped", flush=True)
            raise
        print(f" {time.perf_counter() - start:.1f} s", flush=True)
