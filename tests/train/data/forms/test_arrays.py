from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fieldlens.runtime.pixels.preprocess import Preprocess
from fieldlens.runtime.pixels.steps import Resize
from fieldlens.train.config import DataConfig
from fieldlens.train.data.load import load_data
from fieldlens.train.errors import DataError


def test_parts_labels_and_ids(npz_data: Path) -> None:
    data = load_data(npz_data, DataConfig(labels={"0": "normal", "1": "ill"}))
    assert data.classes == ("normal", "ill")
    assert len(data.samples) == 40
    assert (data.samples[25].id, data.samples[25].label, data.samples[25].split) == ("val/00001", 1, "val")


def test_grey_images_become_three_equal_channels(npz_data: Path) -> None:
    data = load_data(npz_data, DataConfig())
    tensor = data.tensor(data.samples[0], Preprocess((Resize(32),)))
    assert tensor.shape == (32, 32, 3)
    assert (tensor == tensor[..., :1]).all()


@pytest.mark.parametrize(
    ("change", "reported"),
    [
        ({"train_images": None}, "no train_images"),
        ({"val_labels": None}, "val_labels is missing"),
        ({"val_labels": np.zeros(3, np.uint8)}, "val_labels is uint8"),
        ({"val_labels": np.zeros((8, 2), np.uint8)}, "val_labels"),
        ({"train_images": np.zeros((24, 28, 28), np.float32)}, "float32"),
        ({"train_images": np.zeros((24, 28, 28, 4), np.uint8)}, r"\[24, 28, 28, 4\]"),
    ],
)
def test_wrong_arrays_are_named(npz_data: Path, change: dict[str, np.ndarray | None], reported: str) -> None:
    with np.load(npz_data) as file:
        arrays = {name: file[name] for name in file.files} | change
    np.savez(npz_data, **{name: array for name, array in arrays.items() if array is not None})
    with pytest.raises(DataError, match=reported):
        load_data(npz_data, DataConfig())


def test_a_truncated_file_is_refused(npz_data: Path) -> None:
    npz_data.write_bytes(npz_data.read_bytes()[:2000])
    with pytest.raises(DataError, match=r"cannot be read as \.npz"):
        load_data(npz_data, DataConfig())


def test_pickled_objects_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    np.savez(path, train_images=np.array([{"a": 1}], dtype=object))
    with pytest.raises(DataError, match=r"cannot be read as \.npz"):
        load_data(path, DataConfig())


def test_several_findings_an_image(npz_data: Path) -> None:
    with np.load(npz_data) as file:
        arrays = {name: file[name] for name in file.files}
    for part in ("train", "val", "test"):
        labels = arrays[f"{part}_labels"]
        arrays[f"{part}_labels"] = np.concatenate([labels, 1 - labels, labels], axis=1)
    np.savez(npz_data, **arrays)
    data = load_data(npz_data, DataConfig(task="multilabel", classes=("a", "b", "c")))
    assert [sample.label for sample in data.samples[:2]] == [(0, 1, 0), (1, 0, 1)]
    with pytest.raises(DataError, match=r"train_labels is uint8 \[24, 3\]"):
        load_data(npz_data, DataConfig())
