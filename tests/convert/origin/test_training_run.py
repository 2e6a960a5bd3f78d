"""Runs and data that are not what they say they are."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from fieldlens.convert.origin.training_run import data_provenance, load_source
from fieldlens.runtime.errors import KitError
from tests.convert.conftest import PARTS, arrays


def test_a_whole_run_is_read(run: Path) -> None:
    source = load_source(run, None)
    assert {name: len(source.part(name)) for name in PARTS} == PARTS
    assert source.run.class_ids == ("clear", "spot")


def test_no_path_of_this_machine_travels(run: Path, data: Path) -> None:
    kept = data_provenance(load_source(run, None).run)
    assert kept["name"] == "spots.npz"
    assert str(data.parent) not in json.dumps(kept)


def test_data_that_moved_is_asked_for(broken_run: Path, data: Path, tmp_path: Path) -> None:
    (broken_run / "local.json").write_text(json.dumps({"data": str(tmp_path / "gone.npz")}))
    with pytest.raises(KitError, match="no longer at") as caught:
        load_source(broken_run, None)
    assert "--data" in caught.value.hint
    (broken_run / "local.json").unlink()
    with pytest.raises(KitError, match="does not say where its data"):
        load_source(broken_run, None)
    assert load_source(broken_run, data).data.hash


def test_changed_images_are_noticed(run: Path, tmp_path: Path) -> None:
    content = arrays(PARTS)
    content["train_images"][5, 7, 7, 0] ^= 1
    np.savez(tmp_path / "spots.npz", **content)  # type: ignore[arg-type]
    with pytest.raises(KitError, match="is not the data that spots was trained on"):
        load_source(run, tmp_path / "spots.npz")


def test_a_changed_split_is_noticed(broken_run: Path) -> None:
    path = broken_run / "split.csv"
    path.write_text(path.read_text().replace("test/00003,spot,test", "test/00003,spot,train"))
    with pytest.raises(KitError, match=r"split.csv is not the one of the training"):
        load_source(broken_run, None)
