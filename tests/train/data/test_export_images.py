from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from fieldlens.runtime.pixels.preprocess import Preprocess
from fieldlens.runtime.pixels.steps import Resize
from fieldlens.train.config import DataConfig
from fieldlens.train.data.export_images import export_images
from fieldlens.train.data.load import load_data
from fieldlens.train.errors import DataError


@pytest.mark.parametrize("colour", [False, True])
def test_the_device_sees_what_training_saw(npz_data: Path, tmp_path: Path, colour: bool) -> None:
    if colour:
        with np.load(npz_data) as file:
            arrays = {name: file[name] for name in file.files}
        random = np.random.default_rng(0)
        for part in ("train", "val", "test"):
            shape = (*arrays[f"{part}_images"].shape, 3)
            arrays[f"{part}_images"] = random.integers(0, 256, shape, dtype=np.uint8)
        np.savez(npz_data, **arrays)
    assert export_images(npz_data, "test", tmp_path / "png") == 8
    data, preprocess = load_data(npz_data, DataConfig()), Preprocess((Resize(64),))
    for sample in (s for s in data.samples if s.split == "test"):
        path = tmp_path / "png" / f"{sample.id.split('/')[1]}.png"
        exported = preprocess.from_bytes(path.read_bytes(), path.name).copy()
        assert np.array_equal(exported, data.tensor(sample, preprocess))


def test_photographs_are_what_a_camera_sends(npz_data: Path, tmp_path: Path) -> None:
    assert export_images(npz_data, "test", tmp_path / "jpg", photographs=True) == 8
    data = load_data(npz_data, DataConfig())
    sample = next(s for s in data.samples if s.split == "test")
    frame = cv2.imread(str(tmp_path / "jpg" / "00000.jpg"))
    assert frame is not None
    assert frame.shape == (480, 640, 3)
    assert frame[:, :60].max() < 20
    shown = Preprocess((Resize(28),))(frame[..., ::-1])
    assert np.abs(shown.astype(int) - data.tensor(sample, Preprocess((Resize(28),)))).mean() < 12


def test_labels_stand_beside_the_images_as_the_set_writes_them(npz_data: Path, tmp_path: Path) -> None:
    export_images(npz_data, "test", tmp_path / "png")
    lines = (tmp_path / "png" / "labels.csv").read_text().splitlines()
    with np.load(npz_data) as file:
        labels = file["test_labels"].ravel()
    assert lines == ["image,label", *(f"{i:05d}.png,{label}" for i, label in enumerate(labels))]


def test_refusals(npz_data: Path, table_data: Path, tmp_path: Path) -> None:
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "file").write_text("x")
    with pytest.raises(DataError, match="not empty"):
        export_images(npz_data, "test", tmp_path / "used")
    with pytest.raises(DataError, match=r"not an \.npz"):
        export_images(table_data, "test", tmp_path / "out")
