"""Reading the preprocess steps."""

from __future__ import annotations

from typing import Any

import pytest

from fieldlens.runtime.errors import ConfigError
from fieldlens.runtime.files import records
from fieldlens.runtime.pixels.steps import Crop, Orient, Resize, Step, Steps, steps_to_json, with_size


def steps_from_json(value: Any) -> tuple[Step, ...]:
    steps: tuple[Step, ...] = records.read_as(Steps, value, "preprocess", ConfigError)
    return steps


ALL = [
    {"step": "orient"},
    {"step": "crop", "left": 0.1, "top": 0.0, "right": 0.9, "bottom": 1.0},
    {"step": "window", "level": 40.0, "width": 80.0},
    {"step": "resize", "size": 224, "mode": "pad", "zoom": 1.0},
    {"step": "clahe", "clip_limit": 2.0, "grid": 8},
    {"step": "denoise", "method": "median", "size": 3},
    {"step": "grey"},
]


def test_what_is_read_is_written_back() -> None:
    assert steps_to_json(steps_from_json(ALL)) == ALL


def test_defaults_are_filled_in() -> None:
    assert steps_from_json([{"step": "resize", "size": 64}]) == (Resize(64, "crop", 1.0),)


@pytest.mark.parametrize(
    ("steps", "words"),
    [
        ({}, "must be a list"),
        ([], "exactly one resize"),
        ([{"step": "resize", "size": 64}] * 2, "exactly one resize"),
        ([{"step": "rezise", "size": 64}], "unknown step 'rezise'"),
        ([{"step": "resize", "size": 8}], "between 16 and 1024"),
        ([{"step": "resize", "size": True}], "must be int"),
        ([{"step": "resize", "size": 64, "mood": "pad"}], "unknown key 'mood'"),
        ([{"step": "resize", "size": 64, "mode": "stretch"}], "'mode' is 'stretch'"),
        ([{"step": "resize", "size": 64}, {"step": "orient"}], "impossible order"),
        ([{"step": "grey"}, {"step": "resize", "size": 64}], "impossible order"),
        ([{"step": "orient"}, {"step": "orient"}, {"step": "resize", "size": 64}], "twice"),
        ([{"step": "resize", "size": 64}, {"step": "denoise", "size": 4}], "must be odd"),
        ([{"step": "crop", "left": 0.5, "top": 0, "right": 0.4, "bottom": 1}, ALL[3]], "keeps less than"),
        ([{"step": "window", "level": 0, "width": float("nan")}, ALL[3]], "must be finite"),
    ],
)
def test_a_mistake_is_named(steps: Any, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        steps_from_json(steps)


def test_a_misspelt_step_gets_a_suggestion() -> None:
    with pytest.raises(ConfigError) as caught:
        steps_from_json([{"step": "rezise", "size": 64}])
    assert "resize" in caught.value.hint


def test_with_size_changes_the_resize_only() -> None:
    steps = (Orient(), Crop(0, 0, 1, 1), Resize(224, "pad"))
    assert with_size(steps, 96) == (Orient(), Crop(0, 0, 1, 1), Resize(96, "pad"))
