"""What a report's gallery keeps: little enough to be mailed, and what needs a person before the rest."""

from __future__ import annotations

import base64
from dataclasses import replace

import numpy as np
import pytest
import simplejpeg

from fieldlens.runtime.backends.base import LoadOptions
from fieldlens.runtime.backends.fake import load
from fieldlens.runtime.bundle.decision import Outcome
from fieldlens.runtime.bundle.opened import Bundle
from fieldlens.runtime.classifier import Classifier
from fieldlens.runtime.prediction import Prediction
from fieldlens.runtime.prepare import Prepared
from fieldlens.runtime.sources.item import Encoded
from fieldlens.runtime.view.gallery import MOST_BYTES, MOST_IMAGES, Gallery
from tests.runtime.conftest import jpeg, scene


@pytest.fixture
def classifier(bundle: Bundle) -> Classifier:
    return Classifier(bundle, load(LoadOptions(), "fp32", 2, 7, 16))


def answers(classifier: Classifier, *outcomes: Outcome) -> tuple[list[Prediction], Prepared]:
    """Predictions of the same image, numbered."""
    prepared = classifier.own(Encoded("scene", jpeg(scene(1))))
    first = classifier.answer(prepared)
    return [replace(first, outcome=outcome, source=f"{place}.jpg") for place, outcome in enumerate(outcomes)], prepared


def pixels(data: str) -> np.ndarray:
    return simplejpeg.decode_jpeg(base64.b64decode(data))


def test_what_needs_a_person_stays_and_comes_first(classifier: Classifier) -> None:
    gallery = Gallery(classifier, most=3)
    kinds = (Outcome.NO_SIGN_FOUND, Outcome.RETAKE, Outcome.NO_SIGN_FOUND, Outcome.REFER, Outcome.UNCERTAIN)
    predictions, prepared = answers(classifier, *kinds, Outcome.NO_SIGN_FOUND, Outcome.REFER)
    for prediction in predictions:
        gallery.picture(prediction, prepared)
    assert [shown.source for shown in gallery.thumbnails()] == ["3.jpg", "6.jpg", "4.jpg"]
    assert gallery.seen == 7


def test_never_more_bytes_than_can_be_mailed(classifier: Classifier) -> None:
    one = Gallery(classifier)
    predictions, prepared = answers(classifier, *[Outcome.REFER] * 9)
    one.picture(predictions[0], prepared)
    size = len(one.thumbnails()[0].jpeg_base64)
    gallery = Gallery(classifier, most_bytes=int(size * 3.5))
    for prediction in predictions:
        gallery.picture(prediction, prepared)
    assert [shown.source for shown in gallery.thumbnails()] == ["0.jpg", "1.jpg", "2.jpg"]
    assert MOST_IMAGES == 200
    assert MOST_BYTES < 10_000_000


def test_no_heat_map_on_a_rejected_image_and_none_that_glows_at_zero(classifier: Classifier) -> None:
    predictions, prepared = answers(classifier, Outcome.REFER, Outcome.RETAKE, Outcome.NO_SIGN_FOUND)
    refer, again, sure_not = predictions
    gallery = Gallery(classifier)
    for prediction in (refer, again, replace(sure_not, probabilities={"clear": 1.0, "sign": 0.0})):
        gallery.picture(prediction, prepared)
    with_map, without, dark = (pixels(shown.jpeg_base64) for shown in gallery.thumbnails())
    assert with_map.shape == (240, 480, 3)
    assert without.shape == (240, 240, 3)
    left, right = dark[:, :240].astype(int), dark[:, 240:].astype(int)
    assert np.abs(left - right).mean() < 2  # 0% leaves the image as it is


def test_a_map_too_coarse_to_point_is_left_out_and_the_words_say_why(classifier: Classifier) -> None:
    predictions, prepared = answers(classifier, Outcome.REFER)
    gallery = Gallery(classifier)
    gallery.picture(replace(predictions[0], cam=np.ones((2, 3, 3), np.float32)), prepared)
    (thumbnail,) = gallery.thumbnails()
    height, width = pixels(thumbnail.jpeg_base64).shape[:2]
    assert height == width, "the image alone"
    assert "3x3 cells are too coarse" in thumbnail.words
