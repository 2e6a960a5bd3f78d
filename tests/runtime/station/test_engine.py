"""The model's thread and the queue in front of it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import pytest

from fieldlens.runtime.backends.base import Image
from fieldlens.runtime.backends.golden_check import GoldenCheckFailed
from fieldlens.runtime.errors import BackendError, ImageError, KitError
from fieldlens.runtime.model import Model, load
from fieldlens.runtime.prediction import Prediction
from fieldlens.runtime.prepare import Prepared
from fieldlens.runtime.sources.item import Encoded
from fieldlens.runtime.station.engine import BusyError, ModelThread
from tests.runtime.conftest import jpeg, scene

T = TypeVar("T")
PHOTO = Encoded("photo", jpeg(scene(1, 120, 160)))


@pytest.fixture
def engine(bundle_folder: Path, tmp_path: Path) -> Iterator[ModelThread]:
    engine = ModelThread(lambda: load(bundle_folder, backend="fake", state=tmp_path / "state"), waiting=4)
    yield engine
    engine.close()


def test_one_thread_loads_and_answers(bundle_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A GPU's context belongs to the thread that made it."""
    threads: set[int] = set()

    def loading() -> Model:
        threads.add(threading.get_ident())
        return load(bundle_folder, backend="fake", state=tmp_path / "state")

    engine = ModelThread(loading)
    infer = engine.model.classifier.backend.infer

    def watched(image: object) -> object:
        threads.add(threading.get_ident())
        return infer(image)  # type: ignore[arg-type]

    monkeypatch.setattr(engine.model.classifier.backend, "infer", watched)
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: engine.answer(PHOTO), range(12)))
    engine.close()
    assert len({answer.prediction.score for answer in answers}) == 1
    assert len(threads) == 1
    assert threading.get_ident() not in threads


def test_who_comes_to_a_full_queue_is_sent_away_at_once(engine: ModelThread, monkeypatch: pytest.MonkeyPatch) -> None:
    hold, answer = threading.Event(), engine.model.classifier.answer

    def slow(prepared: Prepared) -> Prediction:
        hold.wait(10)
        return answer(prepared)

    monkeypatch.setattr(engine.model.classifier, "answer", slow)
    with ThreadPoolExecutor(8) as pool:
        waiting = [pool.submit(engine.answer, PHOTO) for _ in range(4)]
        while engine.under_way < 4:
            time.sleep(0.005)
        began = time.monotonic()
        with pytest.raises(BusyError) as caught:
            engine.answer(PHOTO)
        assert time.monotonic() - began < 0.5
        assert caught.value.retry_after_s >= 1
        hold.set()
        assert all(each.result().prediction for each in waiting)
    assert engine.under_way == 0
    assert engine.answer(PHOTO).prediction


def test_a_bad_image_costs_no_place(engine: ModelThread) -> None:
    for _ in range(10):
        with pytest.raises(ImageError):
            engine.answer(Encoded("x", b"no image"))
    assert engine.under_way == 0
    assert engine.answer(PHOTO).prediction


def test_after_failed_golden_images_nothing_is_answered(engine: ModelThread, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing() -> None:
        raise GoldenCheckFailed("golden images: 3 of 8 are answered differently", "call the engineer")

    monkeypatch.setattr(engine.model.classifier, "check_if_due", failing)
    for _ in range(2):
        with pytest.raises(GoldenCheckFailed):
            engine.answer(PHOTO)
    assert engine.fault is not None


def test_golden_images_are_answered_again_while_nobody_asks(
    engine: ModelThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = threading.Event()
    monkeypatch.setattr(engine.model.classifier, "check_if_due", asked.set)
    assert asked.wait(5)


def test_what_loading_raises_comes_to_whoever_starts(tmp_path: Path) -> None:
    with pytest.raises(KitError):
        ModelThread(lambda: load(tmp_path / "missing.bundle"))


# ---------------------------------------------------------------- several images at once, on a CPU


@pytest.fixture
def on_two(bundle_folder: Path, tmp_path: Path) -> Iterator[ModelThread]:
    """With two threads, however many cores there are, and so two lanes."""
    engine = ModelThread(lambda: load(bundle_folder, backend="openvino", state=tmp_path / "state", threads=2))
    yield engine
    engine.close()


def test_images_that_come_together_are_given_a_core_each(on_two: ModelThread, monkeypatch: pytest.MonkeyPatch) -> None:
    classifier = on_two.model.classifier
    assert classifier.lanes is not None
    places: list[str] = []

    def noted(place: str, infer: Callable[[Image], T]) -> Callable[[Image], T]:
        def run(image: Image) -> T:
            places.append(place)
            return infer(image)

        return run

    monkeypatch.setattr(classifier.lanes, "infer", noted("lane", classifier.lanes.infer))
    monkeypatch.setattr(classifier.backend, "infer", noted("alone", classifier.backend.infer))
    images = [Encoded(str(seed), jpeg(scene(seed, 120, 160))) for seed in range(6)]
    wanted = [on_two.answer(image).prediction.logits.tobytes() for image in images]
    assert places == ["alone"] * 6, "the shortest wait for who comes alone"
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(on_two.answer, images * 5))
    assert [answer.prediction.logits.tobytes() for answer in answers] == wanted * 5, "the same bits"
    assert places.count("lane") > 15


def test_a_lane_that_fails_leaves_the_image_to_the_models_thread(
    on_two: ModelThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(image: object) -> object:
        raise BackendError("the lane is broken", "")

    monkeypatch.setattr(on_two.model.classifier.lanes, "infer", broken)
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda _: on_two.answer(PHOTO), range(12)))
    assert len({answer.prediction.score for answer in answers}) == 1
    assert on_two.fault is None
