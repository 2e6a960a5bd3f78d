"""Training from DICOM: folders and tables, frames, groups by patient; and nobody's name in what a run writes."""

from __future__ import annotations

import csv
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fieldlens.runtime.errors import KitError
from fieldlens.runtime.files.private_names import KEY_FILE
from fieldlens.runtime.pixels.preprocess import Preprocess
from fieldlens.runtime.pixels.steps import Resize, Window
from fieldlens.train.config import Config
from fieldlens.train.data.load import load_data
from fieldlens.train.evaluation.evaluate import evaluate
from fieldlens.train.fitting.fit import fit
from tests.runtime.dicom_made import encoded, made

PEOPLE = 12
WINDOW = {"step": "window", "level": 40, "width": 400}
Configure = Callable[..., Config]


@pytest.fixture(autouse=True)
def own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.delenv("STATE_DIRECTORY", raising=False)


def slice_of(person: int, shot: int, ill: bool, **more: Any) -> bytes:
    random = np.random.default_rng(person * 10 + shot)
    values = random.integers(1000, 1100, (40, 40))
    if ill:
        values[10:30, 10:30] += 120
    return encoded(
        made(values.astype(np.int16), RescaleSlope=1, RescaleIntercept=-1024, patient=f"MRN77{person:04d}",
             name=f"Quixano{person}^Dulcinea", **more)
    )  # fmt: skip


def archive(root: Path) -> Path:
    """A folder per class, below it a folder per patient, files without a suffix."""
    for person in range(PEOPLE):
        ill = person % 2 == 1
        folder = root / ("ill" if ill else "healthy") / f"QUIXANO{person}_DULCINEA_MRN77{person:04d}"
        folder.mkdir(parents=True)
        for shot in range(3):
            (folder / f"IM{shot}").write_bytes(slice_of(person, shot, ill))
    return root


def text_of(*places: Path) -> str:
    files = [path for place in places for path in [place, *place.rglob("*")]]
    said = [str(path.relative_to(place.parent)) for place in places for path in place.rglob("*")]
    return "\n".join([*said, *(path.read_bytes().decode("latin-1") for path in files if path.is_file())]).lower()


SECRETS = ("quixano", "dulcinea", "mrn77", "qx-773190", "acc5519", "19310427")


def test_patients_are_groups_under_private_names(tmp_path: Path, configure: Configure) -> None:
    data = load_data(archive(tmp_path / "data"), configure().data)
    assert len(data.samples) == 3 * PEOPLE
    assert len({sample.group for sample in data.samples}) == PEOPLE
    said = " ".join(f"{sample.id} {sample.group}" for sample in data.samples).lower()
    assert not [secret for secret in SECRETS if secret in said]
    assert {sample.id.partition("/")[0] for sample in data.samples} == {"healthy", "ill"}
    again = load_data(tmp_path / "data", configure().data)
    assert again.samples == data.samples
    assert again.hash == data.hash


def test_a_sample_has_the_devices_tensor(tmp_path: Path, configure: Configure) -> None:
    root = archive(tmp_path / "data")
    data, preprocess = load_data(root, configure().data), Preprocess((Window(40, 400), Resize(32)))
    direct = {preprocess.from_bytes(path.read_bytes(), "IM").tobytes() for path in root.rglob("IM*")}
    assert {data.tensor(sample, preprocess).tobytes() for sample in data.samples} == direct


def test_a_table_names_files_frames_and_ids(tmp_path: Path, configure: Configure) -> None:
    root = tmp_path / "data"
    (root / "scans").mkdir(parents=True)
    stack = np.arange(3 * 64, dtype=np.uint16).reshape(3, 8, 8)
    clip = encoded(made(stack, bits=12, NumberOfFrames=3, WindowCenter=90, WindowWidth=200))
    for name in ("scans/clip.dcm", "scans/other.dcm"):
        (root / name).write_bytes(clip)
    (root / "scans/IM7").write_bytes(slice_of(1, 1, True))
    (root / "scans/1.2.840.5").write_bytes(slice_of(2, 1, True))
    rows = ["image,label", "scans/clip.dcm,a", "scans/other.dcm#2,b", "scans/IM7,a", "1.2.840.5,b"]
    (root / "labels.csv").write_text("\n".join(rows) + "\n")
    data = load_data(root, configure().data)
    assert [sample.id for sample in data.samples] == [
        "scans/clip.dcm#1", "scans/clip.dcm#2", "scans/clip.dcm#3", "scans/other.dcm#2", "scans/IM7",
        "scans/1.2.840.5",
    ]  # fmt: skip
    assert len({sample.group for sample in data.samples}) == 3  # both clips are of one patient
    frames = [data.tensor(sample, Preprocess((Resize(16, "squash"),))) for sample in data.samples[:4]]
    assert np.array_equal(frames[1], frames[3])
    assert not np.array_equal(frames[0], frames[1])


def test_a_frame_that_is_named_twice_is_refused(tmp_path: Path, configure: Configure) -> None:
    stack = np.zeros((2, 8, 8), np.uint8)
    (tmp_path / "clip.dcm").write_bytes(encoded(made(stack, NumberOfFrames=2)))
    (tmp_path / "labels.csv").write_text("image,label\nclip.dcm,a\nclip.dcm#2,b\n")
    with pytest.raises(KitError, match="named twice"):
        load_data(tmp_path, configure().data)


def test_dicom_by_another_name_is_refused_without_its_name(tmp_path: Path, configure: Configure) -> None:
    root = archive(tmp_path / "data")
    (root / "ill" / "Quixano1.png").write_bytes(slice_of(1, 0, True))
    data = load_data(root, configure().data)
    (sample,) = (sample for sample in data.samples if sample.id.endswith(".png"))
    with pytest.raises(KitError, match="a DICOM file by the name of another format") as caught:
        data.read(sample)
    assert "quixano" not in f"{caught.value.message} {caught.value.hint}".lower()


def test_burnt_in_writing_is_noted(tmp_path: Path, configure: Configure) -> None:
    root = archive(tmp_path / "data")
    (root / "ill" / "shot.dcm").write_bytes(slice_of(99, 0, True, secondary=True, BurnedInAnnotation="YES"))
    notes = "\n".join(load_data(root, configure().data).notes)
    assert "burnt into their pixels" in notes
    assert "secondary captures" in notes


def test_no_file_of_a_run_holds_a_patient(
    tmp_path: Path, configure: Configure, capsys: pytest.CaptureFixture[str]
) -> None:
    root, run = archive(tmp_path / "data"), tmp_path / "run"
    config = configure(preprocess={"steps": [WINDOW, {"step": "resize", "size": 32}]})
    fit(config, root, run)
    evaluate(run, root, "val")
    printed = capsys.readouterr()
    said = text_of(run, tmp_path / "state") + (printed.out + printed.err).lower()
    assert not [secret for secret in SECRETS if secret in said]
    with (run / "split.csv").open(encoding="utf-8", newline="") as file:
        parts = {(row["group"], row["split"]) for row in csv.DictReader(file)}
    assert len(parts) == PEOPLE
    assert all(group.startswith("dicom-") for group, _ in parts)
    assert stat.S_IMODE((run / KEY_FILE).stat().st_mode) == 0o600
    (tmp_path / "state" / "fieldlens" / KEY_FILE).unlink(missing_ok=True)  # as on another machine: the run's own counts
    evaluate(run, root, "val")
