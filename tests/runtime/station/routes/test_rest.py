"""The REST service: what each route answers, and how it refuses."""

from __future__ import annotations

import csv
import dataclasses
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import simplejpeg
from starlette.testclient import TestClient

from fieldlens.runtime.errors import BackendError
from fieldlens.runtime.pixels import heat
from fieldlens.runtime.prediction import Finding
from fieldlens.runtime.station.housekeeping import KeepingRules
from fieldlens.runtime.station.station import Station
from tests.runtime.conftest import BROKEN, build_bundle, jpeg, png, scene, tiny_manifest, with_orientation
from tests.runtime.station.conftest import Opened, client_of

PROBLEM = "application/problem+json"


def predicted(client: TestClient, *files: tuple[str, bytes], **fields: str) -> dict[str, Any]:
    """The items of an upload that was answered."""
    answer = client.post("/api/v1/predict", files=[("images", file) for file in files], data=fields)
    assert answer.status_code == 200, answer.text
    return answer.json()


def one(client: TestClient, photo: bytes, **fields: str) -> dict[str, Any]:
    return predicted(client, ("a.jpg", photo), **fields)["items"][0]["result"]


def test_an_image_gets_a_stored_result(client: TestClient, photo: bytes) -> None:
    result = one(client, photo, subject="A-17", site="Clinic", operator="Ada")
    assert result["outcome"] in ("refer", "no-sign-found", "uncertain")
    assert (result["subject"], result["site"], result["operator"]) == ("A-17", "Clinic", "Ada")
    assert (result["score"], result["threshold"]) == (pytest.approx(result["probabilities"]["sign"]), 0.5)
    assert [each["id"] for each in result["top"]] == sorted(
        result["probabilities"], key=lambda name: -result["probabilities"][name]
    )
    assert client.get(f"/api/v1/results/{result['id']}").json() == result


def test_a_general_bundle_gives_the_top_three(opened: Opened, classifier_folder: Path, photo: bytes) -> None:
    result = one(client_of(opened(classifier_folder)), photo)
    assert (result["outcome"], result["score"], result["threshold"]) == ("classified", None, None)
    assert len(result["top"]) == 3


def test_each_of_many_files_gets_its_result_or_its_reason(client: TestClient, photo: bytes) -> None:
    names = ["truncated.jpg", "not-an-image.png", "bomb.png", "zero-bytes.jpg"]
    files = [("good.jpg", photo), *((name, BROKEN[name]()) for name in names), ("also.png", png(scene(2)))]
    items = predicted(client, *files)["items"]
    assert [item["name"] for item in items] == [name for name, _ in files]
    assert [bool(item["result"]) for item in items] == [True, *[False] * 4, True]
    for item in items[1:5]:
        assert item["problem"]["status"] == 422
        assert item["problem"]["hint"]
    assert client.get("/api/v1/results").json()["total"] == 2


def test_a_single_bad_file_is_a_problem(client: TestClient) -> None:
    answer = client.post("/api/v1/predict", files=[("images", ("x.jpg", BROKEN["truncated.jpg"]()))])
    assert (answer.status_code, answer.headers["content-type"]) == (422, PROBLEM)
    assert answer.json()["type"] == "urn:fieldlens:not-an-image"


@pytest.mark.parametrize(
    ("path", "status"),
    [("/nothing", 404), ("/api/v1/results/" + "0" * 32, 404), ("/api/v1/results/x", 422), ("/api/v1/predict", 405),
     ("/api/v1/results?limit=0", 422), ("/api/v1/results?outcome=perhaps", 422), ("/api/v1/preview", 409),
     ("/api/v1/results?before=99999999999999999999", 422), ("/docs", 404)],
)  # fmt: skip
def test_every_refusal_is_a_problem(client: TestClient, path: str, status: int) -> None:
    answer = client.get(path)
    assert (answer.status_code, answer.headers["content-type"]) == (status, PROBLEM)
    assert answer.json()["status"] == status


def test_without_a_subject_one_is_made(client: TestClient, photo: bytes) -> None:
    first, second = one(client, photo)["subject"], one(client, photo)["subject"]
    assert first != second
    assert len(str(first)) == len("S-7K3F-9Q2M-X")


def test_a_generated_id_that_was_mistyped_is_refused(client: TestClient, photo: bytes) -> None:
    subject = client.post("/api/v1/subjects").json()["subject"]
    assert one(client, photo, subject=subject)["subject"] == subject
    wrong = subject[:-1] + ("A" if subject[-1] != "A" else "B")
    answer = client.post("/api/v1/predict", files=[("images", ("a.jpg", photo))], data={"subject": wrong})
    assert (answer.status_code, answer.json()["type"]) == (422, "urn:fieldlens:subject")


def test_search_filters_and_pages(client: TestClient, photo: bytes) -> None:
    ids = [one(client, photo, subject=f"P{n}", operator="Ada" if n % 2 else "Bo")["id"] for n in range(5)]
    page = client.get("/api/v1/results?limit=2").json()
    assert [each["id"] for each in page["results"]] == [ids[4], ids[3]]
    assert page["total"] == 5
    following = client.get(f"/api/v1/results?limit=3&before={page['next_before']}").json()
    assert [each["id"] for each in following["results"]] == [ids[2], ids[1], ids[0]]
    assert following["next_before"] is None
    assert client.get("/api/v1/results?operator=Ada").json()["total"] == 2
    assert client.get("/api/v1/results?text=p3").json()["results"][0]["id"] == ids[3]
    assert client.get("/api/v1/results?text=%25").json()["total"] == 0, "a percent sign is a percent sign"
    assert client.get("/api/v1/results?since=2999-01-01").json()["total"] == 0
    assert client.get("/api/v1/results?until=2999-01-01").json()["total"] == 5


def test_the_newest_review_counts(client: TestClient, photo: bytes) -> None:
    path = f"/api/v1/results/{one(client, photo)['id']}"
    for agrees, note in ((True, ""), (False, "a scar, not a sign")):
        answer = client.post(f"{path}/review", json={"agrees": agrees, "note": note, "reviewer": "Dr. C"})
        assert answer.status_code == 200
    assert client.get(path).json()["review"]["note"] == "a scar, not a sign"
    for kind, count in (("disagrees", 1), ("agrees", 0), ("none", 0)):
        assert client.get(f"/api/v1/results?review={kind}").json()["total"] == count
    assert client.get("/api/v1/results?text=scar").json()["total"] == 1
    assert client.post(f"{path}/review", json={"agrees": "maybe"}).status_code == 422


def test_images_are_off_but_the_last_heat_map_is_there(client: TestClient, photo: bytes) -> None:
    result = one(client, photo)
    assert (result["has_image"], result["has_heatmap"]) == (False, True)
    view = client.get(f"/api/v1/results/{result['id']}/image")
    heat = client.get(f"/api/v1/results/{result['id']}/heatmap")
    assert simplejpeg.decode_jpeg(heat.content).shape == simplejpeg.decode_jpeg(view.content).shape == (480, 480, 3)
    assert client.get(f"/api/v1/results/{result['id']}/image?kind=image").status_code == 404


def test_a_kept_image_is_upright_and_without_metadata(opened: Opened) -> None:
    station = opened(rules=KeepingRules(images=True))
    turned = with_orientation(jpeg(scene(7)), 6)
    result = one(client_of(station), turned)
    data = client_of(station).get(f"/api/v1/results/{result['id']}/image?kind=image").content
    assert simplejpeg.decode_jpeg(data).shape == (640, 480, 3)
    assert b"Exif" in turned
    assert b"Exif" not in data
    kept = [path for path in (station.settings.data / "images").rglob("*") if path.is_file()]
    assert len(kept) == 2
    assert all(path.stat().st_mode & 0o077 == 0 for path in kept), "nobody else may read them"


def test_a_retake_shows_no_class_and_no_heat_map(
    station: Station, photo: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    dark = (Finding("brightness", 3.0, 20.0, "too dark: switch the lamp on"),)
    monkeypatch.setattr(station.model.classifier, "_gate", lambda outputs, prepared: (dark, None))
    client = client_of(station)
    result = one(client, photo)
    assert (result["outcome"], result["top"], result["has_heatmap"]) == ("retake", [], False)
    assert result["findings"][0]["advice"] == "too dark: switch the lamp on"
    answer = client.get(f"/api/v1/results/{result['id']}/heatmap")
    assert (answer.status_code, answer.json()["type"]) == (409, "urn:fieldlens:retake")


def test_a_map_too_coarse_to_point_is_not_shown_and_says_why(
    client: TestClient, photo: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(heat, "LEAST_CELLS", 8)  # the made bundle has 7
    result = one(client, photo)
    assert (result["has_view"], result["has_heatmap"]) == (True, False)
    assert "7x7 cells are too coarse" in result["no_heatmap"]
    answer = client.get(f"/api/v1/results/{result['id']}/heatmap")
    assert (answer.status_code, answer.json()["type"]) == (409, "urn:fieldlens:too-coarse")
    assert client.get(f"/api/v1/results/{result['id']}/image").status_code == 200


def test_csv_has_every_result_and_no_formula(client: TestClient, photo: bytes) -> None:
    wicked = ['=HYPERLINK("http://x")', "+1+1", "-2", "@SUM(A1)", "|calc", 'a,b"c']
    for operator in wicked:
        one(client, photo, operator=operator)
    answer = client.get("/api/v1/export.csv")
    assert answer.headers["content-type"].startswith("text/csv")
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert [row["operator"] for row in reversed(rows)] == [f"'{each}" for each in wicked[:5]] + ['a,b"c']
    assert float(rows[0]["p_sign"]) == pytest.approx(float(rows[0]["score"]))


def test_status_health_and_metrics(client: TestClient, photo: bytes) -> None:
    result = one(client, photo)
    status = client.get("/api/v1/status").json()
    assert (status["ready"], status["results"], status["camera"]["state"]) == (True, 1, "none")
    assert client.get("/healthz").json() == {"status": "ok"}
    ready = client.get("/readyz").json()
    assert ready["status"] == "ok"
    assert (ready["bundle_hash"], ready["camera"]) == (
        client.get("/api/v1/status").json()["model"]["bundle_hash"],
        "none",
    )
    text = client.get("/metrics").text
    assert f'fieldlens_outcomes_total{{outcome="{result["outcome"]}"}} 1' in text
    assert 'fieldlens_latency_seconds_count{stage="total"} 1' in text
    assert "fieldlens_queue_capacity 16" in text


def test_a_model_that_failed_answers_nothing_more(station: Station, photo: bytes) -> None:
    station.engine.fault = BackendError("golden images are no longer answered as accepted", "call the engineer")
    client = client_of(station)
    answer = client.post("/api/v1/predict", files=[("images", ("a.jpg", photo))])
    assert (answer.status_code, answer.json()["type"]) == (503, "urn:fieldlens:not-answered")
    assert client.get("/readyz").status_code == 503
    assert "golden images" in client.get("/api/v1/status").json()["model"]["fault"]


def test_a_banner_stays_until_somebody_has_seen_it(station: Station) -> None:
    station.records.notify("changed-device", "the processor changed", "ask", "2026-11-27T00:00:00.000Z")
    client = client_of(station)
    (banner,) = client.get("/api/v1/banners").json()["banners"]
    path = f"/api/v1/banners/{banner['number']}/seen"
    assert client.post(path, json={"by": ""}).status_code == 422
    assert client.post(path, json={"by": "Ada"}).json()["seen_by"] == "Ada"
    assert client.post(path, json={"by": "Bo"}).json()["seen_by"] == "Ada", "the first one counts"
    assert client.get("/api/v1/banners").json()["banners"] == []
    assert len(client.get("/api/v1/banners?which=all").json()["banners"]) == 1
    assert client.post("/api/v1/banners/999/seen", json={"by": "Ada"}).status_code == 404


def test_grey_and_odd_images_are_answered_too(client: TestClient) -> None:
    grey = png(scene(5)[..., 0])
    small = jpeg(np.full((8, 8, 3), 128, np.uint8))
    items = predicted(client, ("grey.png", grey), ("small.jpg", small))["items"]
    assert all(item["result"] for item in items)


def test_a_list_has_few_of_a_thousand_classes_and_a_result_all(opened: Opened, tmp_path: Path, photo: bytes) -> None:
    names = [f"n{number:04}" for number in range(1000)]
    first = tiny_manifest().classes[0]
    classes = tuple(dataclasses.replace(first, id=name, display=name.upper()) for name in names)
    manifest = dataclasses.replace(tiny_manifest(), classes=classes, decision=None)
    client = client_of(opened(build_bundle(tmp_path / "large.bundle", manifest)))
    result = one(client, photo)
    assert (len(result["probabilities"]), len(result["top"])) == (1000, 3)
    (listed,) = client.get("/api/v1/results").json()["results"]
    assert len(listed["probabilities"]) == 10
    assert max(listed["probabilities"].items(), key=lambda item: item[1])[0] == result["top"][0]["id"]
    assert listed["top"] == result["top"]
    assert "p_n0999" in client.get("/api/v1/export.csv").text


@pytest.mark.parametrize("text", ["=1+1", "  =1+1", "a;=1+1", "a; @SUM(1)", ";-1", "＝1+1", "+44 20", "|calc"])
def test_no_cell_is_a_formula_wherever_a_spreadsheet_divides_the_line(
    client: TestClient, photo: bytes, text: str
) -> None:
    one(client, photo, operator=text)
    (row,) = csv.DictReader(io.StringIO(client.get("/api/v1/export.csv").text))
    assert row["operator"].replace("'", "") == text, "nothing is lost"
    for cell in [*row.values(), *row["operator"].split(";")]:
        assert cell.lstrip()[:1] not in set("=+-@|%＝")
