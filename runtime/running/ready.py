"""From a run's sources to prepared images in order, and from each to its result."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, replace
from typing import Protocol, TypeVar

from fieldlens.runtime.backends.lanes import Lanes
from fieldlens.runtime.classifier import Classifier
from fieldlens.runtime.errors import AnswerError, BackendError, KitError
from fieldlens.runtime.machine.host import usable_cores
from fieldlens.runtime.pixels.decode_limits import TooLargeAhead
from fieldlens.runtime.prediction import Failure, Prediction
from fieldlens.runtime.prepare import Prepared, Preparer
from fieldlens.runtime.running.ordered import InOrder, depth_for
from fieldlens.runtime.sources.inputs import Sources
from fieldlens.runtime.sources.item import Broken, Encoded, Frame, Item, News, loaded, unexpected

T = TypeVar("T")
AHEAD_MB = 32.0
"""Where nobody asked for workers, a larger image than this (what decoding it takes) is decoded alone, in its turn: a
small device's memory has room for one of them, not for one on each core."""
FIRST = 64
"""Images that are answered one after the other before the lanes are opened, which takes as long as they gain on some
two hundred images."""
_MOST = 9
"""Threads at most: beyond eight cores nobody has measured this."""


Ready = Prepared | News | Broken
"""An item with its tensor, or what there is in place of one."""


@dataclass(frozen=True)
class Plan:
    """How stored images are worked on. ``workers`` threads read, decode and prepare ahead, and run the network where
    the backend has lanes; 0: one image after the other. ``first``: so many come one after the other before that.
    ``ahead_mb``: larger images are decoded alone. ``lanes`` False: the network stays in the thread that asks for
    results. ``say`` gets what has to be said."""

    workers: int = 0
    first: int = 0
    ahead_mb: float | None = None
    lanes: bool = True
    say: Callable[[str], None] = lambda note: None


def plan_for(classifier: Classifier, *, alone: bool, say: Callable[[str], None]) -> Plan:
    """What is fastest within bounded memory; one image after the other where somebody waits for each answer
    (``alone``), since an answer takes longer while others are made beside it.

    On a CPU one worker more than cores, so that an image is ready for each core that has answered one. Beside a GPU
    two, which decode while it computes.
    """
    info, cores = classifier.backend.info, usable_cores()
    if alone or cores < 2:
        return Plan()
    if info.name == "tensorrt":
        return Plan(2, 0, AHEAD_MB, say=say)
    return Plan(info.threads + 1, FIRST, AHEAD_MB, say=say) if 2 <= info.threads < _MOST else Plan()


def prepare_item(item: Item, preparer: Preparer, lanes: Lanes | None = None) -> Ready:
    """Read, decode, resize, and with ``lanes`` run the network. What is wrong with an image is its result, and the run
    goes on. Raises TooLargeAhead, where the preparer's limits say so."""
    if isinstance(item, News | Broken):
        return item
    try:
        image = loaded(item)
        prepared = image if isinstance(image, News | Broken) else preparer(image)
    except TooLargeAhead:
        raise
    except KitError as error:
        return _refused(item, error)
    except Exception as error:  # noqa: BLE001  (whatever one image does to a library, the next one gets its answer)
        return _refused(item, unexpected(item.source, error))
    if lanes is None or not isinstance(prepared, Prepared):
        return prepared
    try:
        return replace(prepared, inferred=lanes.infer(prepared.image))
    except BackendError:  # left to the backend itself: if that fails as well, the run ends by it
        return prepared


def _refused(item: Item, error: KitError) -> Broken:
    assert not isinstance(item, News | Broken)
    if isinstance(item, Encoded | Frame):
        item.refuse()
    return Broken(item.source, error)


class Waited(Protocol):
    """Wraps an iterator that may block, so that the caller knows when it waits."""

    def __call__(self, items: Iterator[T], /) -> Iterator[T]: ...


def ready_items(
    classifier: Classifier, sources: Sources, plan: Plan, waited: Waited
) -> Generator[Ready | None, None, None]:
    """Everything, prepared, in order; None twice a second while there is nothing.

    Stored images by ``plan``; a camera's frames always one after the other, since they would be old by the time they
    are answered.
    """
    own = classifier.preparer(overlapped=False)
    try:
        yield from _stored(classifier, sources, plan, own, waited)
        for item in waited(sources.live()):
            yield None if item is None else prepare_item(item, own)
    except KitError as error:  # a source that cannot be opened is one more thing that gave no image
        yield Broken(sources.camera or "source", error)


def _stored(
    classifier: Classifier, sources: Sources, plan: Plan, own: Preparer, waited: Waited
) -> Iterator[Ready | None]:
    stored, number, item = sources.stored(ring=depth_for(plan.workers)), 0, None
    with contextlib.ExitStack() as stack:
        stack.enter_context(contextlib.closing(stored))
        for item in waited(_read(map(_itself, stored))):  # a signal also ends a read that hangs
            if item is not None and plan.workers and number == plan.first:
                stack.pop_all()
                break
            number += item is not None
            yield None if item is None else prepare_item(item, own)
        else:
            return
    with _closed(waited(iter(_ahead(classifier, _with(item, stored), plan)))) as results:
        for found in results:
            yield prepare_item(found, own) if isinstance(found, Encoded | Frame) else found


def _ahead(classifier: Classifier, items: Iterator[Item | None], plan: Plan) -> InOrder[Item, Ready | Encoded | Frame]:
    """Worked on by threads; what is too large for that comes as it is."""
    lanes = lanes_for(classifier, plan)
    limits = None if plan.ahead_mb is None else replace(classifier.decode_limits, ahead_mb=plan.ahead_mb)
    preparers = [classifier.preparer(limits=limits) for _ in range(depth_for(plan.workers))]

    def work(item: Item, place: int) -> Ready | Encoded | Frame:
        image = loaded(item)
        try:
            return prepare_item(image, preparers[place], lanes)
        except TooLargeAhead:
            assert isinstance(image, Encoded | Frame)
            return image

    return InOrder(items, work, plan.workers)


def lanes_for(classifier: Classifier, plan: Plan) -> Lanes | None:
    """One for each core, where there are workers enough to use them all."""
    if not plan.lanes or plan.workers < max(2, classifier.backend.info.threads):
        return None
    try:
        lanes = classifier.open_lanes()
    except KitError as error:
        plan.say(f"the network runs on all cores for one image after the other: {error.message}")
        return None
    if lanes is not None:
        after = f"after the first {plan.first}, " if plan.first else ""
        plan.say(
            f"{after}{len(lanes)} images were answered at a time, each on a core of its own: more a second, and each "
            "takes longer; --workers 0 for the latency of an image alone"
        )
    return lanes


@contextlib.contextmanager
def _closed(items: Iterator[T]) -> Iterator[Iterator[T]]:
    """Closed at the end, and not when the garbage collector comes by."""
    try:
        yield items
    finally:
        if close := getattr(items, "close", None):
            close()


def _itself(item: Item | None) -> Item | None:
    """For ``map``: an iterator that does not close what it walks."""
    return item


def _with(item: Item, stored: Generator[Item | None, None, None]) -> Iterator[Item | None]:
    """One that was taken already, and the rest."""
    with contextlib.closing(stored):
        yield item
        yield from stored


def _read(items: Iterator[Item | None]) -> Iterator[Item | None]:
    """The items with their files read."""
    for item in items:
        yield None if item is None else loaded(item)


def answer_ready(classifier: Classifier, prepared: Prepared) -> Prediction | Failure:
    """The answer, or a Failure where it is not a finite number.

    Raises GoldenCheckFailed: the backend is at fault, and nothing more may be answered.
    """
    try:
        return classifier.answer(prepared)
    except AnswerError as error:
        return Failure(prepared.source, error.message, error.hint)
