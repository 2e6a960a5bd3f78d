from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fieldlens.runtime.errors import ImageError
from fieldlens.train.config import DataConfig
from fieldlens.train.data.load import load_data
from fieldlens.train.data.part_names import part_named
from fieldlens.train.data.samples import ArrayDataSet, Sample, class_counts, label_name, marks


def arrays(label: int = 1, pixel: int = 0, group: str | None = None) -> ArrayDataSet:
    pixels = {name: np.full((4, 4), value, np.uint8) for name, value in (("a", 7), ("b", pixel))}
    samples = (Sample("a", 0, group), Sample("b", label), Sample("c", 1))
    return ArrayDataSet("x", ("n", "p"), samples, {**pixels, "c": pixels["a"]})


def test_the_hash_is_over_labels_groups_and_pixels() -> None:
    hashes = {data.hash for data in (arrays(), arrays(label=0), arrays(pixel=1), arrays(group="g"))}
    assert len(hashes) == 4
    assert arrays().hash == arrays().hash


def test_the_hash_follows_the_files(table_data: Path) -> None:
    before = load_data(table_data, DataConfig()).hash
    image = table_data / "images/00-0.png"
    image.write_bytes(image.read_bytes() + b"\0")
    assert load_data(table_data, DataConfig()).hash != before


def test_a_file_that_went_away_is_an_image_error(table_data: Path) -> None:
    data = load_data(table_data, DataConfig())
    (table_data / "images/00-0.png").unlink()
    with pytest.raises(ImageError, match="images/00-0"):
        data.read(data.samples[0])


def test_words_for_parts() -> None:
    assert [part_named(word) for word in ("Train", " valid ", "TESTING", "other")] == ["train", "val", "test", None]


def test_classes_and_findings_are_counted() -> None:
    one = [Sample("a", 2), Sample("b", 0), Sample("c", 2)]
    several = [Sample("a", (1, 0, 1)), Sample("b", (0, 0, 0)), Sample("c", (1, 1, 0))]
    assert class_counts(one, "xyz").tolist() == [1, 0, 2]
    assert class_counts(several, "xyz").tolist() == [2, 1, 1]
    assert marks(one, "xyz").tolist() == [[0, 0, 1], [1, 0, 0], [0, 0, 1]]
    assert marks([], "xyz").shape == (0, 3)


def test_the_name_of_a_label() -> None:
    classes = ("mass", "effusion", "hernia")
    assert [label_name(label, classes) for label in (1, (1, 0, 1), (0, 0, 0))] == ["effusion", "mass|hernia", ""]
