"""What is seen of somebody's images."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from fieldlens.train.errors import DataError
from fieldlens.train.new_recipe.survey import survey
from tests.train.new_recipe.sets import folders, grey16, photograph, xray


def test_a_folder_per_class(tmp_path: Path) -> None:
    found = survey(folders(tmp_path / "set", {"ill": 8, "well": 7}), ["ill"])
    assert (found.form, len(found.data.samples), found.groups, found.sites) == ("a folder per class", 15, 0, [])
    assert {(look.width, look.height, look.bits) for look in found.looks} == {(80, 60, 8)}
    assert found.colour


def test_grey_images_stored_as_colour_are_grey(tmp_path: Path) -> None:
    assert not survey(folders(tmp_path / "set", {"ill": 8, "well": 8}, xray), ["ill"]).colour


def test_sixteen_bits_and_their_range(tmp_path: Path) -> None:
    found = survey(folders(tmp_path / "set", {"ill": 8, "well": 8}, grey16), ["ill"])
    assert len(found.deep) == 16
    assert 900 < np.median([look.low for look in found.deep]) < 1300
    assert 2700 < np.median([look.high for look in found.deep]) < 3100


def test_folders_below_the_classes_are_patients(tmp_path: Path) -> None:
    for name in ("ill", "well"):
        for patient in range(4):
            folder = tmp_path / name / f"{name}{patient}"
            folder.mkdir(parents=True)
            for index in range(2):
                cv2.imwrite(str(folder / f"{index}.png"), photograph(index))
    found = survey(tmp_path, ["ill"])
    assert (found.groups, bool(found.config.group_pattern)) == (8, True)


@pytest.mark.parametrize(
    ("pattern", "groups"), [("P{:03d}_{}.png", 8), ("img_{:03d}{}.png", 0), ("{:03d}{}.png", 0), ("scan-{}-{}.png", 8)]
)
def test_patients_in_names(tmp_path: Path, pattern: str, groups: int) -> None:
    for label, name in enumerate(("ill", "well")):
        (tmp_path / name).mkdir()
        for patient in range(4):
            for index in range(2):
                cv2.imwrite(str(tmp_path / name / pattern.format(4 * label + patient, index)), photograph(index))
    assert survey(tmp_path, ["ill"]).groups == groups


def test_a_table_of_any_name_is_used_and_two_are_a_question(tmp_path: Path) -> None:
    rows = []
    for index in range(16):
        cv2.imwrite(str(tmp_path / f"{index}.png"), photograph(index))
        rows.append(f"{index}.png,{('well', 'ill')[index % 2]},P{index // 2},{('east', 'west')[index % 2]}")
    (tmp_path / "clinic.csv").write_text("\n".join(["file,diagnosis,patient,clinic", *rows]))
    found = survey(tmp_path, ["ill"])
    assert (found.form, found.groups, found.sites) == ("the table clinic.csv", 8, ["east", "west"])
    assert found.config.table == "clinic.csv"
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    with pytest.raises(DataError, match=r"which of its tables has the classes\? \(clinic.csv, other.csv\)"):
        survey(tmp_path, ["ill"])
    assert survey(tmp_path / "clinic.csv", ["ill"]).groups == 8


def test_an_npz(tmp_path: Path) -> None:
    images = np.zeros((20, 28, 28), np.uint8)
    np.savez(tmp_path / "set.npz", train_images=images, train_labels=np.arange(20)[:, None] % 2)
    assert survey(tmp_path / "set.npz", ["1"]).config.task == "multiclass"
    marks = np.stack([np.arange(20) % 2, np.arange(20) // 2 % 2], axis=1)
    np.savez(tmp_path / "several.npz", train_images=images, train_labels=marks)
    assert survey(tmp_path / "several.npz", ["1"]).config.task == "multilabel"


def test_what_cannot_be_read_is_counted_or_refused(tmp_path: Path) -> None:
    folders(tmp_path / "set", {"ill": 8, "well": 8})
    (tmp_path / "set/ill/0.png").write_bytes(b"broken")
    found = survey(tmp_path / "set", ["ill"])
    assert (len(found.looks), len(found.unreadable)) == (15, 1)
    for path in (tmp_path / "set").rglob("*.png"):
        path.write_bytes(b"broken")
    with pytest.raises(DataError, match="none of its images can be read"):
        survey(tmp_path / "set", ["ill"])
    with pytest.raises(DataError, match="there is no data at"):
        survey(tmp_path / "none", ["ill"])
