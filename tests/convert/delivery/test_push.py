"""From a bare root to an answering device and back, over a real OpenSSH server."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from fieldlens.cli import main
from fieldlens.convert.delivery import operate
from fieldlens.convert.delivery.remote import DeliveryFailed
from fieldlens.runtime.boundary import run_cli
from tests.convert.delivery.loopback import Loopback


def test_provision_push_push_and_back(device: Loopback, bundles: Path) -> None:
    for number in (1, 2):
        done = device.push(bundles / str(number))
        assert done.result["version"]["number"] == number
        answer = device.answer()
        assert answer is not None
        assert answer.bundle_hash == done.result["version"]["hash"]
    assert done.sent_bytes < 10_000, "the second version shares its files with the first"
    status = device.status()
    assert (status["current"]["number"], status["before"]["number"], status["update"]) == (2, 1, "none")
    assert (status["service"]["answers"], status["service"]["as_linked"]) == (True, True)
    assert (status["selftest"]["place"], status["selftest"]["precision"]) == ("tiny/2", "fp32")
    assert operate.rollback(device.remote)["version"]["number"] == 1
    assert device.status()["current"]["number"] == 1
    assert operate.selftest(device.remote)["passed"]
    assert any("tiny 1.0 on onnxruntime" in line for line in operate.logs(device.remote, 50))


def deploy(device: Loopback, name: str, *more: str) -> int:
    way = ["--root", str(device.layout.root), "--ssh-config", str(device.remote.config)]
    return run_cli(lambda: main(["deploy", name, "device", *more, *way]))


def test_every_command_has_a_dry_run_and_speaks_json(
    device: Loopback, bundles: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing on the device changes, and standard output is one object."""
    keys = ["--keys", str(device.keys.folder)]
    report = tmp_path / "report.html"
    before = _state(device)
    for name, *more in (
        ("provision", *keys, "--python", device.python), ("push", str(bundles / "2")), ("rotate", *keys),
        ("release", *keys, "--python", device.python), ("rollback",), ("selftest",), ("bench", "--out", str(report)),
        ("remove",),
    ):  # fmt: skip
        assert deploy(device, name, *more, "--dry-run", "--json") == 0, name
        reported = json.loads(capsys.readouterr().out)
        assert (reported["ok"], reported["dry_run"]) == (True, True), name
        assert _state(device) == before, name
    assert not report.exists()


def _state(device: Loopback) -> dict[str, float]:
    """Everything but the service's own files, and the folder in which a push would arrive."""
    root = device.layout.root
    places = [place for name in ("opt", "etc", "var/lib/fieldlens/update") for place in (root / name).rglob("*")]
    return {str(place): place.lstat().st_mtime for place in places if place.is_file() and place.name != "incoming.lock"}


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("push", "device", "nowhere.bundle"), "usage"),
        (("provision", "device", "--port", "99999"), "usage"),
        (("provision", "device", "--camera", "front door"), "usage"),
        (("status", "device", "--ssh-config", "nowhere"), "usage"),
        (("status", "device", "--root", "here"), "usage"),
        (("status", "nobody.invalid"), "connection"),
        (("bench", "nobody.invalid", "--dry-run"), "connection"),
        (("remove", "nobody.invalid", "--dry-run"), "connection"),
        (("selftest", "nobody.invalid", "--dry-run"), "connection"),
    ],
)
def test_wrong_input_has_a_reason(
    words: tuple[str, ...], reason: str, capsys: pytest.CaptureFixture[str], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    assert run_cli(lambda: main(["deploy", *words, "--json"])) == 2
    said = capsys.readouterr()
    reported = json.loads(said.out)
    assert (reported["ok"], reported["reason"]) == (False, reason)
    assert reported["hint"]
    assert f"error: {reported['message']}" in said.err


@pytest.mark.full
def test_the_latency_report_is_measured(device: Loopback, tmp_path: Path) -> None:
    """A minute."""
    assert deploy(device, "bench", "--out", str(tmp_path / "report.html")) == 0
    assert "measured on its own" in (tmp_path / "report.html").read_text()


BENCHMARK = """#!/bin/sh
echo "$@" >"$(dirname "$0")/words"
while [ "$1" != --report ]; do shift; done
printf '<p>3.4 ms</p>' >"$2"
"""


def test_the_latency_report_is_fetched(device: Loopback, tmp_path: Path) -> None:
    """From a device whose program measures nothing."""
    program = tmp_path / "a root/opt/fieldlens/bin/fieldlens"
    program.parent.mkdir(parents=True)
    program.write_text(BENCHMARK)
    program.chmod(0o755)
    remote = dataclasses.replace(device.remote, root=str(tmp_path / "a root"))
    operate.bench(remote, tmp_path / "report.html")
    assert (tmp_path / "report.html").read_text() == "<p>3.4 ms</p>"
    words = (program.parent / "words").read_text()
    current = tmp_path / "a root/opt/fieldlens/bundles/current"
    assert words.startswith(f"classify {current}/golden --bundle {current} --state {tmp_path}/a root/var/lib/fieldlens")
    assert "--mode single-stream" in words
    measured = Path(words.partition("--report ")[2].strip())
    assert not measured.parent.exists(), "nothing is left there"
    program.write_text("#!/bin/sh\necho 'error: no bundle' >&2\nexit 2\n")
    with pytest.raises(DeliveryFailed, match="measuring: no bundle"):
        operate.bench(remote, tmp_path / "none.html")
    assert not (tmp_path / "none.html").exists()


def test_taken_off_again(device: Loopback) -> None:
    """The service ends, records stay; again is no failure."""
    results = device.layout.records / "kept"
    results.write_text("a patient's result")
    assert deploy(device, "remove") == 0
    assert device.answer() is None
    assert not (device.layout.root / "opt/fieldlens").exists()
    assert not device.layout.trust.exists()
    assert not device.layout.state.exists()
    assert results.read_text() == "a patient's result"
    assert deploy(device, "remove") == 0
    assert deploy(device, "status") == 2
    assert deploy(device, "remove", "--with-records") == 0
    assert not results.exists()
