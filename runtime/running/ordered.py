"""Work ahead in threads, in order, within bounded memory. The decoders release Python's lock, so it does overlap."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotYet  # the built-in one only from Python 3.11 on
from typing import Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R")
TICK_S = 0.5
_END_S = 1.0


def depth_for(workers: int) -> int:
    """Places for images: one per worker, the one being answered, and one that is ready when it is done."""
    return workers + 2 if workers else 1


class InOrder(Generic[T, R]):
    """``work(item, place)`` of every item, in the items' order; None twice a second while nothing is ready.

    At most ``depth_for(workers)`` items are under way, the one that was yielded last among them, each with a place of
    its own (0, 1, …), so that the caller may keep one set of buffers per place. ``items`` may yield None for "nothing
    yet". An exception of ``items`` or ``work`` is raised where its result would have come.

    A feeder thread walks the items, because a source may block; daemon threads, because a read may hang.
    """

    def __init__(self, items: Iterable[T | None], work: Callable[[T, int], R], workers: int) -> None:
        self._items = items
        self._work = work
        self._depth = depth_for(workers)
        self._places = threading.Semaphore(self._depth)
        self._jobs: queue.SimpleQueue[tuple[Future[R], T, int] | None] = queue.SimpleQueue()
        self._results: queue.SimpleQueue[Future[R] | None] = queue.SimpleQueue()
        self._stopped = threading.Event()
        self._feeder = threading.Thread(target=self._feed, name="feeder", daemon=True)
        self._workers = [
            threading.Thread(target=self._serve, name=f"worker {number}", daemon=True) for number in range(workers)
        ]

    def __iter__(self) -> Iterator[R | None]:
        for thread in (self._feeder, *self._workers):
            thread.start()
        try:
            while True:
                try:
                    future = self._results.get(timeout=TICK_S)
                except queue.Empty:
                    yield None
                    continue
                if future is None:
                    return
                yield from self._wait(future)
                self._places.release()
        finally:
            self._end()

    def _wait(self, future: Future[R]) -> Iterator[R | None]:
        while True:
            try:
                result = future.result(TICK_S)
            except NotYet:
                if future.done():  # the work's own
                    raise
                yield None
                continue
            yield result
            return

    def _feed(self) -> None:
        number = 0
        items = iter(self._items)
        try:
            while self._place():
                item = next((each for each in items if each is not None or self._stopped.is_set()), None)
                if item is None:
                    break
                future: Future[R] = Future()
                self._results.put(future)
                self._jobs.put((future, item, number % self._depth))
                number += 1
        except Exception as error:  # noqa: BLE001  (raised again by the consumer, in its place)
            failed: Future[R] = Future()
            failed.set_exception(error)
            self._results.put(failed)
        finally:
            if close := getattr(items, "close", None):
                close()
            self._results.put(None)

    def _place(self) -> bool:
        """Wait for a free place; False when it is time to end."""
        while not self._stopped.is_set():
            if self._places.acquire(timeout=TICK_S):
                return True
        return False

    def _serve(self) -> None:
        while (job := self._jobs.get()) is not None:
            future, item, place = job
            if self._stopped.is_set():
                future.cancel()
                continue
            try:
                future.set_result(self._work(item, place))
            except BaseException as error:  # noqa: BLE001  (raised again by the consumer, in its place)
                future.set_exception(error)

    def _end(self) -> None:
        """Let the threads go; one that hangs in a read is left behind and dies with the process."""
        self._stopped.set()
        for _ in self._workers:
            self._jobs.put(None)
        end = time.monotonic() + _END_S
        for thread in (self._feeder, *self._workers):
            thread.join(max(0.0, end - time.monotonic()))
