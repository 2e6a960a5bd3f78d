"""How a service is asked: over TLS with its very own certificate, and by its signs of life."""

from __future__ import annotations

import dataclasses
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from fieldlens.runtime.files import atomic
from fieldlens.runtime.running.heartbeat import HeartbeatRecord, boot_s
from fieldlens.runtime.station.serving import certificate
from fieldlens.runtime.updating.asking import STILL_S, ask, feel
from tests.runtime.updating.test_service import VERSION, Station, _Handler

RECORD = HeartbeatRecord(1, VERSION.hash, "openvino", "int8", 0.0, 0.0, 7, 1, None, "live", 12.5)


@pytest.fixture(scope="module")
def station(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """Its URL, and its certificate, which is for another name than the address that is asked."""
    files = certificate.make(tmp_path_factory.mktemp("tls"), ["station.clinic.example"])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files.certificate, files.key)
    with Station(("127.0.0.1", 0), _Handler) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield f"https://127.0.0.1:{server.server_port}", files.certificate
        server.shutdown()
        thread.join()


def test_the_stations_own_certificate_is_enough(station: tuple[str, Path]) -> None:
    """Neither its names nor this device's clock matter: the certificate is compared, not believed."""
    answer = ask(*station)
    assert answer is not None
    assert (answer.ready, answer.bundle_hash) == (True, VERSION.hash)


def test_another_certificate_is_no_answer(station: tuple[str, Path], tmp_path: Path) -> None:
    other = certificate.make(tmp_path, ["station.clinic.example"])
    answer = ask(station[0], other.certificate)
    assert answer is not None
    assert not answer.ready
    assert "another certificate" in answer.words


@pytest.mark.parametrize("text", ["", "-----BEGIN CERTIFICATE-----\nno\n-----END CERTIFICATE-----\n"])
def test_a_damaged_certificate_is_no_answer(station: tuple[str, Path], tmp_path: Path, text: str) -> None:
    (tmp_path / "tls.crt").write_text(text)
    answer = ask(station[0], tmp_path / "tls.crt")
    assert answer is None or not answer.ready
    answer = ask(station[0], tmp_path / "absent")
    assert answer is None or not answer.ready


def lay(path: Path, beat_s: float) -> None:
    atomic.write_json(path, dataclasses.asdict(dataclasses.replace(RECORD, beat_s=beat_s)))


def test_signs_of_life(tmp_path: Path) -> None:
    path = tmp_path / "heartbeat.json"
    assert feel(path) == (None, None)
    lay(path, boot_s())
    answer, record = feel(path)
    assert answer is not None
    assert record is not None
    assert (answer.ready, answer.bundle_hash, answer.camera, record.answered) == (True, VERSION.hash, "live", 7)


@pytest.mark.parametrize("ago_s", [STILL_S + 1, -1000.0])
def test_a_run_that_is_still_is_dead(tmp_path: Path, ago_s: float) -> None:
    """One from before a restart of the machine has a beat that is yet to come."""
    lay(tmp_path / "heartbeat.json", boot_s() - ago_s)
    answer, _ = feel(tmp_path / "heartbeat.json")
    assert answer is not None
    assert not answer.ready
    assert answer.words.startswith("no sign of life")


def test_signs_that_cannot_be_read_are_said(tmp_path: Path) -> None:
    (tmp_path / "heartbeat.json").write_text("{")
    answer, _ = feel(tmp_path / "heartbeat.json")
    assert answer is not None
    assert not answer.ready
    assert "cannot be read" in answer.words
