"""Working ahead: order, bounds, errors, endings."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator

import pytest

from fieldlens.runtime.running.ordered import InOrder, depth_for


def test_results_come_in_order_whatever_takes_long() -> None:
    delays = random.Random(0)
    times = [delays.uniform(0, 0.004) for _ in range(200)]

    def work(number: int, place: int) -> int:
        time.sleep(times[number])
        return number

    assert [result for result in InOrder(range(200), work, 4) if result is not None] == list(range(200))


@pytest.mark.parametrize("workers", [1, 3])
def test_never_more_under_way_than_places_and_no_place_is_shared(workers: int) -> None:
    depth, lock = depth_for(workers), threading.Lock()
    taken: list[int] = []
    held: set[int] = set()

    def items() -> Iterator[int]:
        for number in range(60):
            with lock:
                taken.append(number)
            yield number

    def work(number: int, place: int) -> tuple[int, int]:
        with lock:
            assert place not in held
            held.add(place)
        return number, place

    for done, result in enumerate(InOrder(items(), work, workers)):
        assert result is not None
        time.sleep(0.001)
        with lock:
            assert result[0] == done
            assert len(taken) - done <= depth
            held.discard(result[1])


def test_it_does_overlap() -> None:
    def work(number: int, place: int) -> int:
        time.sleep(0.01)
        return number

    start = time.perf_counter()
    for _ in InOrder(range(40), work, 4):
        time.sleep(0.0025)
    assert time.perf_counter() - start < 0.6 * 40 * 0.0125


def test_a_slow_source_gives_ticks_and_no_delay() -> None:
    """Somebody who feeds one path and waits for its answer must get it before the next one is written."""
    gate = threading.Event()

    def items() -> Iterator[int]:
        yield 1
        gate.wait(10)
        yield 2

    results = iter(InOrder(items(), lambda number, place: number, 2))
    assert next(results) == 1
    assert next(results) is None
    gate.set()
    assert [each for each in results if each is not None] == [2]


@pytest.mark.parametrize("where", ["items", "work"])
def test_an_exception_is_raised_in_its_place(where: str) -> None:
    def items() -> Iterator[int]:
        yield from range(5)
        if where == "items":
            raise ValueError("here")
        yield 5

    def work(number: int, place: int) -> int:
        if where == "work" and number == 5:
            raise ValueError("here")
        return number

    seen: list[int | None] = []
    with pytest.raises(ValueError, match="here"):
        seen.extend(InOrder(items(), work, 2))
    assert seen == list(range(5)) or not seen  # extend keeps what it got, or nothing, by the version of Python


def test_leaving_early_ends_the_threads_and_closes_the_source() -> None:
    closed = threading.Event()

    def items() -> Iterator[int | None]:
        try:
            number = 0
            while True:
                yield number
                number += 1
        finally:
            closed.set()

    results = iter(InOrder(items(), lambda number, place: number, 2))
    assert next(results) == 0
    results.close()  # type: ignore[attr-defined]
    assert closed.wait(2)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith(("feeder", "worker"))]
