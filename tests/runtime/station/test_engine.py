"""The model's thread and the queue in front of it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from fieldlens.runtime.backends.golden_check import GoldenCheckFailed
from fieldlens.runtime.errors import ImageError, KitError
from fieldlens.runtime.model import Model, load
from fieldlens.runtime.prediction import Prediction
from fieldlens.runtime.prepare import Prepared
from fieldlens.runtime.sources.item import Encoded
from fieldlens.runtime.station.engine import BusyError, ModelThread
from tests.runtime.conftest import jpeg, scene

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
