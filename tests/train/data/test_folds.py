from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from fieldlens.train.config import Config
from fieldlens.train.data.folds import HELD_OUT, check_folds, fold_split, split_of
from fieldlens.train.data.load import load_data
from fieldlens.train.data.samples import DataSet
from fieldlens.train.data.splits import Split, split, split_hash
from fieldlens.train.errors import DataError


def all_folds(data: DataSet, config: Config) -> list[Split]:
    count = config.crossval.folds
    return [fold_split(data, replace(config, crossval=replace(config.crossval, fold=k + 1))) for k in range(count)]


def test_every_image_is_tested_once_and_no_group_is_torn(table_data: Path, configure: Callable[..., Config]) -> None:
    config = configure(crossval={"folds": 4})
    data = load_data(table_data, config.data)
    splits = all_folds(data, config)
    check_folds(data, splits)
    tests = Counter(name for parts in splits for name, part in parts.items() if part == "test")
    assert tests == Counter(sample.id for sample in data.samples)
    for parts in splits:
        sides: dict[str | None, set[str]] = {}
        for sample in data.samples:
            sides.setdefault(sample.group, set()).add(parts[sample.id])
        assert all(len(seen) == 1 for seen in sides.values())
        labels = [sample.label for sample in data.samples if parts[sample.id] == "test"]
        assert labels.count(0) == pytest.approx(labels.count(1), abs=3)


def test_folds_are_the_same_in_every_version(table_data: Path, configure: Callable[..., Config]) -> None:
    config = configure(crossval={"folds": 4})
    data = load_data(table_data, config.data)
    hashes = [split_hash(parts)[:12] for parts in all_folds(data, config)]
    assert hashes == ["0880ccda0eeb", "27d5cd6489ff", "e7369fa30d9e", "e411ca63654b"]
    other = configure(crossval={"folds": 4, "seed": 1})
    assert [split_hash(parts)[:12] for parts in all_folds(data, other)] != hashes


def test_the_data_sets_own_test_is_in_no_fold(npz_data: Path, configure: Callable[..., Config]) -> None:
    config = configure(crossval={"folds": 2}, decision={"positive": ["1"]})
    data = load_data(npz_data, config.data)
    for parts in all_folds(data, config):
        assert {name.split("/")[0] for name, part in parts.items() if part == HELD_OUT} == {"test"}
        assert all(not name.startswith("test/") for name, part in parts.items() if part != HELD_OUT)


def test_a_run_knows_its_own_split(table_data: Path, configure: Callable[..., Config]) -> None:
    config = configure(crossval={"folds": 4})
    data = load_data(table_data, config.data)
    assert split_of(data, config) == split(data, config.data)
    third = configure(crossval={"folds": 4, "fold": 3})
    assert split_of(data, third) == all_folds(data, config)[2]


def test_classes_too_small_for_the_folds_are_all_named(table_data: Path, configure: Callable[..., Config]) -> None:
    table = table_data / "labels.csv"
    lines = table.read_text().splitlines()
    few = [line.replace(",ill,", ",rare,") if line.startswith(("images/01", "images/03")) else line for line in lines]
    table.write_text("\n".join(few))
    config = configure(crossval={"folds": 5})
    data = load_data(table_data, config.data)
    with pytest.raises(DataError, match="no image of 'rare' in val") as caught:
        check_folds(data, all_folds(data, config))
    assert "fold 1: no image of 'rare'" in caught.value.message
    assert "fold 2: no image of 'rare'" in caught.value.message
    assert "crossval.folds" in caught.value.hint
