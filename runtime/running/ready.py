"""From a run's sources to prepared images in order, and from each to its result."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import Protocol, TypeVar

from fieldlens.runtime.classifier import Classifier
from fieldlens.runtime.errors import AnswerError, KitError
from fieldlens.runtime.prediction import Failure, Prediction
from fieldlens.runtime.prepare import Prepared, Preparer
from fieldlens.runtime.running.ordered import InOrder, depth_for
from fieldlens.runtime.sources.inputs import Sources
from fieldlens.runtime.sources.item import Broken, Encoded, Frame, Item, News, loaded, unexpected

T = TypeVar("T")


Ready = Prepared | News | Broken
"""An item with its tensor, or what there is in place of one."""


def prepare_item(item: Item, preparer: Preparer) -> Ready:
    """Read, decode, resize. What is wrong with an image is its result, and the run goes on."""
    if isinstance(item, News | Broken):
        return item
    try:
        image = loaded(item)
        return image if isinstance(image, News | Broken) else preparer(image)
    except KitError as error:
        known = error
    except Exception as error:  # noqa: BLE001  (whatever one image does to a library, the next one gets its answer)
        known = unexpected(item.source, error)
    if isinstance(item, Encoded | Frame):
        item.refuse()
    return Broken(item.source, known)


class Waited(Protocol):
    """Wraps an iterator that may block, so that the caller knows when it waits."""

    def __call__(self, items: Iterator[T], /) -> Iterator[T]: ...


def ready_items(
    classifier: Classifier, sources: Sources, workers: int, waited: Waited
) -> Generator[Ready | None, None, None]:
    """Everything, prepared, in order; None twice a second while there is nothing.

    ``workers`` threads prepare stored images ahead; a camera's frames never, since they would be old by the time they
    are answered.
    """
    try:
        yield from _stored(classifier, sources, workers, waited)
        for item in waited(sources.live()):
            yield None if item is None else prepare_item(item, classifier.own)
    except KitError as error:  # a source that cannot be opened is one more thing that gave no image
        yield Broken(sources.camera or "source", error)


def _stored(classifier: Classifier, sources: Sources, workers: int, waited: Waited) -> Iterator[Ready | None]:
    if not workers:
        for item in waited(_read(sources.stored())):  # a signal also ends a read that hangs
            yield None if item is None else prepare_item(item, classifier.own)
        return
    preparers = [classifier.preparer() for _ in range(depth_for(workers))]
    stored = sources.stored(ring=len(preparers))
    ahead = InOrder[Item, Ready](stored, lambda item, place: prepare_item(item, preparers[place]), workers)
    yield from waited(iter(ahead))


def _read(items: Iterator[Item | None]) -> Iterator[Item | None]:
    """The items with their files read."""
    try:
        for item in items:
            yield None if item is None else loaded(item)
    finally:
        if close := getattr(items, "close", None):
            close()


def answer_ready(classifier: Classifier, prepared: Prepared) -> Prediction | Failure:
    """The answer, or a Failure where it is not a finite number.

    Raises GoldenCheckFailed: the backend is at fault, and nothing more may be answered.
    """
    try:
        return classifier.answer(prepared)
    except AnswerError as error:
        return Failure(prepared.source, error.message, error.hint)
