"""Every event is a row of the audit log; one subject can be deleted, and the log stays whole."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from fieldlens.runtime.cli import main
from fieldlens.runtime.errors import KitError
from fieldlens.runtime.station.housekeeping import KeepingRules
from fieldlens.runtime.station.records.audit_key import verify_log
from fieldlens.runtime.station.station import Station
from tests.runtime.station.conftest import Opened, client_of
from tests.runtime.station.made_results import made


def events(client: TestClient) -> list[str]:
    """Oldest first."""
    return [row["event"] for row in reversed(client.get("/api/v1/audit").json()["rows"])]


def test_what_happens_is_in_the_log(client: TestClient, station: Station, photo: bytes) -> None:
    id = client.post("/api/v1/predict", files=[("images", ("a.jpg", photo))]).json()["items"][0]["result"]["id"]
    for path in (f"results/{id}", f"results/{id}/image", f"results/{id}/heatmap", "results", "export.csv"):
        client.get(f"/api/v1/{path}")
    client.post(f"/api/v1/results/{id}/review", json={"agrees": True})
    number = station.records.notify("clock", "it jumped", "", "2026").number
    client.post(f"/api/v1/banners/{number}/seen", json={"by": "Ada"})
    client.post("/api/v1/subjects/forget", json={"subject": "A-17"})
    wanted = ["start", "result", "view", "view", "view", "view", "export", "review", "settings", "delete", "read-log"]
    assert events(client) == wanted
    about = {row["event"]: row["about"] for row in client.get("/api/v1/audit").json()["rows"]}
    assert about["result"] == about["review"] == id
    head = client.get("/api/v1/status").json()["audit_head"]
    assert str(verify_log(station.records.folder, [head])) == head


def test_an_export_ends_with_the_head(client: TestClient, station: Station) -> None:
    station.records.add(made())
    answer = client.get("/api/v1/export.csv")
    last = answer.text.splitlines()[1].rpartition(",")[2]
    assert last == answer.headers["X-Audit-Head"] == str(station.records.audit_head())


def test_what_cannot_be_logged_is_not_shown(client: TestClient, station: Station) -> None:
    station.records.add(made())
    station.records._write(lambda connection: connection.execute("ALTER TABLE audit RENAME TO gone").rowcount)
    assert client.get("/api/v1/results").status_code == 507


def test_one_subject_is_deleted_and_the_log_stays_whole(opened: Opened, photo: bytes) -> None:
    station = opened(rules=KeepingRules(images=True))
    client, folder = client_of(station), station.records.folder
    secret = "GONE-4711-SUBJECT"
    for subject in (secret, "B-2", secret):
        client.post("/api/v1/predict", files=[("images", ("a.jpg", photo))], data={"subject": subject})
    aside = folder / "records-before-schema-2.db"
    aside.write_bytes(secret.encode())
    assert client.post("/api/v1/subjects/forget", json={"subject": secret}).json() == {"results": 2}
    assert client.get("/api/v1/results").json()["total"] == 1
    assert len([path for path in (folder / "images").rglob("*") if path.is_file()]) == 2
    verify_log(folder, [])
    left = [path.name for path in folder.rglob("*") if path.is_file() and secret.encode() in path.read_bytes()]
    assert left == [], "in no byte of the folder, the log and the WAL among them"


def test_the_command_tells_what_was_changed(tmp_path: Path, opened: Opened, capsys: pytest.CaptureFixture[str]) -> None:
    data = tmp_path / "data"
    station = opened()
    head = str(station.records.audit_head())
    verify = ["station", "verify-audit", "--data", str(data)]
    assert main([*verify, "--head", head]) == 0
    assert head in capsys.readouterr().out
    station.records._write(lambda connection: connection.execute("DELETE FROM audit").rowcount)
    assert main(verify) == 0
    with pytest.raises(KitError, match="cut off"):
        main([*verify, "--head", head])
    (data / "audit.key").unlink()
    with pytest.raises(KitError, match="key cannot be read"):
        main(verify)


TAMPERINGS = {
    "one row edited": ("UPDATE audit SET who = 'nobody' WHERE number = 3", "row 3 is not what was written"),
    "one row deleted": ("DELETE FROM audit WHERE number = 3", "row 3 is missing"),
    "the end cut off": ("DELETE FROM audit WHERE number > 3", "its end was cut off"),
    "a time moved": ("UPDATE audit SET created_utc = '2026-01-01T00:00:00.000Z' WHERE number = 2", "row 2 is not"),
}


@pytest.mark.parametrize("tampering", TAMPERINGS)
def test_what_was_done_to_the_file_shows(tmp_path: Path, opened: Opened, tampering: str) -> None:
    station = opened()
    for _ in range(5):
        station.records.add(made())
    printed = client_of(station).get("/api/v1/status").json()["audit_head"]
    station.records.add(made())
    station.close()
    statement, said = TAMPERINGS[tampering]
    with contextlib.closing(sqlite3.connect(tmp_path / "data" / "records.db")) as connection, connection:
        assert connection.execute(statement).rowcount
    with pytest.raises(KitError, match=said):
        main(["station", "verify-audit", "--data", str(tmp_path / "data"), "--head", printed])
