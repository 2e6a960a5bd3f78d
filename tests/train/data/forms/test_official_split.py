"""Columns that hold a set's own split in code, and columns that only sound like it."""

from __future__ import annotations

from pathlib import Path

import pytest

from fieldlens.train.config import DataConfig
from fieldlens.train.data.load import load_data
from fieldlens.train.errors import DataError
from tests.train.data.forms.test_strict_tables import GOOD, HEADER, rows, table

CODED = {
    "parts without one name": ("Usage", ["Training", "PublicTest", "PrivateTest", "Training"], True),
    "a number for each": ("partition", ["0", "1", "2", "0"], True),
    "numbers that pandas wrote": ("data_split", ["0.0", "1.0", "", "0.0"], True),
    "yes and no": ("is_train", ["True", "False", "True", "True"], True),
    "CUB's": ("is_training_image", ["1", "0", "1", "1"], True),
    "a test of the laboratory": ("test", ["positive", "negative", "positive", ""], False),
    "its result": ("pcr_test", ["1", "0", "1", "1"], False),
    "people in a training": ("training_years", ["1", "2", "3", "1"], False),
    "a finding": ("validated", ["yes", "no", "yes", "yes"], False),
}


@pytest.mark.parametrize(("column", "words", "parts"), CODED.values(), ids=CODED)
def test_parts_in_code_are_parts_and_a_test_of_the_laboratory_is_none(
    column: str, words: list[str], parts: bool, tmp_path: Path
) -> None:
    text = rows(*(f"{row},{word}" for row, word in zip(GOOD, words, strict=True)), header=f"{HEADER},{column}")
    root = table(tmp_path / "d", text)
    if parts:
        with pytest.raises(DataError, match=f"the column '{column}' names parts"):
            load_data(root, DataConfig())
    assert {sample.split for sample in load_data(root, DataConfig(split_column="")).samples} == {None}
    if not parts:
        assert len(load_data(root, DataConfig()).samples) == len(GOOD)
