"""What the live view draws, and that it never stands in the way."""

from __future__ import annotations

import functools
import re
import time
from collections.abc import Callable
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
from fieldlens.runtime.prediction import Failure, Finding, Notice, Prediction
from fieldlens.runtime.prepare import Prepared
from fieldlens.runtime.sources.item import Encoded
from fieldlens.runtime.sources.timing import Timing
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


def live_answer(classifier: Classifier) -> tuple[Prediction, Prepared]:
    timing = Timing(captured_at=time.monotonic())
    prepared = classifier.own(Encoded("csi://0#1", jpeg(scene(1)), timing))
    return classifier.answer(prepared), prepared


def wait_for(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_outcome_class_latency_and_drops_are_drawn_in(
    classifier: Classifier, words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LiveView, "_watched", lambda self: True)
    with LiveView(classifier, window=False, port=None) as view:
        view.picture(*answer(classifier), "7.3 ms  camera to answer 21 ms  12 dropped")
        wait_for(lambda: "LAST IMAGE, 0 s ago" in words)
    text = " ".join(words)
    assert "Sign: score" in text
    assert f"scene  {time.strftime('%Y-%m-%d')}" in text
    assert "7.3 ms" in text
    assert "12 dropped" in text


def test_on_retake_there_is_no_class_and_no_map(classifier: Classifier, words: list[str]) -> None:
    prediction, prepared = answer(classifier)
    picture = retake(prediction).overlay(prepared.pixels_rgb, "7.3 ms")
    assert picture.shape == (578, 480, 3)
    assert "retake" in words
    assert any("hold still" in word for word in words)
    assert not any(name in word for word in words for name in ("clear", "sign", "Sign"))


def test_a_lost_camera_takes_the_place_of_its_last_image(
    classifier: Classifier, words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LiveView, "_watched", lambda self: True)
    with LiveView(classifier, window=False, port=None) as view:
        view.picture(*live_answer(classifier), "x")
        wait_for(lambda: any("Sign: score" in word for word in words))
        view.notice(Notice("csi://0", "lost", "camera lost: no image for 2.5 s; opening it again"))
        wait_for(lambda: any("camera lost" in word for word in words))
        # the drawing goes on, and its next words come; the number is how fast this machine drew it
        wait_for(lambda: any(re.fullmatch(r"Last image \d s ago", word) for word in words))


def test_nothing_is_drawn_while_nobody_watches(classifier: Classifier, words: list[str]) -> None:
    with LiveView(classifier, window=False, port=0) as view:
        for _ in range(20):
            view.picture(*live_answer(classifier), "x")
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
        wait_for(lambda: view._drawn is not None)
        view.picture(*answer(classifier), "x")
        wait_for(lambda: view._drawn is not None and view._drawn.shape[1] == 960)
        view.idle()
        assert window.shown[-1].shape[1] == 960
        assert view.closed is closed


def _looked(view: LiveView, window: Window, width: int) -> bool:
    view.idle()
    return bool(window.shown) and window.shown[-1].shape[1] == width


def test_a_window_turns_grey_when_the_camera_stalls(classifier: Classifier, monkeypatch: pytest.MonkeyPatch) -> None:
    window = Window()
    monkeypatch.setattr(live, "has_window", lambda: True)
    monkeypatch.setattr(cv2, "imshow", window.imshow)
    monkeypatch.setattr(cv2, "waitKey", window.wait)
    monkeypatch.setattr(cv2, "getWindowProperty", window.property)
    monkeypatch.setattr(cv2, "destroyAllWindows", lambda: None)
    with LiveView(classifier, window=True, port=None, stale_after_s=0.4) as view:
        view.picture(*live_answer(classifier), "x")
        for width in (960, 480):  # the answer, then the card
            wait_for(functools.partial(_looked, view, window, width))
        assert (window.shown[-1] == drawing._GREY[::-1]).all(axis=-1).mean() > 0.9


def test_the_newest_of_several_is_shown_however_fast_they_come(
    classifier: Classifier, words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LiveView, "_watched", lambda self: True)
    with LiveView(classifier, window=False, port=None) as view:
        for number in range(20):
            view.picture(*answer(classifier, source=f"file-{number}.jpg"), "x")
        wait_for(lambda: any(word.startswith("file-19.jpg") for word in words))


def test_a_bad_frame_between_good_ones_is_left_out_and_a_bad_file_is_not(
    classifier: Classifier, words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LiveView, "_watched", lambda self: True)
    with LiveView(classifier, window=False, port=None) as view:
        view.picture(*live_answer(classifier), "x")
        view.failure(Failure("csi://0#2", "csi://0#2: not a whole JPEG"))
        time.sleep(0.2)
        assert "Not classified" not in words
        view.picture(*answer(classifier), "x")
        view.failure(Failure("b.jpg", "b.jpg: not a whole JPEG"))
        wait_for(lambda: "Not classified" in words)
        assert "b.jpg: not a whole JPEG" in words


def test_a_drawing_that_fails_is_no_silence(classifier: Classifier, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LiveView, "_watched", lambda self: True)
    monkeypatch.setattr(Prediction, "overlay", lambda *rest: 1 / 0)
    with LiveView(classifier, window=False, port=None) as view:
        view.picture(*answer(classifier), "x")
        wait_for(lambda: view._bug is not None)
        with pytest.raises(ZeroDivisionError):
            view.idle()


def test_a_numbered_frame_leaves_nothing_behind_in_the_overlays_names(classifier: Classifier, tmp_path: Path) -> None:
    sink = overlay.OverlaySink(tmp_path, classifier)
    for number in range(3):
        sink.picture(*answer(classifier, number, f"http://cam/#{number}"))
    assert len(list(tmp_path.iterdir())) == 3
    assert len(sink._names) == len(sink._last) == len(sink._series) == 1


OVERLAYS_OF = [
    (["x/a.jpg", "y/a.jpg", "y/a.png"], ["a", "a-2", "a-3"]),
    (["x/a#1.jpg", "y/a#1.jpg", "x#1/b.jpg", "y#1/b.jpg"], ["a_1", "a_1-2", "b", "b-2"]),
    (["x/v.mp4#1", "y/v.mp4#1", "x/v.mp4#2", "y/v.mp4#2"], ["v.mp4_1", "v.mp4-2_1", "v.mp4_2", "v.mp4-2_2"]),
    (["a.jpg", "A.jpg"], ["a", "A-2"]),
    (["a-2.jpg", "x/a.jpg", "y/a.jpg"], ["a-2", "a", "a-3"]),
]


@pytest.mark.parametrize(("sources", "names"), OVERLAYS_OF)
def test_no_overlay_takes_anothers_place(
    classifier: Classifier, tmp_path: Path, sources: list[str], names: list[str]
) -> None:
    def written(*, goes_on: bool) -> list[str]:
        sink = overlay.OverlaySink(tmp_path, classifier, goes_on=goes_on)
        return [sink.picture(*answer(classifier, 1, source)).stem for source in sources]

    assert written(goes_on=True) == names
    assert written(goes_on=False) == names  # a run over the same images again
    count = len(list(tmp_path.iterdir()))
    assert not set(written(goes_on=True)) & set(names)  # what was there before a restart stays
    assert len(list(tmp_path.iterdir())) == count + len(names)
