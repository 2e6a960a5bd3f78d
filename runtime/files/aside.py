"""Calls into a library that may hang, made by a thread of their own, so that a signal can end the wait for them."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

T = TypeVar("T")
_END_S = 1.0


class Aside:
    """One daemon thread that makes calls, one after the other. What hangs in it is left behind."""

    def __init__(self, name: str) -> None:
        self._calls: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    def __call__(self, function: Callable[[], T]) -> T:
        """The call's result, or what it raises. A signal's exception ends the wait, not the call."""
        future: Future[T] = Future()
        self._calls.put(lambda: _settle(future, function))
        return future.result()

    def end(self, function: Callable[[], object]) -> None:
        """A last call. It is waited for only a second, since it may hang, but it is: a thread that comes back from a
        library while the interpreter ends takes the process down with SIGABRT."""
        self._calls.put(lambda: _settle(Future(), function))
        self._calls.put(None)
        self._thread.join(_END_S)

    def _work(self) -> None:
        while (call := self._calls.get()) is not None:
            call()


def _settle(future: Future[T], function: Callable[[], T]) -> None:
    try:
        future.set_result(function())
    except BaseException as error:  # noqa: BLE001  (raised again by whoever waits)
        future.set_exception(error)
