"""``station init``, ``account`` and ``token``; and a station that others reach, over TLS only."""

from __future__ import annotations

import http.client
import io
import json
import ssl
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from fieldlens.runtime.cli import main
from fieldlens.runtime.errors import KitError
from fieldlens.runtime.station.records.audit_key import verify_log
from fieldlens.runtime.station.serving import certificate
from tests.runtime.station.serving_station import serving

Said = Callable[..., str]
PASSPHRASE = "purple monkey dishwasher"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def station(data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Said:
    """Runs ``fieldlens station WORDS``; ``typed`` on standard input. What it printed."""

    def run(*words: object, typed: str = "") -> str:
        monkeypatch.setattr("sys.stdin", io.StringIO(f"{typed}\n"))
        assert main(["station", *map(str, words), "--data", str(data)]) == 0
        return capsys.readouterr().out

    return run


def test_accounts_from_the_first_to_the_last(station: Said, data: Path) -> None:
    said = station("init", "--name", "clinic.example", typed=PASSPHRASE)
    assert certificate.TlsFiles(data / "tls.crt", data / "tls.key").fingerprint in said
    assert (data / "tls.key").stat().st_mode & 0o077 == 0
    with pytest.raises(KitError, match="has an admin already"):
        station("init", "--name", "clinic.example", typed=PASSPHRASE)
    station("account", "Ada", typed="483920")
    assert station("account").split() == ["operator", "Ada", "admin", "admin"]
    station("account", "Ada", "--remove")
    with pytest.raises(KitError, match="last admin"):
        station("account", "admin", "--remove")
    token = station("token", "printer").strip()
    stored = [path.read_bytes() for path in data.iterdir() if path.is_file()]
    assert not [each for each in stored for secret in (token, PASSPHRASE) if secret.encode() in each]
    station("token", "printer", "--revoke")
    with pytest.raises(KitError, match="no such token"):
        station("token", "printer", "--revoke")
    assert verify_log(data, []).number == 5


def test_bad_words_make_nothing(station: Said, data: Path, tmp_path: Path) -> None:
    (tmp_path / "x").write_text("no certificate")
    for words, typed, said in (
        (("--name", "not a name"), PASSPHRASE, "not a host name"),
        (("--name", "a"), "short", "too short"),
        (("--name", "a", "--key", tmp_path / "x"), PASSPHRASE, "belong together"),
        (("--name", "a", "--key", tmp_path / "x", "--certificate", tmp_path / "x"), PASSPHRASE, "not a certificate"),
    ):
        with pytest.raises(KitError, match=said):
            station("init", *words, typed=typed)
    assert not (data / "tls.crt").exists()
    assert station("account") == ""


def test_beyond_this_machine_with_tls_and_a_login(
    station: Said, data: Path, bundle_folder: Path, tmp_path: Path
) -> None:
    station("init", "--name", "127.0.0.1", typed=PASSPHRASE)
    token = station("token", "machine", "--role", "admin").strip()
    trusting = ssl.create_default_context(cafile=str(data / "tls.crt"))
    with serving(bundle_folder, tmp_path, "--host", "0.0.0.0") as running:
        assert running.url.startswith("https://")
        url = f"https://127.0.0.1:{running.port}/api/v1/status"
        with pytest.raises(urllib.error.HTTPError, match="401"):
            urllib.request.urlopen(url, context=trusting)
        request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"})
        with urllib.request.urlopen(request, context=trusting) as answer:
            head = json.load(answer)["audit_head"]
        request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}", "Host": "evil.example"})
        with pytest.raises(urllib.error.HTTPError, match="403"):
            urllib.request.urlopen(request, context=trusting)
        with pytest.raises((http.client.RemoteDisconnected, ConnectionError, urllib.error.URLError)):
            urllib.request.urlopen(url.replace("https", "http"))
    verify_log(data, [head])
