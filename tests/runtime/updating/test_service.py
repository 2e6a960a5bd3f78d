"""The service seen from outside: what counts as an answer, and what the new version must not lose."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from fieldlens.runtime.files import atomic
from fieldlens.runtime.updating import service as service_module
from fieldlens.runtime.updating.asking import ask
from fieldlens.runtime.updating.layout import DeviceFolders, InstalledVersion, UpdateRefused
from fieldlens.runtime.updating.service import DeviceService

VERSION = InstalledVersion("tiny", 2, "a" * 64)


class Station(HTTPServer):
    """Answers ``/readyz`` with what a test puts here."""

    code, body = 200, {"status": "ok", "bundle_hash": VERSION.hash, "camera": "live"}


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        station = self.server
        assert isinstance(station, Station)
        self.send_response(station.code)
        self.end_headers()
        self.wfile.write(json.dumps(station.body).encode())

    def log_message(self, format: str, *args: object) -> None:
        return


@pytest.fixture
def station(layout: DeviceFolders) -> Iterator[Station]:
    with Station(("127.0.0.1", 0), _Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        atomic.write_json(layout.settings, {"port": server.server_port})
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def service(layout: DeviceFolders, monkeypatch: pytest.MonkeyPatch) -> DeviceService:
    monkeypatch.setattr(service_module, "CAMERA_S", 0.3)
    return DeviceService(layout, lambda: None, answer_s=0.3)


def reason(service: DeviceService) -> tuple[str, str]:
    with pytest.raises(UpdateRefused) as refused:
        service.check(VERSION)
    return refused.value.reason, refused.value.message


def test_the_right_version_answers(station: Station, service: DeviceService) -> None:
    service.remember()
    service.check(VERSION)


def test_a_camera_that_was_there_and_is_gone(station: Station, service: DeviceService) -> None:
    service.remember()
    station.body = {**station.body, "camera": "lost"}
    assert reason(service) == ("camera", "the camera that delivered images before does not with this version")


def test_a_camera_that_was_never_there(station: Station, service: DeviceService) -> None:
    station.body = {**station.body, "camera": "none"}
    service.remember()
    service.check(VERSION)


def test_another_version_answers(station: Station, service: DeviceService) -> None:
    station.body = {**station.body, "bundle_hash": "b" * 64}
    assert reason(service) == ("health", "the service answers with another bundle")


def test_a_service_that_is_not_ready_says_why(station: Station, service: DeviceService) -> None:
    station.code, station.body = 503, {"detail": "the disk is full"}
    assert reason(service) == ("health", "the service is not ready: the disk is full")


def test_nobody_answers(layout: DeviceFolders, service: DeviceService) -> None:
    atomic.write_json(layout.settings, {"port": 1})
    assert reason(service)[1].startswith("the service did not answer within")


@pytest.mark.parametrize("body", ["[]", "no JSON", ""])
def test_another_program_on_the_port_is_no_answer(station: Station, body: str) -> None:
    station.body = body  # type: ignore[assignment]
    answer = ask(f"http://127.0.0.1:{station.server_port}")
    assert answer is None or not answer.bundle_hash
