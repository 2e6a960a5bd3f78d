"""Errors about tables and folders of DICOM files, in all three rooms that read them: no patient in any."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from fieldlens.benchmarks.device.image_set import read
from fieldlens.runtime.errors import KitError
from fieldlens.runtime.site.cases import read_cases
from fieldlens.train.config import DataConfig
from fieldlens.train.data.load import load_split
from tests.runtime.conftest import jpeg, scene, tiny_manifest
from tests.runtime.dicom_made import NAME, ct
from tests.runtime.test_dicom_runs import SECRETS

WHO = NAME.replace("^", "_")
OTHER_WHO = "Kowalski_Jan"
GOOD = "".join(f"{kind}/{WHO}/{WHO}_{k}.dcm,{kind}\n" for kind in ("clear", "sign") for k in range(2))
FIRST = f"clear/{WHO}/{WHO}_0.dcm"
TABLES = {
    "no label": f"{FIRST},\n",
    "no file": f"{GOOD}clear/{WHO}/{WHO}_9.dcm,clear\n",
    "no file, and nobody knows the name": "clear/Nowak Ewa 9.dcm,clear\n",
    "no file of Windows": "C:\\archive\\Nowak_Ewa\\Nowak Ewa.dcm,clear\n",
    "twice": GOOD + GOOD,
    "an id with two files": f"{WHO}_0,clear\n",
    "a frame that is none": f"{FIRST}#x,clear\n",
    "too few cells": f"{GOOD}{FIRST}\n",
    "a quote": f'{GOOD}{FIRST},"clear\n{FIRST},sign"\n',
}


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("archive")
    for number, kind in enumerate(("clear", "sign")):
        (root / kind / WHO).mkdir(parents=True)
        for k in range(2):
            (root / kind / WHO / f"{WHO}_{k}.dcm").write_bytes(ct(10 * number + k))
    return root


def said(reads: Callable[[], object]) -> str:
    with pytest.raises(KitError) as caught:
        reads()
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    return f"{caught.value.message}\n{caught.value.hint}".lower()


@pytest.mark.parametrize("kind", TABLES)
def test_no_error_about_a_table_names_a_patient(archive: Path, kind: str) -> None:
    table, manifest = archive / "labels.csv", tiny_manifest()
    table.write_text(f"image,label\n{TABLES[kind]}")
    texts = [
        said(lambda: load_split(archive, DataConfig())),
        said(lambda: read_cases(archive, manifest)),
        said(lambda: read(archive, table, manifest)),
    ]
    table.unlink()
    for text in texts:
        assert [secret for secret in (*SECRETS, "nowak") if secret in text] == []
        assert "line " in text


def test_patients_for_folders_are_ambiguous_and_not_named(tmp_path: Path) -> None:
    for who in (WHO, OTHER_WHO):
        for kind in ("ill", "well"):
            (tmp_path / who / kind).mkdir(parents=True)
            (tmp_path / who / kind / "1.dcm").write_bytes(ct(1, name=who))
    text = said(lambda: load_split(tmp_path, DataConfig()))
    assert "may be classes, or sites, patients or parts above the classes ill, well" in text
    assert [secret for secret in (*SECRETS, "kowalski") if secret in text] == []


def test_names_that_carry_nobody_stay(tmp_path: Path) -> None:
    (tmp_path / "IM0001.dcm").write_bytes(ct(1))
    (tmp_path / "photo.jpg").write_bytes(jpeg(scene(1)))
    (tmp_path / "labels.csv").write_text("image,label\nIM0001.dcm,\nphoto.jpg,\nother.png,ill\n")
    text = said(lambda: load_split(tmp_path, DataConfig()))
    for name in ("'im0001.dcm' has no label", "'photo.jpg' has no label", "no image file for 'other.png'"):
        assert name in text


def test_benchmarks_refuse_dicom_without_a_name(archive: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(archive / "clear", tmp_path / "in"))
    (folder / "photo.jpg").write_bytes(jpeg(scene(1)))
    text = said(lambda: read(folder, None, tiny_manifest()))
    assert "2 of 3 files are dicom" in text
    assert [secret for secret in SECRETS if secret in text.replace(str(folder).lower(), "")] == []


def test_a_row_that_a_clinic_names_twice_counts_once_and_a_missing_patient_is_none(tmp_path: Path) -> None:
    for number, name in enumerate(("a.jpg", "b.jpg", "c.jpg")):
        (tmp_path / name).write_bytes(jpeg(scene(number)))
    table = tmp_path / "labels.csv"
    table.write_text("image,label,group\na.jpg,sign,nan\nb.jpg,clear,nan\nc.jpg,clear,p1\n")
    assert [case.group for case in read_cases(tmp_path, tiny_manifest())] == ["a.jpg", "b.jpg", "p1"]
    table.write_text("image,label\na.jpg,sign\nb.jpg,clear\n./a.jpg,sign\n")
    assert "line 4: './a.jpg' is named twice" in said(lambda: read_cases(tmp_path, tiny_manifest()))
    table.write_text('image,label,note\na.jpg,sign,"5\nb.jpg,clear,7"\nc.jpg,clear,\n')
    assert "a quoted cell holds line 3" in said(lambda: read_cases(tmp_path, tiny_manifest()))
