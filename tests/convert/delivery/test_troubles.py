"""What goes wrong on a device itself during a push, over SSH: said with its reason, and what served serves on."""

from __future__ import annotations

import dataclasses
import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fieldlens.cli import main
from fieldlens.convert.delivery.remote import DeliveryFailed
from fieldlens.runtime.boundary import run_cli
from fieldlens.runtime.files import atomic
from fieldlens.runtime.updating import memory
from tests.convert.delivery.loopback import Loopback
from tests.convert.delivery.shims import fault
from tests.runtime.cameras import Filmed, camera


@pytest.fixture(scope="module")
def filmed() -> Iterator[Filmed]:
    with camera(10) as running:
        yield running


@pytest.fixture(scope="module")
def serving(device: Loopback, bundles: Path, filmed: Filmed) -> Loopback:
    """Version 1 serves, with a camera that delivers images."""
    setup = dataclasses.replace(device.setup, camera=filmed.url)
    atomic.write_json(device.layout.settings, dataclasses.asdict(setup), atomic.PUBLIC)
    device.push(bundles / "1")
    device.wait(lambda: camera_of(device) == "live", "the camera is there")
    return device


def camera_of(device: Loopback) -> str:
    answer = device.answer()
    return answer.camera if answer else ""


def generation(device: Loopback) -> str:
    return (device.layout.run / "service").read_text()


def refused(serving: Loopback, bundle: Path, *, there: bool = True) -> DeliveryFailed:
    """The service is the very process that it was, and a reason that was found ``there`` is among the events."""
    before = generation(serving)
    with pytest.raises(DeliveryFailed) as failed:
        serving.push(bundle)
    assert generation(serving) == before
    status = serving.status()
    assert (status["current"]["number"], status["update"], status["service"]["as_linked"]) == (1, "none", True)
    assert status["faults"] == []
    event = memory.events(serving.layout)[-1]
    assert not there or (event["event"], event["reason"]) == ("refused", failed.value.reason)
    assert failed.value.hint
    return failed.value


def test_an_engine_that_cannot_be_built(serving: Loopback, bundles: Path) -> None:
    """TensorRT gives up while the old version serves."""
    setup = json.loads(serving.layout.settings.read_text())
    atomic.write_json(serving.layout.settings, {**setup, "backend": "", "precision": ""}, atomic.PUBLIC)
    try:
        with fault(serving.python, "tensorrt", "Error Code 10: no implementation for node Conv_7"):
            failed = refused(serving, bundles / "2")
    finally:
        atomic.write_json(serving.layout.settings, setup, atomic.PUBLIC)
    assert failed.reason == "engine"
    assert "tiny version 2 fails on this device: the engine cannot be built: " in failed.message
    assert "Conv_7" in failed.message


def test_a_disk_with_too_little_room(serving: Loopback, bundles: Path) -> None:
    """Seen before a file is sent: the device leaves 67 MB for results."""
    serving.line.bytes_up = 0
    with fault(serving.python, "little-room", "64"):
        failed = refused(serving, bundles / "2", there=False)
    assert "0.0 MB are free" in failed.message
    assert failed.reason == "disk-full"
    assert serving.line.bytes_up < 20_000


@pytest.mark.parametrize("place", ["/update/incoming/", "/opt/fieldlens/bundles/"])
def test_a_disk_that_fills_up_on_the_way(serving: Loopback, bundles: Path, place: str) -> None:
    with fault(serving.python, "full", place):
        failed = refused(serving, bundles / "3")
    assert failed.reason == "disk-full", failed.message
    assert "No space left on device" in failed.message
    assert "remove old results or bundles" in failed.hint


def test_a_camera_that_the_new_version_does_not_find(serving: Loopback, bundles: Path, filmed: Filmed) -> None:
    """It is away from the start of the new version on, and there again for the old one."""

    def when(is_so: Callable[[], bool], mode: str) -> None:
        end = time.monotonic() + 60
        while time.monotonic() < end and not is_so():
            time.sleep(0.005)
        filmed.tell(mode)

    def cut_and_go_on() -> None:
        when(serving.layout.pending.exists, "cut")
        when(serving.layout.returned.exists, "ok")

    cutter = threading.Thread(target=cut_and_go_on)
    cutter.start()
    with fault(serving.python, "impatient", "3.0"), pytest.raises(DeliveryFailed) as failed:
        serving.push(bundles / "2")
    cutter.join()
    assert failed.value.reason == "camera"
    assert "tiny version 2 did not work: the camera that delivered images before" in failed.value.message
    assert failed.value.message.endswith("tiny version 1 serves again")
    status = serving.status()
    assert (status["current"]["number"], status["service"]["as_linked"]) == (1, True)
    assert (status["returned"]["reason"], status["returned"]["refused"]["number"]) == ("camera", 2)
    serving.wait(lambda: camera_of(serving) == "live", "the camera is back")


def test_a_clock_in_1970_keeps_nothing_from_succeeding(
    serving: Loopback, bundles: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["deploy", "push", "device", str(bundles / "2"), "--root", str(serving.layout.root), "--ssh-config",
             str(serving.remote.config)]  # fmt: skip
    with fault(serving.python, "clock"):
        assert run_cli(lambda: main(words)) == 0
        status = serving.status()
    said = capsys.readouterr().out
    assert "device serves tiny version 2" in said
    assert "note: the device's clock is not set" in said
    assert (status["current"]["number"], status["service"]["as_linked"]) == (2, True)
    assert (status["clock"], status["time_utc"]) == ("clock not set", None)
    event = memory.events(serving.layout)[-1]
    assert (event["event"], event["clock_is_set"]) == ("good", False)
    assert event["at_s"] < 1e9
