"""Labelled data for a finished bundle."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from fieldlens.convert.measure.labelled import labelled
from fieldlens.runtime.bundle.manifest import Manifest
from fieldlens.runtime.bundle.open import open_bundle
from fieldlens.runtime.errors import BundleError, KitError
from fieldlens.runtime.terminal.reporter import Lines
from tests.convert.conftest import PARTS, arrays, picture
from tests.runtime.conftest import tiny_manifest


@pytest.fixture(scope="module")
def manifest(bundle_folder: Path) -> Manifest:
    return open_bundle(bundle_folder).manifest


def test_own_data_is_judged_by_its_split(manifest: Manifest, data: Path) -> None:
    found = labelled(manifest, data, "test")
    assert [sample.id for sample in found.samples[:2]] == ["test/00000", "test/00001"]
    assert found.labels.truth.tolist() == [0, 1] * 30
    assert len(set(found.labels.groups)) == 60
    assert len(labelled(manifest, data, "all").samples) == sum(PARTS.values())


def test_own_data_that_splits_otherwise_is_refused(manifest: Manifest, data: Path) -> None:
    known = {**manifest.provenance["data"], "split_hash": "0" * 64}
    other = replace(manifest, provenance={**manifest.provenance, "data": known})
    with pytest.raises(KitError, match="splits differently here"):
        labelled(other, data, "test")


def test_other_data_with_a_split_of_its_own(
    manifest: Manifest, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.savez(tmp_path / "other.npz", **arrays({"train": 10, "test": 20}))  # type: ignore[arg-type]
    assert len(labelled(manifest, tmp_path / "other.npz", "test", Lines()).samples) == 20
    assert "is not the data set that the bundle was made from" in capsys.readouterr().out
    with pytest.raises(KitError, match="no 'val' part"):
        labelled(manifest, tmp_path / "other.npz", "val")


def test_other_data_without_one_is_judged_whole(manifest: Manifest, tmp_path: Path) -> None:
    with (tmp_path / "labels.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["image", "label", "group"])
        for index in range(8):
            cv2.imwrite(str(tmp_path / f"{index}.png"), picture(index % 2, index))
            writer.writerow([f"{index}.png", index % 2, f"subject-{index // 4}"])
    found = labelled(manifest, tmp_path, "all")
    assert len(found.samples) == 8
    assert len(set(found.labels.groups)) == 2
    with pytest.raises(KitError) as caught:
        labelled(manifest, tmp_path, "test")
    assert "--split all" in caught.value.hint


def test_a_bundle_that_does_not_say_how_data_is_read(manifest: Manifest, data: Path) -> None:
    with pytest.raises(BundleError, match="does not say how its data is read"):
        labelled(replace(manifest, provenance={}), data, "test")


@pytest.mark.parametrize("recipe", ["text", 1.5, [], None])
def test_a_manifest_whose_recipe_is_no_recipe_is_no_traceback(recipe: object, tmp_path: Path) -> None:
    manifest = replace(tiny_manifest(), provenance={"data": {"config": {}}, "recipe": recipe})
    with pytest.raises(KitError, match="no data"):
        labelled(manifest, tmp_path / "none", "test")
    for config in ({"table": "x" * 300}, {"classes": 7}, "text"):
        with pytest.raises(BundleError, match="data settings"):
            labelled(replace(manifest, provenance={"data": {"config": config}}), tmp_path, "test")
