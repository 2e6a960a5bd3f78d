"""From a bare root to an answering device and back, over a real OpenSSH server."""

from __future__ import annotations

from pathlib import Path

from fieldlens.convert.delivery import operate
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
