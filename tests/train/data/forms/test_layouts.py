"""Layouts of folders as public sets have them: the parts are parts, or the data is refused with both readings."""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest

from fieldlens.runtime.sources.walk import walk
from fieldlens.train.config import DataConfig
from fieldlens.train.data.forms.folders import read_folders
from fieldlens.train.errors import DataError

CLASSES = ("ill", "well")


def put(root: Path, *folders: str, count: int = 2) -> Path:
    """Empty files with images' names: a layout is read by names alone."""
    for folder in folders:
        (root / folder).mkdir(parents=True, exist_ok=True)
        for number in range(count):
            (root / folder / f"{number}.png").touch()
    return root


def read(root: Path, **config: object) -> dict[str, set[str | None]]:
    """Class → parts."""
    found: dict[str, set[str | None]] = {}
    for item in read_folders(root, DataConfig(**config)).found.values():  # type: ignore[arg-type]
        found.setdefault(item.words[0], set()).add(item.split)
    return found


PARTS = {
    "training_set test_set": {"train", "test"},
    "train validate test": {"train", "val", "test"},
    "Training Validation Testing": {"train", "val", "test"},
    "train dev test": {"train", "val", "test"},
    "TRAIN VALID TEST": {"train", "val", "test"},
    "train-images test-images": {"train", "test"},
    "trainData testData": {"train", "test"},
    "trainset testset": {"train", "test"},
    "train_set val_set test_set": {"train", "val", "test"},
    "01_train 02_test": {"train", "test"},
    "train1 train2 test": {"train", "test"},
    "train_and_validation_sets test_set": {"train", "test"},
}


@pytest.mark.parametrize("above", ["", "archive/", "set/set/"])
@pytest.mark.parametrize(("words", "parts"), PARTS.items(), ids=PARTS)
def test_parts_are_parts(words: str, parts: set[str], above: str, tmp_path: Path) -> None:
    root = put(tmp_path, *(f"{above}{part}/{name}" for part in words.split() for name in CLASSES))
    assert read(root) == {"ill": parts, "well": parts}


def test_parts_below_the_classes(tmp_path: Path) -> None:
    root = put(tmp_path, *(f"{name}/{part}" for part in ("train", "test") for name in CLASSES))
    assert read(root) == {"ill": {"train", "test"}, "well": {"train", "test"}}
    assert read(root, classes=CLASSES) == {"ill": {"train", "test"}, "well": {"train", "test"}}


def test_folders_that_say_nothing_between_part_and_class(tmp_path: Path) -> None:
    names = ("train/images", "test/test")
    root = put(tmp_path, *(f"{part}/{name}" for part in names for name in CLASSES))
    assert read(root) == {"ill": {"train", "test"}, "well": {"train", "test"}}


REFUSED = {
    "train and eval": [f"{part}/{name}" for part in ("train", "eval") for name in CLASSES],
    "train and holdout": [f"{part}/{name}" for part in ("train", "hold-out") for name in CLASSES],
    "trainA, trainB": ["trainA", "trainB", "testA", "testB"],
    "xray_train, xray_test": [f"{part}/{name}" for part in ("xray_train", "xray_test", "more") for name in CLASSES],
    "parts beside classes": ["train/ill", "train/well", "ill", "well"],
    "parts beside a copy": [*(f"{p}/{c}" for p in ("train", "test") for c in CLASSES), "set/train/ill", "set/test/ill"],
    "parts without classes": ["train", "test"],
    "parts in parts": ["train/train/ill", "train/test/ill", "test/train/ill"],
    "hospitals above classes": [f"{place}/{name}" for place in ("hill", "river") for name in CLASSES],
    "folds above classes": [f"fold_{n}/{name}" for n in range(3) for name in CLASSES],
    "cameras above classes": [f"{n}/{name}" for n in (1, 2) for name in ("0", "1")],
    "what is labelled and what is not": ["labeled/ill", "labeled/well", "unlabeled"],
    "a copy among the classes": ["ill", "well", "all/ill", "all/well"],
    "a copy of other files": ["ill", "well", "more/well"],
}


@pytest.mark.parametrize("folders", REFUSED.values(), ids=REFUSED)
def test_two_readings_are_both_named(folders: list[str], tmp_path: Path) -> None:
    root = put(tmp_path / "data", *folders)
    if "more/well" in folders:
        (root / "more/well/7.png").touch()
    with pytest.raises(DataError, match=r"may be .*, or |one of them is a copy") as caught:
        read(root)
    assert "data.classes" in caught.value.hint or "remove one" in caught.value.hint


def test_the_recipe_decides_what_is_a_class(tmp_path: Path) -> None:
    root = put(tmp_path / "a", *(f"{place}/{name}" for place in ("hill", "river") for name in CLASSES))
    assert read(root, classes=CLASSES) == {"ill": {None}, "well": {None}}
    root = put(tmp_path / "b", "test", "control")
    with pytest.raises(DataError, match="the folders test may be classes, or parts of the set, beside control"):
        read(root)
    assert read(root, classes=("control", "test")) == {"control": {None}, "test": {None}}


def test_a_part_without_labels_is_counted(tmp_path: Path) -> None:
    root = put(tmp_path, "train/ill", "train/well", "test")
    reading = read_folders(root, DataConfig())
    assert {item.split for item in reading.found.values()} == {"train"}
    assert "2 images of test lie in no class folder (for example 0.png): left out, they have no label" in reading.notes


def test_classes_whose_folders_hold_the_same_one_folder_are_classes(tmp_path: Path) -> None:
    assert read(put(tmp_path, "ill/images", "well/images")) == {"ill": {None}, "well": {None}}


def test_a_name_in_two_unicode_forms_is_one_class(tmp_path: Path) -> None:
    root = put(tmp_path, "train/fr\u00fch", "test/fru\u0308h", "train/sp\u00e4t", "test/spa\u0308t")
    data = read_folders(root, DataConfig())
    classes, samples = data.samples(DataConfig())
    assert classes == ("fr\u00fch", "sp\u00e4t")
    assert len(samples) == 8


def test_a_table_beside_the_folders_is_named(tmp_path: Path) -> None:
    (put(tmp_path, "ill", "well") / "metadata.csv").write_text("image,label\n")
    assert any("metadata.csv beside the folders: not read" in n for n in read_folders(tmp_path, DataConfig()).notes)


WORDS = [
    "train",
    "test",
    "val",
    "eval",
    "ill",
    "well",
    "images",
    "hill",
    "river",
    "__MACOSX",
    ".cache",
    "früh",
    "Train",
    "1",
]


@pytest.mark.parametrize("count", [40, pytest.param(300, marks=pytest.mark.full)])
def test_any_tree_is_read_or_refused_and_every_image_counts(count: int, tmp_path: Path) -> None:
    read_at_all = 0
    for seed in range(count):
        chance, root = random.Random(seed), tmp_path / f"tree{seed}"
        root.mkdir()
        depth = chance.randint(1, 3)
        for _ in range(chance.randint(1, 9)):
            put(
                root,
                "/".join(chance.choice(WORDS) for _ in range(chance.randint(1, depth))),
                count=chance.randint(0, 3),
            )
        began = time.monotonic()
        config = DataConfig(classes=CLASSES) if seed % 3 == 0 else DataConfig()
        try:
            reading = read_folders(root, config)
            reading.samples(config)
        except DataError:  # two readings, or nothing there
            continue
        else:
            read_at_all += 1
            loose = sum(int(note.split()[0]) for note in reading.notes if "lie in no class folder" in note)
            assert len(reading.found) + loose == len(walk(root).images), seed
        finally:
            assert time.monotonic() - began < 5
    assert count // 10 < read_at_all < count
