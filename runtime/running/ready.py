"""From a run's sources to prepared images in order, and from each to its result."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from typing import TypeVar

from fieldlens.runtime.classifier import Answered, Classifier
from fieldlens.runtime.errors import AnswerError, ImageError, KitError
from fieldlens.runtime.prediction import Failure, Notice
from fieldlens.runtime.prepare import Prepared, Preparer
from fieldlens.runtime.running.ordered import depth_for, in_order
from fieldlens.runtime.sources.inputs import Item, Sources, loaded

T = TypeVar("T")
Waited = Callable[[Iterator[T]], Iterator[T]]


@dataclass(frozen=True)
class Ready:
    """An item with its tensor, or with what was wrong with it."""

    item: Item
    prepared: Prepared | None = None
    error: KitError | None = None


def prepare_item(item: Item, preparer: Preparer) -> Ready:
    """Read, decode, resize. What is wrong with an image is its result, and the run goes on."""
    item = loaded(item)
    try:
        if item.data is not None:
            prepared = preparer.from_bytes(item.data, item.source, item.acquired_ms, item.captured_at)
        elif item.frame_bgr is not None:
            prepared = preparer.from_frame(item.frame_bgr, item.source, item.acquired_ms, item.captured_at, item.began)
        else:
            return Ready(item, error=item.error)
    except KitError as error:
        return Ready(item, error=error)
    return Ready(item, prepared)


def ready_items(
    classifier: Classifier, sources: Sources, workers: int, waited: Waited[Ready | Item | None]
) -> Generator[Ready | None, None, None]:
    """Everything, prepared, in order; None twice a second while there is nothing.

    ``workers`` threads prepare stored images ahead; a camera's frames never, since they would be old by the time they
    are answered. ``waited`` wraps each iterator that may block, so that the caller knows when it waits.
    """
    try:
        yield from _stored(classifier, sources, workers, waited)
        for item in waited(sources.live()):
            yield prepare_item(item, classifier.own) if isinstance(item, Item) else None
    except KitError as error:  # a source that cannot be opened is one more thing that gave no image
        yield Ready(Item("source", error=error), error=error)


def _stored(
    classifier: Classifier, sources: Sources, workers: int, waited: Waited[Ready | Item | None]
) -> Iterator[Ready | None]:
    if not workers:
        for item in waited(_read(sources.stored())):  # a signal also ends a read that hangs
            yield prepare_item(item, classifier.own) if isinstance(item, Item) else None
        return
    preparers = [classifier.preparer() for _ in range(depth_for(workers))]
    stored = sources.stored(ring=len(preparers))
    ahead = in_order(stored, lambda item, place: prepare_item(item, preparers[place]), workers)
    yield from (ready if isinstance(ready, Ready) else None for ready in waited(ahead))


def _read(items: Iterator[Item | None]) -> Iterator[Item | None]:
    """The items with their files read."""
    try:
        for item in items:
            yield None if item is None else loaded(item)
    finally:
        if close := getattr(items, "close", None):
            close()


def answer_ready(classifier: Classifier, ready: Ready) -> Answered | Failure | Notice:
    """The result of one item: an answer, what was wrong with it, or news of a camera.

    Raises GoldenCheckFailed: the backend is at fault, and nothing more may be answered.
    """
    item, error = ready.item, ready.error
    if item.notice is not None:
        return item.notice
    if ready.prepared is not None:
        try:
            return classifier.answer(ready.prepared)
        except AnswerError as no_number:
            error = no_number
    elif item.refuse is not None:
        item.refuse()
    if error is None:
        error = ImageError(f"{item.source}: no image", "check the source")
    return Failure(item.source, error.message, error.hint)
