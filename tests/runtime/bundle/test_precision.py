"""The one table of precisions, held against what each of its users had of its own before."""

from __future__ import annotations

import pytest

from fieldlens.runtime.bundle import precision
from fieldlens.runtime.bundle.precision import (
    EMULATED,
    MODEL_FILES,
    RUN_ON_CPU,
    TARGETS,
    file_for,
    measured_for,
    tolerances_for,
    word_of,
    words_on,
)


def test_the_files_of_a_bundle_in_their_order() -> None:
    assert MODEL_FILES == ("fp32", "fp16", "int8", "int8-trt8", "int8-cpu")


def test_each_target_has_its_files() -> None:
    """The table of contract 2 in docs/design.md."""
    files = {target: {word: file_for(word, target) for word in words_on(target)} for target in TARGETS}
    assert files == {
        "tensorrt10": {"fp32": "fp32", "fp16": "fp16", "int8": "int8"},
        "tensorrt8": {"fp32": "fp32", "fp16": "fp32", "int8": "int8-trt8"},
        "cpu": {"fp32": "fp32", "bf16": "fp32", "int8": "int8-cpu"},
    }
    with pytest.raises(KeyError):
        file_for("fp16", "cpu")


def test_what_a_bundle_is_measured_at() -> None:
    measured = {target: measured_for(target) for target in TARGETS}
    assert measured == {"tensorrt10": ("fp16", "int8"), "tensorrt8": ("fp16", "int8-trt8"), "cpu": ("int8-cpu",)}


def test_a_host_runs_some_and_emulates_the_rest() -> None:
    assert RUN_ON_CPU == {"fp32": "fp32", "int8-cpu": "int8"}
    assert EMULATED == {"fp16": "fp16", "int8": "int8", "int8-trt8": "int8"}
    assert set(RUN_ON_CPU) | set(EMULATED) == set(MODEL_FILES)
    assert {name: word_of(name) for name in MODEL_FILES} == RUN_ON_CPU | EMULATED


@pytest.mark.parametrize(
    ("word", "file", "names"),
    [
        ("fp32", "", ("fp32",)), ("int8", "", ("int8-cpu",)), ("bf16", "", ("int8-cpu",)), ("fp16", "", ("fp16",)),
        ("fp32", "fp32", ("fp32",)), ("fp16", "fp16", ("fp16", "int8-trt8")), ("fp16", "fp32", ("fp16", "int8-trt8")),
        ("int8", "int8", ("int8",)), ("int8", "int8-trt8", ("int8-trt8",)),
    ],
)  # fmt: skip
def test_by_whose_tolerance_a_precision_is_accepted(word: str, file: str, names: tuple[str, ...]) -> None:
    assert tolerances_for(word, file) == names


def test_the_words_are_those_of_the_table() -> None:
    assert set(precision.WORDS) == {row.word for row in precision.TABLE}
