"""What the live view draws, and that it never stands in the way."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from fieldlens.runtime.backends.base import LoadOptions
from fieldlens.runtime.backends.fake import load
from fieldlens.runtime.bundle.decision import Outcome
from fieldlens.runtime.bundle.opened import Bundle
from fieldlens.runtime.classifier import Classifier
from fieldlens.runtime.pixels import drawing
from fieldlens.runtime.prediction import Finding, Notice, Prediction
from fieldlens.runtime.prepare import Prepared
from fieldlens.runtime.sources.item import Encoded
from fieldlens.runtime.view import live, overlay
from fieldlens.runtime.view.live import LiveView
from tests.runtime.conftest import jpeg, scene


@pytest.fixture
def classifier(bundle: Bundle) -> Classifier:
    return Classifier(bundle, load(LoadOptions(), "fp32", 2, 7, 16))


@pytest.fixture
def words(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Everything that is written into images."""
    written: list[str] = []
    write = drawing._write

    def keep(bar: np.ndarray, text: str, baseline: int, scale: float, left: int = 10) -> None:
        written.append(text)
        write(bar, text, baseline, scale, left)

    monkeypatch.setattr(drawing, "_write", keep)
    return written


def answer(classifier: Classifier, number: int = 1, source: str = "scene") -> tuple[Prediction, Prepared]:
    prepared = classifier.own(Encoded(source, jpeg(scene(number))))
    return classifier.answer(prepared), prepared


def retake(prediction: Prediction) -> Prediction:
    finding = Finding("sharpness", 0.1, 1.0, "blurred: hold still and let the camera focus")
    return replace(prediction, outcome=Outcome.RETAKE, findings=(finding,))


def drawn(view: LiveView) -> np.ndarray:
    end = time.monotonic() + 5
    while view._drawn is None:
        assert time.monotonic() < end
        time.sleep(0.01)
    return view._drawn


def test_outcome_class_latency_and_drops_are_drawn_in(
    classifier: Classifier, words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LiveView, "_watched", lambda self: True)
    with LiveView(classifier, window=False, port=None) as view:
        view.picture(*answer(classifier), "7.3 ms  camera to answer 21 ms  12 dropped")
        assert drawn(view).shape == (558, 960, 3)
    text = " ".join(words)
    assert "clear" in text
    assert "7.3 ms" in text
    assert "12 dropped" in text


def test_on_retake_there_is_no_class_and_no_map(classifier: Classifier, words: list[str]) -> None:
    prediction, prepared = answer(classifier)
    picture = retake(prediction).overlay(prepared.pixels_rgb, "7.3 ms")
    assert picture.shape == (558, 480, 3)
    assert "retake" in words
    assert any("hold still" in word for word in words)
    assert not any(name in word for word in words for name in ("clear", "sign", "Sign"))


def test_a_lost_camera_takes_the_place_of_its_last_image(classifier: Classifier, words: list[str]) -> None:
    with LiveView(classifier, window=False, port=None) as view:
        view.notice(Notice("csi://0", "lost", "camera lost: no image for 2.5 s; opening it again"))
        assert drawn(view).shape == (558, 480, 3)
    assert any("camera lost" in word for word in words)


def test_nothing_is_drawn_while_nobody_watches(classifier: Classifier, words: list[str]) -> None:
    with LiveView(classifier, window=False, port=0) as view:
        for _ in range(20):
            view.picture(*answer(classifier), "x")
        time.sleep(0.1)
    assert words == []


def slow_drawing(*rest: object) -> np.ndarray:
    time.sleep(0.3)
    return np.zeros((558, 960, 3), np.uint8)


def test_a_slow_drawing_holds_nobody_up(classifier: Classifier, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LiveView, "_watched", lambda self: True)
    monkeypatch.setattr(Prediction, "overlay", slow_drawing)
    answered = answer(classifier)
    with LiveView(classifier, window=False, port=None) as view:
        start = time.monotonic()
        for _ in range(10):
            view.picture(*answered, "x")
        assert time.monotonic() - start < 0.2


class Window:
    """OpenCV's window functions, as far as the view uses them."""

    def __init__(self) -> None:
        self.shown: list[np.ndarray] = []
        self.key = -1
        self.visible = 1.0

    def imshow(self, title: str, image_bgr: np.ndarray) -> None:
        self.shown.append(image_bgr)

    def wait(self, milliseconds: int) -> int:
        return self.key

    def property(self, title: str, which: int) -> float:
        return self.visible


@pytest.mark.parametrize(("key", "visible", "closed"), [(-1, 1.0, False), (ord("q"), 1.0, True), (-1, 0.0, True)])
def test_a_window_shows_and_its_closing_is_noticed(
    classifier: Classifier, monkeypatch: pytest.MonkeyPatch, key: int, visible: float, closed: bool
) -> None:
    window = Window()
    window.key, window.visible = key, visible
    monkeypatch.setattr(live, "has_window", lambda: True)
    monkeypatch.setattr(cv2, "imshow", window.imshow)
    monkeypatch.setattr(cv2, "waitKey", window.wait)
    monkeypatch.setattr(cv2, "getWindowProperty", window.property)
    monkeypatch.setattr(cv2, "destroyAllWindows", lambda: None)
    with LiveView(classifier, window=True, port=None) as view:
        view.picture(*answer(classifier), "x")
        drawn(view)
        view.idle()
        assert len(window.shown) == 1
        assert view.closed is closed


def test_a_numbered_frame_leaves_nothing_behind_in_the_overlays_names(classifier: Classifier, tmp_path: Path) -> None:
    sink = overlay.OverlaySink(tmp_path, classifier)
    for number in range(3):
        sink.picture(*answer(classifier, number, f"http://cam/#{number}"))
    assert len(list(tmp_path.iterdir())) == 3
    assert sink._names == set()
