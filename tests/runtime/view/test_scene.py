"""What may be seen when, without a clock, a thread or a browser."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from fieldlens.runtime.bundle.decision import Outcome
from fieldlens.runtime.pixels.drawing import blend
from fieldlens.runtime.pixels.heat import LEAST_CELLS, TooCoarse
from fieldlens.runtime.prediction import ALWAYS, Prediction
from fieldlens.runtime.view.scene import NO_IMAGE, Interruption, Scene, ShownAnswer, Situation, scene_at
from tests.runtime.conftest import ORIGIN

VIEW = np.full((8, 8, 3), 90, np.uint8)


def prediction(sign: float = 0.1, took_ms: float = 0.0, source: str = "csi://0#7") -> Prediction:
    cam = np.zeros((2, 7, 7), np.float32)
    cam[:, 2, 2] = 1
    camera = {"frame_age": 1.0, "camera_to_answer": took_ms} if took_ms else {}
    return Prediction(
        source, Outcome.NO_SIGN_FOUND, {"clear": 1 - sign, "sign": sign}, sign, cam[:, 0, 0], cam, (), None,
        {**dict.fromkeys(ALWAYS, 1.0), **camera}, replace(ORIGIN, bundle_signed_by="somebody"), "sign",
    )  # fmt: skip


def of_camera(at: float = 100.0, took_ms: float = 20.0) -> ShownAnswer:
    return ShownAnswer(prediction(took_ms=took_ms), VIEW, "", at, live=True)


def of_file(at: float = 100.0) -> ShownAnswer:
    return ShownAnswer(prediction(source="in/a.jpg"), VIEW, "", at, live=False)


def text(scene: Scene) -> str:
    return " | ".join((scene.title, *scene.lines))


@pytest.mark.parametrize("age", [0.0, 1.0, 2.0])
def test_a_cameras_answer_is_shown_while_its_image_is_young(age: float) -> None:
    scene = scene_at(100 + age, Situation(of_camera()))
    assert scene.kind == "answer"
    assert scene.old_at == scene.changes_at == 102.0


@pytest.mark.parametrize("age", [2.01, 3.0, 20.0, 4000.0])
def test_then_a_card_with_the_age_takes_its_place(age: float) -> None:
    scene = scene_at(100 + age, Situation(of_camera()))
    assert scene.kind == "card"
    assert scene.title == NO_IMAGE
    assert "Last image" in text(scene)
    assert "ago" in text(scene)
    assert "no-sign-found" not in text(scene)
    assert 100 + age < scene.changes_at <= 100 + age + 1.01


def test_the_limit_is_the_callers() -> None:
    assert scene_at(104, Situation(of_camera()), 5).kind == "answer"
    assert scene_at(101, Situation(of_camera()), 0.5).kind == "card"


def test_a_machine_that_answers_too_late_is_told_what_to_set() -> None:
    assert "raise --stale-after" in text(scene_at(103.1, Situation(of_camera(took_ms=3100))))
    assert "raise --stale-after" not in text(scene_at(103.1, Situation(of_camera(took_ms=50))))


@pytest.mark.parametrize("age", [0, 5, 100_000])
def test_a_files_answer_stays_with_its_name_and_age(age: float) -> None:
    scene = scene_at(100 + age, Situation(of_file()))
    assert scene.kind == "last"
    assert scene.old_at is None
    assert scene.mark.startswith("LAST IMAGE, ")
    assert "in/a.jpg" in text(scene)
    assert scene.marked(scene.draw()).shape[0] == scene.draw().shape[0] + 32


@pytest.mark.parametrize("seen", [None, of_camera(), of_file()])
def test_news_take_the_place_of_the_answer_before(seen: ShownAnswer | None) -> None:
    scene = scene_at(100.1, Situation(seen, Interruption(NO_IMAGE, "csi://0: camera lost", 100.1)))
    assert scene.kind == "card"
    assert "camera lost" in text(scene)
    assert "no-sign-found" not in text(scene)
    assert ("Last image" in text(scene)) == (seen is not None)


def test_before_the_first_image_there_is_a_card_that_waits() -> None:
    scene = scene_at(1, Situation())
    assert text(scene) == "Waiting for the first image"
    assert scene.draw().shape == (578, 480, 3)


def test_at_the_end_a_cameras_answer_goes_and_a_files_stays() -> None:
    assert text(scene_at(100.1, Situation(of_camera(), ended=True))).startswith("The run has ended")
    assert text(scene_at(100.1, Situation(ended=True))) == "The run has ended"
    last = scene_at(100.1, Situation(of_file(), ended=True))
    assert last.kind == "last"
    assert "the run has ended" in last.mark


def test_an_image_that_nobody_watched_is_no_image_to_wait_for() -> None:
    assert text(scene_at(107.5, Situation(skipped_at=100))) == f"{NO_IMAGE} | Last image 7 s ago"


def test_what_looks_the_same_has_the_same_key() -> None:
    seen = of_file()
    keys = [scene_at(100 + age, Situation(seen)).key for age in (0.1, 0.9, 1.1)]
    assert keys[0] == keys[1] != keys[2]


def test_zero_percent_does_not_glow() -> None:
    """The heat map is as strong as its class is probable; alone it reaches from 0 to 1, whatever the probability."""
    assert prediction(0.0).heatmap().max() > 0.99
    strengths = []
    for share in (0.0, 0.01, 0.5, 1.0):
        drawn = prediction(share).overlay(VIEW)
        difference = np.abs(drawn[:480, 480:].astype(int) - drawn[:480, :480]).max()
        strengths.append(int(difference))
    assert strengths[0] == 0
    assert strengths[1] <= 2
    assert strengths[1] < strengths[2] < strengths[3]
    full = blend(np.full((480, 480, 3), 90, np.uint8), prediction(1.0).heatmap("sign"))
    assert (prediction(1.0).overlay(VIEW)[:480, 480:] == full).all()


@pytest.mark.parametrize("cells", [3, 4])
def test_a_map_too_coarse_to_point_is_not_drawn_and_says_why(cells: int) -> None:
    """The image alone, with the reason in the bar; from Python the same reason as an error."""
    answer = replace(prediction(0.9), cam=np.ones((2, cells, cells), np.float32))
    drawn = answer.overlay(VIEW)
    if cells < LEAST_CELLS:
        assert drawn.shape == (578, 480, 3)
        assert answer.no_heatmap == "no heat map: its 3x3 cells are too coarse to point at anything"
        with pytest.raises(TooCoarse, match="3x3"):
            answer.heatmap()
    else:
        assert drawn.shape == (578, 960, 3)
        assert answer.no_heatmap == ""
