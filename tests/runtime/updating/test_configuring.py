"""Settings of a device: what is refused, what is kept, and what comes back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fieldlens.runtime.errors import ConfigError, KitError
from fieldlens.runtime.files import atomic
from fieldlens.runtime.updating import configuring, memory
from fieldlens.runtime.updating.configuring import Configuration, PendingSettings
from fieldlens.runtime.updating.layout import DeviceFolders, InstalledVersion, UpdateRefused, UpdateReturned
from fieldlens.runtime.updating.recovery import alone
from fieldlens.runtime.updating.service import DeviceService
from fieldlens.runtime.updating.settings import StationSetup, read_setup, service_command
from tests.runtime.updating.device import events, updater


class PretendedService(DeviceService):
    """Notes what it served with; ``sick``: with these settings it does not answer."""

    def __init__(self, layout: DeviceFolders, sick: int = 0) -> None:
        super().__init__(layout, lambda: self.ports.append(read_setup(layout).port))
        self.ports: list[int] = []
        self._where, self._sick = layout, sick

    def remember(self) -> None:
        return

    def check(self, version: InstalledVersion) -> None:
        if read_setup(self._where).port == self._sick:
            raise KitError("it does not answer", "look at the logs")


def apply(layout: DeviceFolders, sick: int = 0, **given: Any) -> PretendedService:
    service = PretendedService(layout, sick)
    Configuration(layout, service).apply(given)
    return service


def test_what_is_given_goes_over_what_is_there(layout: DeviceFolders) -> None:
    atomic.write_json(layout.settings, {"keep_images": True, "camera": "v4l2://0"})
    assert apply(layout, port=8081).ports == [], "nothing serves yet"
    assert read_setup(layout) == StationSetup(port=8081, keep_images=True, camera="v4l2://0")
    assert memory.events(layout)[-1]["detail"] == "port: 8080 → 8081"


def test_the_service_starts_again_only_where_something_changed(layout: DeviceFolders, made: Path) -> None:
    updater(layout).install(made / "1")
    assert apply(layout, port=8081).ports == [8081]
    assert apply(layout, port=8081).ports == []


def test_settings_that_do_not_work_go(layout: DeviceFolders, made: Path) -> None:
    updater(layout).install(made / "1")
    with pytest.raises(UpdateReturned, match="the settings before are there again"):
        apply(layout, sick=9000, port=9000)
    assert not layout.settings.exists(), "there were none"
    assert not layout.pending_settings.exists()
    assert events(layout)[-1] == "settings-returned"
    apply(layout, port=8081)
    with pytest.raises(UpdateReturned):
        apply(layout, sick=9000, port=9000)
    assert read_setup(layout).port == 8081


def test_a_trial_that_was_cut_short_ends_before_the_next_start(layout: DeviceFolders) -> None:
    atomic.write_json(layout.settings, {"port": 9000})
    memory_of = PendingSettings(StationSetup(port=8081))
    with alone(layout):
        memory.save(layout.pending_settings, memory_of)
        assert not configuring.end_interrupted(layout), "who tries them lives"
    assert configuring.end_interrupted(layout)
    assert read_setup(layout).port == 8081
    assert not configuring.end_interrupted(layout)


@pytest.mark.parametrize(
    ("given", "reason", "words"),
    [
        ({"host": "clinic-7"}, "usage", "clinic-7 is not an address"),
        ({"port": 443}, "usage", "may not have port 443"),
        ({"folder": "/srv"}, "usage", "a station watches no folder"),
        ({"host": "0.0.0.0"}, "no-accounts", "no accounts and no certificate yet"),
        ({"runs": "runtime", "camera": "csi://0", "folder": "/srv"}, "usage", "not both"),
        ({"runs": "runtime", "folder": "in"}, "usage", "in is not absolute"),
        ({"runs": "runtime", "folder": "/no/such"}, "no-folder", "there is no folder /no/such"),
        ({"power_mode": 0}, "no-jetson", "no Jetson"),
    ],
)
def test_what_the_device_cannot_serve_with(
    layout: DeviceFolders, given: dict[str, Any], reason: str, words: str
) -> None:
    with pytest.raises(UpdateRefused, match=words) as refused:
        apply(layout, **given)
    assert refused.value.reason == reason
    assert not layout.settings.exists()


@pytest.mark.parametrize("given", [{"runs": "both"}, {"prot": 1}, {"port": "8080"}])
def test_what_is_no_setting(layout: DeviceFolders, given: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        apply(layout, **given)


def test_a_device_without_a_page_classifies_into_its_own_files(layout: DeviceFolders) -> None:
    apply(layout, runs="runtime", camera="csi://0", precision="int8")
    words = service_command(layout, "/bundle")
    assert words[2:6] == ["fieldlens", "classify", "--bundle", "/bundle"]
    assert words[-2:] == ["--", "csi://0"]
    assert str(layout.results / "results.jsonl") in words
    assert "--watch" not in words
    apply(layout, camera="")
    words = service_command(layout, "/bundle")
    assert words[-2:] == ["--", str(layout.inbox)]
    assert "--watch" in words
