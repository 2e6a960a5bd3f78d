"""``classify`` on DICOM files, as a user meets it: frames, folders without suffixes, notes, and no patient anywhere."""

from __future__ import annotations

import json
import os
import re
import stat
import subprocess
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from fieldlens.runtime.files.private_names import KEY_FILE, kept_in
from fieldlens.runtime.model import load
from fieldlens.runtime.sources.complete import looks_complete
from fieldlens.runtime.sources.inputs import Sources
from fieldlens.runtime.sources.item import Broken, Encoded, File
from tests.runtime.conftest import jpeg, scene
from tests.runtime.dicom_made import ACCESSION, NAME, PATIENT, ct, encoded, made
from tests.runtime.dicom_second import shipped
from tests.runtime.privileges import without_privileges
from tests.runtime.test_classify import ROOT, command, lines, run

SECRETS = ("zebrowski", "apolonia", "773190", ACCESSION.lower(), "19310427")


@pytest.fixture
def basic(bundle_folder: Path, tmp_path: Path) -> Sequence[object]:
    return ("--bundle", bundle_folder, "--state", tmp_path / "state", "--backend", "fake")


def everything(*places: Path) -> str:
    """All names and all bytes below these places, in lower case; only bytes that could be text matter."""
    found = []
    for place in places:
        for path in [place, *place.rglob("*")] if place.is_dir() else [place]:
            found.append(str(path.relative_to(place.parent)))
            if path.is_file():
                found.append(path.read_bytes().decode("latin-1"))
    return "\n".join(found).lower()


def test_frames_folders_and_notes(basic: Sequence[object], tmp_path: Path) -> None:
    folder = tmp_path / "study"
    (folder / "IMAGES").mkdir(parents=True)
    (folder / "IMAGES" / "IM000001").write_bytes(ct(1))
    (folder / "IMAGES" / "1.2.840.99.4").write_bytes(ct(2))
    (folder / "IMAGES" / "README").write_text("no image")
    (folder / "DICOMDIR").write_bytes(shipped("dicomdirtests/DICOMDIR").read_bytes())
    (folder / "clip.dcm").write_bytes(shipped("SC_rgb_rle_2frame.dcm").read_bytes())
    (folder / "plain.jpg").write_bytes(jpeg(scene(1)))
    (folder / "broken.dcm").write_bytes(b"not DICOM, but called so")
    (folder / "burnt.dcm").write_bytes(
        encoded(made(np.zeros((9, 9, 3), np.uint8), secondary=True, BurnedInAnnotation="YES"))
    )
    done = run("classify", folder, *basic, "--json", tmp_path / "r.jsonl")
    assert done.returncode == 3, done.stderr
    assert "Traceback" not in done.stderr
    results = {Path(result["source"]).name: result for result in lines(tmp_path / "r.jsonl")}
    good = {"IM000001", "1.2.840.99.4", "clip.dcm#1", "clip.dcm#2", "plain.jpg", "burnt.dcm"}
    assert {name for name, result in results.items() if result["error"] is None} == good
    (bad,) = (result for result in results.values() if result["error"])
    assert "not a DICOM file (no DICM behind its first 128 bytes)" in bad["error"]
    assert "writing is burnt into their pixels" in done.stdout
    assert re.search(r"are secondary captures.*: 2 \(for example", done.stdout)
    assert "files left out because their names are not of images: 2" in done.stdout


def test_one_frame_of_a_file(basic: Sequence[object], tmp_path: Path) -> None:
    clip = tmp_path / "clip.dcm"
    clip.write_bytes(shipped("examples_ybr_color.dcm").read_bytes())
    done = run("classify", f"{clip}#7", f"{clip}#31", *basic, "--json", tmp_path / "r.jsonl")
    good, bad = lines(tmp_path / "r.jsonl")
    assert done.returncode == 3
    assert good["source"].endswith("clip.dcm#7")
    assert good["error"] is None
    assert "has 30 frames" in bad["error"]
    done = run("classify", clip, *basic, "--workers", 2, "--json", tmp_path / "all.jsonl")
    assert [result["source"].rpartition("#")[2] for result in lines(tmp_path / "all.jsonl")] == [
        str(number) for number in range(1, 31)
    ]


def archive(folder: Path) -> None:
    """As systems export: folders by patient, files by numbers; one damaged, one that nobody can read at all."""
    patient = folder / "ZEBROWSKI_Apolonia_QX-773190" / "ACC5519"
    patient.mkdir(parents=True)
    for number in range(3):
        (patient / f"apolonia.zebrowski.{number}.dcm").write_bytes(ct(number))
    whole = ct(7)
    (patient / "QX773190-cut.dcm").write_bytes(whole[: len(whole) - 900])
    (patient / "Zebrowski-hopeless.dcm").write_bytes(whole[:140] + bytes(range(200)))
    (patient / "zebrowski-none.dcm").write_bytes(b"empty")
    (patient / "zebrowski_apolonia.txt").write_text("a letter")


def test_no_output_holds_a_patient(bundle_folder: Path, tmp_path: Path) -> None:
    archive(tmp_path / "in")
    out, state = tmp_path / "out", tmp_path / "state"
    done = run(
        "classify", tmp_path / "in", "--bundle", bundle_folder, "--state", state, "--backend", "openvino",
        "--json", out / "r.jsonl", "--csv", out / "r.csv", "--report", out / "r.html", "--overlays", out / "maps",
        "--with-images",
    )  # fmt: skip
    assert done.returncode == 3, done.stderr
    assert len(lines(out / "r.jsonl")) == 6
    said = everything(out, state) + (done.stdout + done.stderr).lower()
    assert not [secret for secret in SECRETS if secret in said]
    key = (state / KEY_FILE).read_bytes()
    assert stat.S_IMODE((state / KEY_FILE).stat().st_mode) == 0o600
    assert key not in b"".join(path.read_bytes() for path in out.rglob("*") if path.is_file())


def sources_of(folder: Path, state: Path) -> list[str]:
    """How a run with this state folder names what is in the folder."""
    state.mkdir(mode=0o700, exist_ok=True)
    items = list(Sources([str(folder)], private=kept_in(state)).stored())
    return [item.source for item in items if isinstance(item, Encoded | Broken | File)]


def test_the_same_file_has_the_same_name_from_run_to_run(tmp_path: Path) -> None:
    archive(tmp_path / "in")
    names = [sources_of(tmp_path / "in", tmp_path / state) for state in ("state", "state", "another")]
    assert names[0] == names[1] != names[2]
    assert len(set(names[0])) == 6


def test_a_name_without_a_patient_stays(tmp_path: Path) -> None:
    (tmp_path / "room-3").mkdir()
    (tmp_path / "room-3" / "slice-004.dcm").write_bytes(ct(1))
    assert sources_of(tmp_path / "room-3", tmp_path / "state") == [str(tmp_path / "room-3" / "slice-004.dcm")]


def test_python_gets_one_answer_for_each_path(bundle_folder: Path, tmp_path: Path) -> None:
    clip, single = tmp_path / "clip.dcm", tmp_path / "apolonia"
    clip.write_bytes(shipped("SC_rgb_rle_2frame.dcm").read_bytes())
    single.write_bytes(ct(1))
    with load(bundle_folder, backend="fake", state=tmp_path / "state") as model:
        assert "apolonia" not in json.dumps(model(single).to_dict()).lower()
        answers = list(model.many([single, clip, f"{clip}#2"]))
        assert [str(type(answer).__name__) for answer in answers] == ["Prediction", "Failure", "Prediction"]
        assert "several frames" in str(answers[1])
        assert len(list(model.stream(clip))) == 2


def test_a_jpg_that_is_dicom_is_not_answered_under_its_name(basic: Sequence[object], tmp_path: Path) -> None:
    path = tmp_path / "Zebrowski-773190" / "apolonia.jpg"
    path.parent.mkdir()
    path.write_bytes(ct(1))
    done = run("classify", path, *basic)
    assert done.returncode == 2
    assert "a DICOM file by the name of another format" in done.stderr
    assert not [secret for secret in SECRETS if secret in (done.stdout + done.stderr).lower()]


def test_a_state_that_cannot_be_written_still_hides(bundle_folder: Path, tmp_path: Path) -> None:
    archive(tmp_path / "in")
    (tmp_path / "file").write_text("")
    state = tmp_path / "state"
    state.mkdir(mode=0o700)
    (state / KEY_FILE).mkdir()  # whatever stands there, it is no key
    done = run("classify", tmp_path / "in", "--bundle", bundle_folder, "--state", state, "--backend", "fake")
    said = (done.stdout + done.stderr).lower()
    assert "Traceback" not in done.stderr
    assert not [secret for secret in SECRETS if secret in said]


@pytest.mark.full  # nobody says that they are complete, so 10 s pass
def test_a_watched_folder_takes_them_when_they_are_complete(basic: Sequence[object], tmp_path: Path) -> None:
    inbox = tmp_path / "in"
    inbox.mkdir()
    (inbox / "IM01").write_bytes(ct(1))
    (inbox / "clip.dcm").write_bytes(shipped("SC_rgb_rle_2frame.dcm").read_bytes())
    old = 1_700_000_000
    for path in inbox.iterdir():
        os.utime(path, (old, old))
    done = run("classify", inbox, "--watch", *basic, "--limit", 3, "--duration", 30, "--json", tmp_path / "r.jsonl")
    names = sorted(Path(result["source"]).name for result in lines(tmp_path / "r.jsonl"))
    assert done.returncode == 0, done.stderr
    assert names == ["IM01", "clip.dcm#1", "clip.dcm#2"]


def test_dicom_is_complete_when_its_writer_says_so(tmp_path: Path) -> None:
    path = tmp_path / "IM01"
    path.write_bytes(ct(1))
    assert looks_complete(str(path), closed=True)
    assert not looks_complete(str(path), closed=False)


def test_the_made_names_are_in_the_files() -> None:
    """So that a search for them proves something."""
    data = ct(1).lower()
    assert NAME.lower().encode() in data
    assert PATIENT.lower().encode() in data


SURNAME = NAME.replace("^", "_")


def beside(tmp_path: Path) -> Path:
    """An archive's folder with everything that lies beside its DICOM files under the same name."""
    root = tmp_path / "in"
    folder = root / "ill" / SURNAME
    folder.mkdir(parents=True)
    (folder / f"{SURNAME}_2.dcm").write_bytes(ct(1))
    (folder / f"{SURNAME}_1.jpg").write_bytes(jpeg(scene(1)))
    (folder / f"{SURNAME}.txt").write_text("x")
    (folder / "damaged.dcm").write_bytes(ct(1)[:700])
    (folder / "no-dicom.dcm").write_bytes(b"hello")
    (folder / SURNAME.upper()).write_bytes(ct(3)[132:])  # without its header
    (folder / f"{SURNAME}.png").write_bytes(ct(4))
    (folder / f"{SURNAME} gone.jpg").symlink_to("nowhere")
    (root / "ill" / f"{SURNAME} closed").mkdir(mode=0)
    return root


@pytest.mark.parametrize("form", ["folder", "list"])
def test_what_lies_beside_dicom_files_carries_no_patient_either(bundle_folder: Path, tmp_path: Path, form: str) -> None:
    root, out = beside(tmp_path), tmp_path / "out"
    options = ("--bundle", bundle_folder, "--state", tmp_path / "state", "--backend", "fake")
    listed = [str(path) for path in sorted((root / "ill" / SURNAME).iterdir()) if path.suffix != ".txt"]
    listed.append(f"{root}/ill/{SURNAME}/{SURNAME}_77.dcm")
    done = subprocess.run(
        command(
            "classify", root if form == "folder" else "-", *options, "--json", out / "r.jsonl", "--csv", out / "r.csv",
            "--report", out / "r.html", "--overlays", out / "maps",
        ),
        cwd=ROOT, preexec_fn=without_privileges, capture_output=True, text=True, check=False,
        input="\n".join(listed) if form == "list" else "",
    )  # fmt: skip
    assert done.returncode == 3, done.stderr
    results = lines(out / "r.jsonl")
    assert len(results) == (7 if form == "folder" else len(listed))
    assert sum(not result.get("error") for result in results) == 2
    assert any("without its header" in str(r.get("error")) or "no DICM" in str(r.get("error")) for r in results)
    said = (done.stdout + done.stderr + everything(out, tmp_path / "state")).lower()
    assert [secret for secret in SECRETS if secret in said] == []
