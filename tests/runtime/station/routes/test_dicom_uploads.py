"""DICOM files through the REST service: a result for each frame, and nobody's name in anything that is written."""

from __future__ import annotations

import dataclasses
import struct
from pathlib import Path

import numpy as np
import pytest
import simplejpeg
from starlette.testclient import TestClient

from fieldlens.runtime.pixels import dicom_file
from fieldlens.runtime.pixels.steps import Window
from fieldlens.runtime.station.housekeeping import KeepingRules
from fieldlens.runtime.station.serving.limits import RequestLimits
from tests.runtime.conftest import build_bundle, jpeg, png, scene, tiny_manifest
from tests.runtime.dicom_made import ACCESSION, NAME, PATIENT, ct, encoded, made
from tests.runtime.station.conftest import Opened, client_of

SECRETS = ("zebrowski", "apolonia", PATIENT.lower(), "773190", ACCESSION.lower(), "19310427")
LOOP = encoded(made(np.random.default_rng(1).integers(0, 255, (3, 64, 64), dtype=np.uint8), NumberOfFrames=3))


def posted(client: TestClient, *files: tuple[str, bytes], **fields: str) -> tuple[int, dict[str, object]]:
    answer = client.post("/api/v1/predict", files=[("images", file) for file in files], data=fields)
    return answer.status_code, answer.json()


def items_of(client: TestClient, *files: tuple[str, bytes]) -> list[dict[str, object]]:
    status, body = posted(client, *files)
    assert status == 200, body
    return body["items"]  # type: ignore[return-value]


def named_after_somebody(text: str) -> list[str]:
    return [secret for secret in SECRETS if secret in text.lower()]


def test_a_slice_gets_one_result_and_names_nobody(opened: Opened, tmp_path: Path) -> None:
    station = opened(rules=KeepingRules(images=True))
    client = client_of(station)
    (item,) = items_of(client, ("Zebrowski_Apolonia.dcm", ct(1)))
    assert str(item["name"]).startswith("dicom-")
    result = item["result"]
    assert isinstance(result, dict)
    assert (result["origin"], result["subject"][:2]) == ("upload", "S-")
    assert client.get(f"/api/v1/results/{result['id']}/image?kind=image").headers["content-type"] == "image/jpeg"
    said = client.get("/api/v1/results").text + client.get("/api/v1/export.csv").text + str(item)
    kept = b"".join(path.read_bytes() for path in (tmp_path / "data").rglob("*") if path.is_file()).decode("latin-1")
    assert not named_after_somebody(said + kept)
    assert items_of(client, ("Zebrowski_Apolonia.dcm", ct(1)))[0]["name"] == item["name"], "the same file, found again"
    assert items_of(client, ("IM0001.dcm", ct(2)))[0]["name"] == "IM0001.dcm", "a name of nobody stays"


def test_each_frame_gets_its_result_for_the_same_person(client: TestClient) -> None:
    items = items_of(client, ("loop.dcm", LOOP), ("photo.jpg", jpeg(scene(1))))
    assert [item["name"] for item in items] == ["loop.dcm#1", "loop.dcm#2", "loop.dcm#3", "photo.jpg"]
    subjects = [item["result"]["subject"] for item in items]  # type: ignore[index]
    assert len(set(subjects[:3])) == 1
    assert subjects[3] != subjects[0]
    (second,) = items_of(client, ("loop.dcm#2", LOOP))
    assert second["name"] == "loop.dcm#2"
    assert second["result"]["probabilities"] == items[1]["result"]["probabilities"]  # type: ignore[index]
    status, problem = posted(client, ("loop.dcm#4", LOOP))
    assert (status, problem["detail"]) == (422, "image#4: the DICOM file has 3 frames")


def test_more_frames_than_a_request_may_have_are_refused(opened: Opened) -> None:
    client = client_of(opened(limits=RequestLimits(images=4)))
    photos = [(f"{n}.jpg", jpeg(scene(n))) for n in range(2)]
    refused, *others = items_of(client, ("loop.dcm", LOOP), *photos)
    assert refused["problem"]["type"] == "urn:fieldlens:frames"  # type: ignore[index]
    assert [bool(item["result"]) for item in others] == [True, True], "the others have their room"
    assert len(items_of(client, ("loop.dcm", LOOP), photos[0])) == 4


@pytest.mark.parametrize(
    ("data", "name"),
    [(ct(1)[:700], "Zebrowski.dcm"), (ct(1)[:140], "Apolonia Zebrowski"), (b"no DICOM at all", "Zebrowski.dcm"),
     (ct(1)[:700], "Mrs. Smith.dcm")],
    ids=["cut", "without an owner", "called so", "a name that it does not hold"],
)  # fmt: skip
def test_a_damaged_file_does_not_say_whose_it_is(client: TestClient, data: bytes, name: str) -> None:
    bad, good = items_of(client, (name, data), ("photo.jpg", jpeg(scene(1))))
    assert bad["problem"]["type"] == "urn:fieldlens:not-an-image"  # type: ignore[index]
    assert not named_after_somebody(str(bad))
    assert good["result"]


def test_what_has_writing_in_its_pixels_is_shown_to_nobody(opened: Opened) -> None:
    station = opened(rules=KeepingRules(images=True))
    client = client_of(station)
    burnt = encoded(made(np.full((64, 64, 3), 90, np.uint8), secondary=True, BurnedInAnnotation="YES"))
    (item,) = items_of(client, ("us.dcm", burnt))
    assert item["notes"] == ["burnt-in", "secondary"]
    result = item["result"]
    assert isinstance(result, dict)
    assert [result[name] for name in ("has_image", "has_view", "has_heatmap")] == [False] * 3
    for path in ("image", "image?kind=image", "heatmap"):
        assert client.get(f"/api/v1/results/{result['id']}/{path}").status_code in (404, 409)
    assert not list(station.settings.data.rglob("*.jpg"))


def test_of_a_file_that_is_two_the_answered_image_is_kept(opened: Opened) -> None:
    """A JPEG whose comment is a DICOM file: the preamble may begin as it likes."""
    station = opened(rules=KeepingRules(images=True))
    photo = jpeg(scene(1, 120, 160))
    hidden = encoded(made(np.full((64, 64), 90, np.uint8), DataSetTrailingPadding=photo[2:]))
    at = hidden.index(photo[2:])
    two = b"\xff\xd8\xff\xfe" + struct.pack(">H", at - 4) + hidden[6:]
    assert simplejpeg.decode_jpeg_header(two)[:2] == (120, 160)
    (item,) = items_of(client_of(station), ("two.dcm", two))
    kept = client_of(station).get(f"/api/v1/results/{item['result']['id']}/image?kind=image")  # type: ignore[index]
    assert simplejpeg.decode_jpeg_header(kept.content)[:2] == (64, 64)


@pytest.mark.parametrize("kind", ["16 bits", "8 bits", "colour", "grey PNG"])
def test_what_is_kept_of_grey_levels_is_what_the_window_shows(opened: Opened, tmp_path: Path, kind: str) -> None:
    orient, *others = tiny_manifest().preprocess
    manifest = dataclasses.replace(tiny_manifest(), preprocess=(orient, Window(40, 400), *others))
    client = client_of(opened(build_bundle(tmp_path / "ct.bundle", manifest), rules=KeepingRules(images=True)))
    values = np.random.default_rng(1).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    grey = np.ascontiguousarray(values[..., 0])
    files = {"16 bits": ct(1), "8 bits": encoded(made(grey)), "colour": encoded(made(values)), "grey PNG": png(grey)}
    (item,) = items_of(client, ("a", files[kind]))
    path = f"/api/v1/results/{item['result']['id']}"  # type: ignore[index]
    for what in ("image?kind=image", "image", "heatmap"):
        assert simplejpeg.decode_jpeg(client.get(f"{path}/{what}").content).shape[2] == 3


def test_without_the_extra_a_dicom_file_is_a_clear_problem(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dicom_file, "_missing", lambda: "pydicom and imagecodecs")
    answer = client.post("/api/v1/predict", files=[("images", (f"{NAME}.dcm", ct(1)))])
    assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")
    problem = answer.json()
    assert problem["type"] == "urn:fieldlens:no-dicom"
    assert "not installed here" in problem["detail"]
    assert "fieldlens[dicom]" in problem["hint"]
    assert not named_after_somebody(answer.text)
    bad, good = items_of(client, (f"{NAME}.dcm", ct(1)), ("photo.jpg", jpeg(scene(1))))
    assert (bad["problem"]["type"], bool(good["result"])) == ("urn:fieldlens:no-dicom", True)  # type: ignore[index]
