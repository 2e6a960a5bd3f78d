"""The preview: always of the present, never held up; a stalled camera takes its last frame off the page."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import simplejpeg
from starlette.testclient import TestClient

from fieldlens.runtime.model import load
from fieldlens.runtime.sources.cameras.address import parse_address
from fieldlens.runtime.station.station import Station, StationSettings
from tests.fakes.mjpeg_camera import CYCLE, red
from tests.runtime.cameras import Filmed, camera
from tests.runtime.station.conftest import client_of

FPS = 30


@pytest.fixture(scope="module")
def filmed() -> Iterator[Filmed]:
    with camera(FPS) as filmed:
        yield filmed


@pytest.fixture
def station(filmed: Filmed, bundle_folder: Path, tmp_path: Path) -> Iterator[Station]:
    filmed.tell("ok")
    address = parse_address(filmed.url)
    opened = Station(
        StationSettings(tmp_path / "data"), lambda: load(bundle_folder, backend="fake", state=tmp_path / "s"), address
    )
    until(lambda: opened.camera is not None and opened.camera.state.state == "live")
    yield opened
    opened.close()


@pytest.fixture
def client(station: Station) -> TestClient:
    return client_of(station)


def until(true: Callable[[], bool], seconds: float = 15) -> float:
    """Wait; how long it took, in s."""
    began = time.monotonic()
    while not true():
        assert time.monotonic() - began < seconds, "never"
        time.sleep(0.02)
    return time.monotonic() - began


def number_in(jpeg: bytes) -> int:
    """Which of the test camera's frames it is, modulo CYCLE."""
    level = float(np.median(simplejpeg.decode_jpeg(jpeg)[..., 0].mean()))
    return int(np.argmin([abs(red(number) - level) for number in range(CYCLE)]))


def test_the_preview_is_fast_and_of_the_present(client: TestClient, filmed: Filmed) -> None:
    after, ages_ms, numbers, began = 0, [], [], time.monotonic()
    while time.monotonic() - began < 1.5:
        answer = client.get(f"/api/v1/preview?after={after}")
        assert answer.status_code == 200
        after = int(answer.headers["X-Frame"])
        numbers.append(after)
        ages_ms.append(float(answer.headers["X-Age-Ms"]))
        sent = max(filmed.sent)
        assert (sent - number_in(answer.content)) % CYCLE <= 12, "not older than 0.4 s"
    assert numbers == sorted(set(numbers)), "each frame once"
    assert len(numbers) / (time.monotonic() - began) >= 10, "frames a second"
    assert np.median(ages_ms) < 200


def test_a_slow_browser_gets_the_newest_frame_and_holds_nobody_up(client: TestClient, filmed: Filmed) -> None:
    first = int(client.get("/api/v1/preview").headers["X-Frame"])
    time.sleep(1.2)
    answer = client.get(f"/api/v1/preview?after={first}")
    assert int(answer.headers["X-Frame"]) > first + 10
    assert (max(filmed.sent) - number_in(answer.content)) % CYCLE <= 12


def test_a_capture_is_of_a_frame_taken_after_the_press(client: TestClient, station: Station) -> None:
    answer = client.post("/api/v1/capture", json={"subject": "A-17"})
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert (body["origin"], body["subject"]) == ("camera", "A-17")
    assert body["latency_ms"]["frame_age"] < 1000
    assert body["has_heatmap"]


@pytest.mark.parametrize("fault", ["silent", "frozen", "cut"])
def test_a_stalled_camera_shows_nothing_and_comes_back(
    client: TestClient, station: Station, filmed: Filmed, fault: str
) -> None:
    filmed.tell(fault)
    assert station.camera is not None
    until(lambda: client.get("/api/v1/preview").status_code == 503)
    answer = client.post("/api/v1/capture", json={})
    assert (answer.status_code, answer.json()["type"]) == (503, "urn:fieldlens:camera")
    assert client.get("/api/v1/status").json()["camera"]["state"] in ("stalled", "lost")
    assert client.get("/readyz").status_code == 200, "files can still be answered"
    assert client.get("/api/v1/results").json()["total"] == 0
    filmed.tell("ok")
    until(lambda: client.get("/api/v1/preview").status_code == 200)
    assert client.post("/api/v1/capture", json={}).status_code == 200


def test_a_camera_that_is_not_there_is_waited_for(bundle_folder: Path, tmp_path: Path) -> None:
    address = parse_address("http://127.0.0.1:9/none")
    station = Station(
        StationSettings(tmp_path / "data"), lambda: load(bundle_folder, backend="fake", state=tmp_path / "s"), address
    )
    client = client_of(station)
    until(lambda: client.get("/api/v1/status").json()["camera"]["state"] == "lost")
    answer = client.get("/api/v1/preview")
    assert (answer.status_code, answer.json()["type"]) == (503, "urn:fieldlens:camera")
    station.close()
