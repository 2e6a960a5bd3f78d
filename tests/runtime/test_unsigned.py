"""A bundle for which nobody vouches says so wherever its outcome is shown; one that is signed names its signer."""

from __future__ import annotations

import csv
import dataclasses
import hashlib
import json
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from fieldlens.runtime.bundle.open import MANIFEST, SIGNATURE
from fieldlens.runtime.bundle.signature import POLICY_VARIABLE, sign
from fieldlens.runtime.output.sinks import CsvSink, Rotation
from fieldlens.runtime.pixels import drawing
from tests.runtime.bundle.test_signature import make_key, signer_line
from tests.runtime.conftest import ORIGIN, jpeg, scene, tiny_manifest
from tests.runtime.test_classify import lines, run

_SIGNER = "maker@clinic"
_WORDS = "tiny v3 is unsigned: nothing says who made this bundle"


@pytest.fixture
def key(tmp_path: Path) -> Path:
    return make_key(tmp_path, "maker")


@pytest.fixture
def signed(copy: Path, key: Path) -> Path:
    (copy / SIGNATURE).write_bytes(sign((copy / MANIFEST).read_bytes(), key))
    return copy


@pytest.fixture
def strict(tmp_path: Path, key: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """This machine asks for the maker's signature."""
    for name, text in (("signers", signer_line(key)), ("policy.json", '{"allowed_signers": "signers"}')):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o644)
    monkeypatch.setenv(POLICY_VARIABLE, str(tmp_path / "policy.json"))


def classify(bundle: Path, folder: Path, *options: object) -> subprocess.CompletedProcess[str]:
    image = folder / "image.jpg"
    image.write_bytes(jpeg(scene(1, 120, 160)))
    done = run("classify", image, "--bundle", bundle, "--state", folder / "state", "--backend", "fake", *options)
    assert done.returncode == 0, done.stderr
    return done


def every_output(folder: Path) -> Sequence[object]:
    return ("--json", folder / "r.jsonl", "--csv", folder / "r.csv", "--report", folder / "r.html")


def test_unsigned_wherever_an_outcome_is_shown(bundle_folder: Path, tmp_path: Path) -> None:
    said = classify(bundle_folder, tmp_path, *every_output(tmp_path)).stdout
    assert said.startswith(f"note: {_WORDS}")
    assert said.rindex(_WORDS) > said.index("image.jpg")  # again, below the last outcome
    (line,) = lines(tmp_path / "r.jsonl")
    assert line["bundle_signed_by"] is None
    (row,) = csv.DictReader((tmp_path / "r.csv").read_text().splitlines())
    assert row["bundle_signed_by"] == ""
    assert json.loads((tmp_path / "r.json").read_text())["bundle"]["signed_by"] is None
    page = (tmp_path / "r.html").read_text()
    assert page.index("No signature was checked") < page.index("<h2>")
    assert "unsigned: nothing says who made this bundle" in page


def test_a_signature_that_nobody_checked_is_not_more(signed: Path, tmp_path: Path) -> None:
    said = classify(signed, tmp_path, "--json", tmp_path / "r.jsonl").stdout
    assert said.count("tiny v3 is unverified: it is signed, but this device has no policy") == 2
    assert lines(tmp_path / "r.jsonl")[0]["bundle_signed_by"] is None


def test_with_json_on_standard_output_the_note_goes_elsewhere(bundle_folder: Path, tmp_path: Path) -> None:
    done = classify(bundle_folder, tmp_path, "--json", "-")
    assert json.loads(done.stdout)["bundle_signed_by"] is None
    assert done.stderr.count(_WORDS) == 2


@pytest.mark.usefixtures("strict")
def test_the_signer_is_named_everywhere(signed: Path, tmp_path: Path) -> None:
    said = classify(signed, tmp_path, *every_output(tmp_path)).stdout
    assert "unsigned" not in said
    assert lines(tmp_path / "r.jsonl")[0]["bundle_signed_by"] == _SIGNER
    (row,) = csv.DictReader((tmp_path / "r.csv").read_text().splitlines())
    assert row["bundle_signed_by"] == _SIGNER
    page = (tmp_path / "r.html").read_text()
    assert f"signed by {_SIGNER}" in page
    assert "No signature was checked" not in page
    assert f"signed      signed by {_SIGNER}" in run("info", signed).stdout


@pytest.mark.parametrize("signer", [None, _SIGNER])
def test_the_annotated_image_says_so(signer: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    import numpy as np

    from fieldlens.runtime.bundle.decision import Outcome
    from fieldlens.runtime.prediction import ALWAYS, Finding, Prediction

    words: list[str] = []
    monkeypatch.setattr(drawing, "_write", lambda bar, text, *place, **more: words.append(text))
    zeros = np.zeros((2, 7, 7), np.float32)
    prediction = Prediction(
        "a", Outcome.REFER, {"clear": 0.1, "sign": 0.9}, 0.9, zeros[:, 0, 0], zeros, (), None,
        dict.fromkeys(ALWAYS, 1.0), dataclasses.replace(ORIGIN, bundle_signed_by=signer),
    )  # fmt: skip
    again = dataclasses.replace(prediction, outcome=Outcome.RETAKE, findings=(Finding("x", 1, 2, "hold still"),))
    for each in (prediction, again):
        words.clear()
        each.overlay(np.zeros((8, 8, 3), np.uint8), "7 ms")
        assert (drawing.UNSIGNED in words) == (signer is None)


def test_info_and_verify_print_the_hash_to_compare(bundle_folder: Path) -> None:
    expected = hashlib.sha256((bundle_folder / MANIFEST).read_bytes()).hexdigest()
    shown = run("info", bundle_folder).stdout
    assert f"hash        {expected}" in shown
    assert "signed      unsigned: nothing says who made this bundle" in shown
    assert expected in run("verify", bundle_folder).stdout


def test_info_shows_what_would_move_a_cursor(copy: Path) -> None:
    value = json.loads((copy / MANIFEST).read_text())
    value["provenance"] = {"made\nsigned      signed by maker@clinic": "\x1b[2J"}
    (copy / MANIFEST).write_text(json.dumps(value))
    shown = run("info", copy).stdout
    assert r"made\nsigned" in shown
    assert r"\x1b[2J" in shown
    assert "\x1b" not in shown


def test_a_csv_with_other_columns_is_put_aside(tmp_path: Path) -> None:
    path = tmp_path / "r.csv"
    path.write_text("source,outcome\na.jpg,refer\n")
    origin = dataclasses.replace(ORIGIN, bundle_signed_by=_SIGNER)
    CsvSink(path, tiny_manifest(), origin, Rotation(10**6)).close()
    assert (tmp_path / "r.csv.1").read_text() == "source,outcome\na.jpg,refer\n"
    (head,) = path.read_text().splitlines()
    assert head.startswith("time_utc,clock,source,outcome,")
    assert head.endswith(",bundle_signed_by,backend,precision,device,host,threshold_from,possibly_repeated")
    CsvSink(path, tiny_manifest(), origin, Rotation(10**6)).close()
    assert path.read_text().splitlines() == [head]
    assert not (tmp_path / "r.csv.2").exists()
