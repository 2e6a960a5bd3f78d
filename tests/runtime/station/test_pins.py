"""What runs is pinned: whatever decides an answer and changed is a banner until somebody has seen it."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import tarfile
from pathlib import Path

import pytest

from fieldlens.runtime.bundle.open import open_bundle
from fieldlens.runtime.bundle.promise import Promise
from fieldlens.runtime.site.record import SiteThreshold, approve
from fieldlens.runtime.station import pins
from fieldlens.runtime.station.pins import Pinned
from fieldlens.runtime.station.records.search import Filters
from fieldlens.runtime.station.records.table import table_lines
from fieldlens.runtime.station.sending.package import package_of
from tests.runtime.conftest import build_bundle, tiny_manifest
from tests.runtime.station.conftest import Opened, client_of

AS_BEFORE = {
    "backend": "tensorrt", "precision": "int8", "device": "NVIDIA Orin", "bundle": "tiny v2", "bundle_hash": "1" * 64,
    "threshold": "{'sign': 0.4}, band [0.3, 0.4]", "camera_limits": "{'brightness': [10, 240]}",
}  # fmt: skip


def test_the_first_start_says_nothing_and_the_second_neither(opened: Opened) -> None:
    for _ in range(2):
        station = opened()
        assert station.records.banners() == ()
        station.close()


@pytest.mark.parametrize("name", [field.name for field in dataclasses.fields(Pinned)])
def test_each_change_is_a_banner(opened: Opened, name: str) -> None:
    station = opened()
    station.records.remember("pinned", {**station.records.fact("pinned"), name: AS_BEFORE[name]})
    station.close()
    station = opened()
    (banner,) = station.records.banners()
    assert banner.kind == f"changed-{name.replace('_', '-')}"
    assert AS_BEFORE[name][:16] in banner.message
    station.close()
    station = opened()
    assert station.records.banners() == (banner,), "it stays until somebody has seen it"
    client = client_of(station)
    assert client.get("/api/v1/status").json()["banners"] == 1
    client.post(f"/api/v1/banners/{banner.number}/seen", json={"by": "Ada"})
    station.close()
    station = opened()
    assert station.records.banners() == ()
    assert [each.seen_by for each in station.records.banners(everything=True)] == ["Ada"]


def test_another_bundle_is_a_banner(opened: Opened, classifier_folder: Path) -> None:
    opened().close()
    station = opened(classifier_folder)
    banners = {banner.kind: banner.message for banner in station.records.banners()}
    assert banners.keys() == {"changed-bundle", "changed-threshold"}
    assert banners["changed-bundle"] == "the model changed: tiny v3 → general v3"


def test_a_clinics_own_threshold_holds_in_the_station_and_is_said(
    opened: Opened, bundle_folder: Path, tmp_path: Path, photo: bytes
) -> None:
    opened().close()
    promise = Promise("sensitivity", 0.95, 0.951, 0.9, 60, 60, 45)
    record = SiteThreshold(0.125, (0.125, 0.25), promise, "Dr Amina", "2026-11-27T09:00:00Z", 120, 60)
    approve(tmp_path / "state", open_bundle(bundle_folder), record)
    station = opened()
    assert [banner.kind for banner in station.records.banners()] == ["changed-threshold"]
    client = client_of(station)
    answer = client.post("/api/v1/predict", files={"images": ("a.jpg", photo)}).json()["items"][0]["result"]
    assert answer["threshold"] == 0.125
    assert answer["approval"] == {"approved_by": "Dr Amina", "approved_utc": "2026-11-27T09:00:00Z", "cases": 120}
    (row,) = station.records.all(Filters())
    (line,) = csv.DictReader(table_lines([row], ("sign",), "head"))
    assert line["threshold_from"] == "this clinic's own, approved by Dr Amina on 2026-11-27 on 120 cases"
    with tarfile.open(fileobj=io.BytesIO(package_of(row, station.records.files).data)) as package:
        sent = package.extractfile("result.json")
        assert sent is not None
        assert json.load(sent)["result"]["approval"] == answer["approval"]
    model = client.get("/api/v1/status").json()["model"]
    assert (model["threshold"], "approved by Dr Amina" in model["threshold_from"]) == (0.125, True)
    assert any("approved by Dr Amina" in note for note in model["notes"])


def test_other_contents_by_the_same_name_are_a_banner(opened: Opened, bundle_folder: Path, tmp_path: Path) -> None:
    opened().close()
    manifest = dataclasses.replace(tiny_manifest(), provenance={"recipe": "another"})
    station = opened(build_bundle(tmp_path / "same-name.bundle", manifest))
    (banner,) = station.records.banners()
    assert banner.kind == "changed-bundle-hash"
    assert station.model.bundle.hash[:16] in banner.message


def test_every_pin_has_words() -> None:
    assert set(pins._WORDS) == {field.name for field in dataclasses.fields(Pinned)} == set(AS_BEFORE)
