"""How devices serve: a page for others only with accounts and a certificate, then updated over TLS; or no page at all,
then updated by the signs of life of a run."""

from __future__ import annotations

import json
import ssl
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from fieldlens.cli import build_parser, main
from fieldlens.convert.delivery import operate
from fieldlens.convert.delivery.commands import settings_of
from fieldlens.convert.delivery.provision import Provision
from fieldlens.convert.delivery.remote import DeliveryFailed
from fieldlens.runtime.running.heartbeat import HeartbeatRecord
from fieldlens.runtime.updating.asking import ask, feel
from fieldlens.runtime.updating.configuring import Configuration
from fieldlens.runtime.updating.service import answer_of, service_of
from fieldlens.runtime.updating.settings import certificate_of, read_setup
from tests.convert.delivery.loopback import Loopback
from tests.runtime.conftest import jpeg, scene

PASSPHRASE = "purple monkey dishwasher"
EMPTY = HeartbeatRecord(0, "", "", "", 0.0, 0.0, 0, 0, None, "", None)


def configure(device: Loopback, **given: Any) -> None:
    Provision(device.remote, device.keys, setup=given, python=sys.executable).do()


def init(device: Loopback) -> None:
    """As the hint says it, on the device."""
    words = [device.remote.program, "station", "init", "--name", "localhost", "--data", str(device.layout.records)]
    done = subprocess.run(words, input=f"{PASSPHRASE}\n", capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_page_for_others_needs_accounts_first_and_then_updates_over_tls(device: Loopback, bundles: Path) -> None:
    """The whole way, in the order in which an engineer meets it."""
    with pytest.raises(DeliveryFailed, match="has no accounts and no certificate yet") as refused:
        configure(device, host="0.0.0.0")
    assert refused.value.reason == "no-accounts"
    assert "station init --name" in refused.value.hint
    assert read_setup(device.layout) == device.setup, "nothing was changed"

    init(device)
    configure(device, host="0.0.0.0")
    layout, setup = device.layout, read_setup(device.layout)
    assert (setup.host, setup.port, setup.precision) == ("0.0.0.0", device.setup.port, "fp32")
    assert setup.url == f"https://127.0.0.1:{device.setup.port}"
    device.push(bundles / "1")
    assert ask(device.setup.url) is None, "nothing is answered without TLS"

    certificate = certificate_of(layout)
    as_a_visitor = ssl.create_default_context(cafile=str(certificate))
    url = f"https://localhost:{setup.port}"
    with urllib.request.urlopen(f"{url}/readyz", context=as_a_visitor, timeout=5) as answer:
        assert json.loads(answer.read())["status"] == "ok"
    with pytest.raises(urllib.error.HTTPError, match="401"):
        urllib.request.urlopen(f"{url}/api/v1/status", context=as_a_visitor, timeout=5)

    assert device.push(bundles / "2").result["version"]["number"] == 2
    status = device.status()
    assert (status["service"]["answers"], status["service"]["as_linked"]) == (True, True)
    assert status["service"]["url"] == setup.url
    assert status["service"]["queue"] == 0, "its figures come over TLS, too"
    assert operate.rollback(device.remote)["version"]["number"] == 1

    _renewed_without_a_restart(device, certificate)


def _renewed_without_a_restart(device: Loopback, certificate: Path) -> None:
    """The file is another one than the station shows: nothing that it says counts, and the reason is said."""
    kept = certificate.read_bytes()
    other = device.layout.root / "other"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
         "-subj", "/CN=x", "-keyout", f"{other}.key", "-out", str(certificate)],
        check=True, capture_output=True,
    )  # fmt: skip
    answer = answer_of(device.layout)
    assert answer is not None
    assert not answer.ready
    assert "another certificate than" in answer.words
    certificate.write_bytes(kept)


def test_without_a_page_a_folder_is_classified(device: Loopback, bundles: Path) -> None:
    """The same device, after the page: its settings are changed there, as `provision --runtime` does it."""
    layout, first = device.layout, device.status()["current"]
    layout.inbox.mkdir(parents=True)
    Configuration(layout, service_of(layout)).apply({"runs": "runtime"})
    answer = answer_of(layout)
    assert answer is not None
    assert (answer.ready, answer.bundle_hash, answer.camera) == (True, first["hash"], "none")
    (layout.inbox / "eye.jpg").write_bytes(jpeg(scene(1)))
    device.wait(lambda: len(results(device)) == 1, "its image is answered")
    assert results(device)[0]["bundle_hash"] == first["hash"]

    second = device.push(bundles / "3").result["version"]
    (layout.inbox / "second.jpg").write_bytes(jpeg(scene(2)))
    device.wait(lambda: len(results(device)) == 2, "the new version answers the new image, and no old one again")
    assert results(device)[1]["bundle_hash"] == second["hash"]
    assert (layout.results / "results.jsonl").stat().st_mode & 0o077 == 0, "nobody else reads it"
    device.wait(lambda: (feel(layout.heartbeat)[1] or EMPTY).answered == 1, "its heartbeat has counted the image")
    service = device.status()["service"]
    assert (service["answers"], service["as_linked"], service["runs"], service["images"]) == (True, True, "runtime", 1)
    assert service["latency_p95_at_most_ms"] > 0
    assert service["last_image_age_s"] >= 0


def results(device: Loopback) -> list[dict[str, object]]:
    path = device.layout.results / "results.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def test_a_new_machine_is_told_what_comes_first(
    device: Loopback, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "new").mkdir()
    words = ["deploy", "provision", "device", "--root", str(tmp_path / "new"), "--unsigned", "--json"]
    words += ["--ssh-config", str(device.remote.config), "--python", sys.executable]
    for option, reason in ((("--listen", "0.0.0.0"), "no-accounts"), (("--power-mode", "0"), "no-jetson")):
        with pytest.raises(DeliveryFailed):
            main([*words, *option])
        assert json.loads(capsys.readouterr().out)["reason"] == reason
    assert not any((tmp_path / "new").iterdir()), "nothing was made there"


@pytest.mark.parametrize(
    ("words", "given"),
    [
        ([], {}),
        (["--camera", "v4l2://0"], {"camera": "v4l2://0", "folder": ""}),
        (["--runtime", "--watch", "/srv/in"], {"runs": "runtime", "folder": "/srv/in", "camera": ""}),
        (["--station"], {"runs": "station", "folder": ""}),
        (["--listen", "0.0.0.0", "--port", "8443"], {"host": "0.0.0.0", "port": 8443}),
        (["--power-mode", "0", "--no-jetson-clocks"], {"power_mode": 0, "jetson_clocks": False}),
    ],
)
def test_options_are_settings(words: list[str], given: dict[str, object]) -> None:
    arguments = build_parser().parse_args(["deploy", "provision", "clinic-7", *words])
    assert settings_of(arguments) == given


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--runtime", "--listen", "0.0.0.0"], "--listen belongs to a page"),
        (["--runtime", "--camera", "csi://0", "--watch", "/srv/in"], "has one of them"),
        (["--station", "--watch", "/srv/in"], "--watch belongs to --runtime"),
    ],
)
def test_options_that_do_not_go_together(words: list[str], message: str) -> None:
    arguments = build_parser().parse_args(["deploy", "provision", "clinic-7", *words])
    with pytest.raises(DeliveryFailed, match=message):
        settings_of(arguments)
