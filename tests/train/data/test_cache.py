from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fieldlens.runtime.pixels.preprocess import Preprocess
from fieldlens.runtime.pixels.steps import Resize
from fieldlens.train.config import DataConfig
from fieldlens.train.data.cache import load_parts, load_tensors, where_to_cache
from fieldlens.train.data.load import load_data
from fieldlens.train.errors import DataError

STEPS = (Resize(32),)


def test_tensors_are_the_devices_own(table_data: Path) -> None:
    data = load_data(table_data, DataConfig())
    tensors = load_tensors(data, data.samples, STEPS, "test")
    assert tensors.images.shape == (60, 32, 32, 3)
    assert tensors.labels.tolist() == [sample.label for sample in data.samples]
    sample = data.samples[17]
    expected = Preprocess(STEPS).from_bytes((table_data / sample.id).read_bytes(), sample.id)
    assert np.array_equal(tensors.images[17], expected)
    assert len(set(tensors.groups)) == 20


def test_without_groups_each_sample_is_its_own(folder_data: Path) -> None:
    data = load_data(folder_data, DataConfig())
    assert len(set(load_tensors(data, data.samples, STEPS, "test").groups)) == 24


def test_all_unreadable_images_are_listed_with_their_reasons(table_data: Path) -> None:
    (table_data / "images/00-0.png").write_bytes(b"")
    (table_data / "images/01-1.png").write_bytes(b"not an image at all")
    whole = (table_data / "images/02-2.png").read_bytes()
    (table_data / "images/02-2.png").write_bytes(whole[: len(whole) // 2])
    data = load_data(table_data, DataConfig())
    with pytest.raises(DataError) as caught:
        load_tensors(data, data.samples, STEPS, "test")
    message = caught.value.message
    assert "(3)" in message
    for reported in ("00-0.png: the file is empty", "01-1.png: not an image", "02-2.png"):
        assert reported in message
    parts = {"train": data.samples[20:], "val": data.samples[8:20], "test": data.samples[:8]}
    with pytest.raises(DataError, match=r"\(3\)"):
        load_parts(data, parts, STEPS, keep={"train": None})


def test_only_what_is_kept_is_returned(table_data: Path) -> None:
    data = load_data(table_data, DataConfig())
    kept = load_parts(data, {"train": data.samples[20:], "test": data.samples[:20]}, STEPS, keep={"train": None})
    assert list(kept) == ["train"]
    assert kept["train"].samples == data.samples[20:]


def test_what_does_not_fit_into_memory_is_mapped_from_a_file(table_data: Path, tmp_path: Path) -> None:
    file = tmp_path / "cache.npy"
    assert where_to_cache(60, 32, file, free_bytes=60 * 32 * 32 * 3 * 2) is None
    assert where_to_cache(60, 32, file, free_bytes=60 * 32 * 32 * 3) == file
    data = load_data(table_data, DataConfig())
    mapped = load_tensors(data, data.samples, STEPS, "test", file)
    assert np.array_equal(mapped.images, load_tensors(data, data.samples, STEPS, "test").images)
    assert isinstance(mapped.images, np.memmap)
