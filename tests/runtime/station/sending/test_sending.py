"""What is queued arrives exactly once over any line, and nothing leaves the queue before the receiver proved it."""

from __future__ import annotations

import contextlib
import http.client
import io
import itertools
import json
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from fieldlens.runtime.cli import main
from fieldlens.runtime.errors import KitError
from fieldlens.runtime.station.clock import CLOCK
from fieldlens.runtime.station.housekeeping import Housekeeping, KeepingRules
from fieldlens.runtime.station.records import outbox
from fieldlens.runtime.station.records.audit_key import verify_log
from fieldlens.runtime.station.records.store import Records
from fieldlens.runtime.station.sending.package import package_of
from fieldlens.runtime.station.sending.sender import FIRST_PAUSE_S, LONGEST_PAUSE_S, Sender, pause_s
from fieldlens.runtime.station.sending.tus import Receiver, check_receiver
from fieldlens.runtime.station.serving import certificate
from fieldlens.runtime.station.station import Station
from tests.runtime.station.conftest import Opened, client_of
from tests.runtime.station.made_results import made
from tests.runtime.station.sending.bad_line import bad_line
from tests.runtime.station.sending.receiver import ReferenceReceiver, receiving

PACKAGES, PACKAGES_FULL = 20, 200
IMAGE_BYTES = 150_000
MOST_BYTES = 1.1


@pytest.fixture
def records(tmp_path: Path) -> Iterator[Records]:
    with contextlib.closing(Records(tmp_path / "data")) as records:
        yield records


@pytest.fixture
def receiver(tmp_path: Path) -> Iterator[ReferenceReceiver]:
    with receiving(tmp_path / "received") as server:
        yield server


def queue(records: Records, count: int, image_bytes: int = IMAGE_BYTES) -> list[str]:
    """Results with an image of noise each, as many bytes as a kept one has."""
    noise = np.random.default_rng(16)
    images = (noise.integers(0, 256, image_bytes, np.uint8).tobytes() for _ in range(count))
    return [records.add(made(f"P{n}"), [("view", image)], send=True).id for n, image in enumerate(images)]


def sender_of(records: Records, url: str, token: str = "") -> Sender:
    return Sender(records, Receiver(url, token), CLOCK, pause=lambda _: 0.0, start=False)


def whole(receiver: ReferenceReceiver, records: Records) -> dict[str, bytes]:
    """ID → bytes of what arrived; each is compared with what it is here."""
    found = {path.stem: path.read_bytes() for path in receiver.folder.glob("*.tar")}
    for id, data in found.items():
        result = records.one(id)
        assert result is not None
        assert data == package_of(result, records.files).data
    return found


def test_over_a_bad_line_each_arrives_exactly_once(
    records: Records, receiver: ReferenceReceiver, pytestconfig: pytest.Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    handed, send = [0], http.client.HTTPConnection.send

    def counted(self: http.client.HTTPConnection, data: bytes) -> None:
        handed[0] += len(data)
        send(self, data)

    monkeypatch.setattr(http.client.HTTPConnection, "send", counted)
    ids = queue(records, PACKAGES_FULL if pytestconfig.getoption("--full") else PACKAGES)
    with bad_line(receiver.server_address[1], seed=16) as line:
        sender = sender_of(records, line.url)
        for turns in itertools.count(1):
            sender.run_once()
            if not sender.state.waiting:
                break
            assert turns < 20 * len(ids), sender.state
    assert set(whole(receiver, records)) == set(ids)
    assert dict(receiver.arrived) == dict.fromkeys(ids, 1), "exactly once"
    assert set(line.seen) == {"none", "cut up", "cut down", "delay", "twice", "lie"}
    sizes = sum(path.stat().st_size for path in receiver.folder.glob("*.tar"))
    print(f"{len(ids)} packages, {sizes:,} bytes, {dict(line.seen)}, {turns} turns")
    print(f"on the line {line.up_bytes / sizes:.3f} times, handed to the system {handed[0] / sizes:.3f} times")
    assert line.up_bytes <= MOST_BYTES * sizes
    assert [row.event for row in records.audit_rows(500)].count("send") == len(ids)
    verify_log(records.folder, [])


def test_the_package_has_the_result_and_its_images(records: Records, receiver: ReferenceReceiver) -> None:
    (id,) = queue(records, 1, 1000)
    sender_of(records, receiver.url).run_once()
    with tarfile.open(fileobj=io.BytesIO(whole(receiver, records)[id])) as archive:
        assert archive.getnames() == ["result.json", "view.jpg"]
        stream = archive.extractfile("result.json")
        assert stream is not None
        sent = json.load(stream)
    assert (sent["format"], sent["result"]["subject"], sent["result"]["probabilities"]["sign"]) == (1, "P0", 0.9)


def test_a_receiver_that_has_other_bytes_never_gets_it_out_of_the_queue(
    records: Records, receiver: ReferenceReceiver
) -> None:
    (id,) = queue(records, 1, 100_000)
    with bad_line(receiver.server_address[1], 1, faults=("lie",)) as line:
        liar = sender_of(records, line.url)
        for _ in range(7):
            liar.run_once()
            assert liar.state.waiting == 1
        assert "other bytes" in liar.state.problem
    with bad_line(receiver.server_address[1], 1, faults=("none",)) as line:
        sender_of(records, line.url).run_once()
        assert line.up_bytes < 2000, "the bytes were right, so they are not sent again"
    assert records.queue().waiting == 0
    assert receiver.arrived == {id: 1}


def test_a_damaged_upload_is_sent_again_from_its_first_byte(records: Records, receiver: ReferenceReceiver) -> None:
    (id,) = queue(records, 1, 1000)
    package = package_of(result, records.files) if (result := records.one(id)) else None
    assert package is not None
    place = receiver.folder / f"{id}.json"
    place.write_text(json.dumps({"length": len(package.data), "sha256": package.sha256}))
    place.with_suffix(".part").write_bytes(b"x" * 500)
    sender = sender_of(records, receiver.url)
    for _ in range(4):
        sender.run_once()
    assert whole(receiver, records).keys() == {id}
    assert sender.state.waiting == 0


def test_a_start_goes_on_in_the_middle(records: Records, receiver: ReferenceReceiver) -> None:
    (id,) = queue(records, 1, 400_000)
    with bad_line(receiver.server_address[1], 2, faults=("cut up",), cut_before=300_000) as line:
        sender_of(records, line.url).run_once()
    time.sleep(0.1)
    held = (receiver.folder / f"{id}.part").stat().st_size
    result = records.one(id)
    assert result is not None
    length = len(package_of(result, records.files).data)
    assert 0 < held < length
    with bad_line(receiver.server_address[1], 3, faults=("none",)) as line:
        (waiting,) = _unsent(records)
        url = f"{line.url}{id}"
        records.change(lambda connection: outbox.began(connection, id, url, waiting.sha256))
        sender_of(records, line.url).run_once()
        assert line.up_bytes < length - held + 4_000
    assert whole(receiver, records).keys() == {id}


def test_what_the_receiver_has_is_not_sent_again(records: Records, receiver: ReferenceReceiver) -> None:
    (id,) = queue(records, 1, 100_000)
    sender_of(records, receiver.url).run_once()
    for url in (f"{receiver.url}{id}", ""):  # killed before the row was written; the records are of an old backup
        unsend(records, url)
        with bad_line(receiver.server_address[1], 1, faults=("none",)) as line:
            sender_of(records, line.url).run_once()
            assert line.up_bytes < 2000
    assert receiver.arrived[id] == 1
    assert records.queue().waiting == 0


def unsend(records: Records, url: str) -> None:
    statement = "UPDATE outbox SET sent_utc = NULL, upload_url = ?"
    records.change(lambda connection: connection.execute(statement, (url,)).rowcount)


def _unsent(records: Records) -> list[outbox.Waiting]:
    return records.change(outbox.unsent)


def test_a_receiver_that_is_away_costs_one_question(records: Records, receiver: ReferenceReceiver) -> None:
    queue(records, 3, 1000)
    receiver.ready = False
    sender = sender_of(records, receiver.url)
    for _ in range(3):
        sender.run_once()
    assert "not ready (HTTP 503)" in sender.state.problem
    receiver.ready = True
    sender.run_once()
    assert (sender.state.waiting, sender.state.problem) == (0, "")


def test_pauses_grow_and_end_growing() -> None:
    assert FIRST_PAUSE_S * 0.8 <= pause_s(1) <= FIRST_PAUSE_S * 1.2
    assert LONGEST_PAUSE_S * 0.8 <= pause_s(50) <= LONGEST_PAUSE_S * 1.2


def test_a_wrong_token_stops_nothing_else(records: Records, tmp_path: Path) -> None:
    queue(records, 2, 1000)
    with receiving(tmp_path / "closed", token="right") as receiver:
        wrong = sender_of(records, receiver.url, "wrong")
        wrong.run_once()
        assert "refused it (HTTP 401)" in wrong.state.problem
        sender_of(records, receiver.url, "right").run_once()
        assert len(whole(receiver, records)) == 2


def test_retention_never_deletes_what_is_unsent(records: Records, receiver: ReferenceReceiver) -> None:
    old = "2026-01-01T00:00:00.000Z"
    kept = records.add(made(created_utc=old), send=True).id
    gone = records.add(made(created_utc=old)).id
    house = Housekeeping(records, KeepingRules(days=30), CLOCK, start=False)
    house.tidy()
    assert (records.one(kept) is not None, records.one(gone)) == (True, None)
    sender_of(records, receiver.url).run_once()
    house.tidy()
    assert records.one(kept) is None


def test_a_person_who_is_forgotten_leaves_the_queue(records: Records, receiver: ReferenceReceiver) -> None:
    queue(records, 2, 1000)
    records.forget_subject("P0")
    assert records.queue().waiting == 1
    sender_of(records, receiver.url).run_once()
    assert len(whole(receiver, records)) == 1


@pytest.mark.parametrize(
    "url", ["http://receiver.example/", "ftp://x/", "https://", "https://user:secret@receiver.example/", "receiver"]
)
def test_only_https_goes_beyond_this_machine(url: str) -> None:
    with pytest.raises(KitError):
        check_receiver(Receiver(url))
    check_receiver(Receiver("https://receiver.example/files/"))


def test_a_receiver_with_a_certificate_of_its_own(records: Records, tmp_path: Path) -> None:
    files = certificate.make(tmp_path / "tls", ["127.0.0.1"])
    queue(records, 1, 1000)
    with receiving(tmp_path / "closed", tls=files) as receiver:
        stranger = sender_of(records, receiver.url)
        stranger.run_once()
        assert "certificate is not trusted" in stranger.state.problem
        assert stranger.state.waiting == 1
        trusted = Receiver(receiver.url, authority=files.certificate)
        Sender(records, check_receiver(trusted), CLOCK, start=False).run_once()
        assert records.queue().waiting == 0


def test_the_station_queues_what_it_answers_and_says_so(
    opened: Opened, receiver: ReferenceReceiver, photo: bytes, tmp_path: Path
) -> None:
    station: Station = opened(send=True, receiver=Receiver(receiver.url), rules=KeepingRules(images=True))
    client = client_of(station)
    client.post("/api/v1/predict", files=[("images", ("Jane Doe.jpg", photo))], data={"subject": "A-17"})
    assert station.sender is not None
    for _ in range(100):
        if not station.sender.state.waiting:
            break
        station.sender._ended.wait(0.05)
    sending = client.get("/api/v1/status").json()["sending"]
    assert (sending["host"], sending["waiting"], sending["problem"]) == ("127.0.0.1", 0, "")
    assert sending["last_sent_utc"]
    (data,) = whole(receiver, station.records).values()
    assert b"Jane" not in data
    assert "fieldlens_sending_waiting 0" in client.get("/metrics").text
    assert ("send", "127.0.0.1") in [(row.event, row.detail) for row in station.records.audit_rows(20)]
    assert client_of(opened(data=tmp_path / "other")).get("/api/v1/status").json()["sending"] is None


def test_a_stick_and_its_receipt(records: Records, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = queue(records, 2, 1000)
    stick = tmp_path / "stick"
    words = ["--data", str(records.folder)]
    assert main(["station", "packages", str(stick), *words]) == 0
    assert sorted(path.name for path in stick.iterdir()) == sorted([f"{first}.tar", f"{second}.tar"])
    assert records.queue().waiting == 2, "a stick is no receiver"
    one = records.one(first)
    assert one is not None
    right, wrong = package_of(one, records.files).sha256, "0" * 64
    (tmp_path / "receipt").write_text(
        f"{right}  in/{first}.tar\n{wrong}  {second}.tar\n{right}  {'a' * 32}.tar\nhello\n"
    )
    capsys.readouterr()
    assert main(["station", "packages", str(tmp_path / "receipt"), "--received", *words]) == 0
    assert capsys.readouterr().out.startswith("1 packages arrived and left the queue; 3 lines of others")
    assert [each.result_id for each in _unsent(records)] == [second]
    verify_log(records.folder, [])
