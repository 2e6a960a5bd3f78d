from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from fieldlens.train.config import DataConfig
from fieldlens.train.data.load import load_data
from fieldlens.train.errors import DataError


def test_a_folder_per_class(folder_data: Path) -> None:
    data = load_data(folder_data, DataConfig())
    assert data.classes == ("a", "b")
    assert len(data.samples) == 24
    assert not data.grouped
    assert {sample.split for sample in data.samples} == {None}


def test_parts_above_the_classes(folder_data: Path, tmp_path: Path) -> None:
    root = tmp_path / "split"
    for part in ("train", "Validation", "test"):
        shutil.copytree(folder_data, root / part)
    data = load_data(root, DataConfig())
    assert data.classes == ("a", "b")
    assert {sample.split for sample in data.samples} == {"train", "val", "test"}
    assert "Validation/a/0.png" in {sample.id for sample in data.samples}


def test_labels_may_be_renamed_and_ordered(folder_data: Path) -> None:
    data = load_data(folder_data, DataConfig(labels={"b": "second", "a": "first"}))
    assert data.classes == ("second", "first")


def test_hidden_files_and_other_files_are_no_images(folder_data: Path) -> None:
    (folder_data / ".cache").mkdir()
    (folder_data / "a" / ".DS_Store").write_bytes(b"")
    (folder_data / "a" / "notes.txt").write_text("x")
    assert len(load_data(folder_data, DataConfig()).samples) == 24


def test_empty_class_folders_are_named(folder_data: Path) -> None:
    (folder_data / "c").mkdir()
    with pytest.raises(DataError, match="no images in c"):
        load_data(folder_data, DataConfig())


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"neither labels\.csv nor"):
        load_data(tmp_path, DataConfig())


def test_folders_of_patients_may_lie_above_known_classes(folder_data: Path, tmp_path: Path) -> None:
    root = tmp_path / "patients"
    for patient in ("1", "2"):
        shutil.copytree(folder_data, root / patient)
    data = load_data(root, DataConfig(labels={"a": "first", "b": "second"}, group_pattern=r"^(\d+)/"))
    assert data.classes == ("first", "second")
    assert {(sample.id.split("/")[1], sample.label) for sample in data.samples} == {("a", 0), ("b", 1)}
    assert {sample.group for sample in data.samples} == {"1", "2"}


def test_limucs_own_parts(folder_data: Path, tmp_path: Path) -> None:
    root = tmp_path / "limuc"
    for part in ("train_and_validation_sets", "test_set"):
        shutil.copytree(folder_data, root / part)
    assert {sample.split for sample in load_data(root, DataConfig()).samples} == {"train", "test"}


def test_images_outside_of_the_class_folders_are_noted(folder_data: Path) -> None:
    shutil.copy(folder_data / "a/0.png", folder_data / "loose.png")
    assert load_data(folder_data, DataConfig()).notes == (
        "1 images lie in no class folder (for example loose.png): left out",
    )


def test_folders_give_one_class_only(folder_data: Path) -> None:
    with pytest.raises(DataError, match="folders give an image one class"):
        load_data(folder_data, DataConfig(task="multilabel"))
