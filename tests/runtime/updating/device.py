"""A device without a device: a scratch root, a pretended service, three versions of a tiny bundle."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fieldlens.runtime.bundle.manifest import Version
from fieldlens.runtime.bundle.open import open_bundle
from fieldlens.runtime.errors import KitError
from fieldlens.runtime.updating import memory, store
from fieldlens.runtime.updating.layout import DeviceFolders, InstalledVersion
from fieldlens.runtime.updating.updater import Updater
from tests.runtime.conftest import build_bundle, seal, tiny_manifest


class Supervisor:
    """Behind the interface of systemd: serves what ``current`` leads to when it is started, and ``sick`` never."""

    def __init__(self, layout: DeviceFolders, sick: tuple[int, ...] = ()) -> None:
        self.layout, self.sick, self.restarts = layout, sick, 0
        self.file = layout.root / "serving.json"

    def remember(self) -> None:
        return

    def restart(self) -> None:
        self.restarts += 1
        version = store.serving(self.layout)
        self.file.write_text(json.dumps(dataclasses.asdict(version) if version else None))

    def check(self, version: InstalledVersion) -> None:
        if version.number in self.sick or json.loads(self.file.read_text()) != dataclasses.asdict(version):
            raise KitError("it does not answer", "look at the logs")


def prove(folder: Path) -> None:
    open_bundle(folder)


def fail(folder: Path) -> None:
    raise KitError("golden image 3 differs", "build the bundle for this device")


def three_versions(folder: Path) -> Path:
    """``1``, ``2`` and ``3`` in ``folder``."""
    first = build_bundle(folder / "1", tiny_manifest())
    for number in (2, 3):
        copy = Path(shutil.copytree(first, folder / str(number)))
        seal(copy, dataclasses.replace(tiny_manifest(), version=Version(number, f"{number}.0")))
    seal(first, dataclasses.replace(tiny_manifest(), version=Version(1, "1.0")))
    return folder


def updater(layout: DeviceFolders, sick: tuple[int, ...] = (), proof: Callable[[Path], None] = prove) -> Updater:
    return Updater(layout, Supervisor(layout, sick), proof)


def number(layout: DeviceFolders) -> int | None:
    """The version that ``current`` leads to, every byte of it checked."""
    return open_bundle(layout.current).manifest.version.number if layout.current.is_symlink() else None


def events(layout: DeviceFolders) -> list[str]:
    return [event["event"] for event in memory.events(layout)]


def last_event(layout: DeviceFolders) -> dict[str, Any]:
    return memory.events(layout)[-1]


def serves(layout: DeviceFolders) -> int | None:
    """The number of the version that the service holds in memory, whatever the link says."""
    held = json.loads((layout.root / "serving.json").read_text())
    return None if held is None else int(held["number"])


def kept(layout: DeviceFolders) -> memory.Good:
    good = memory.load(memory.Good, layout.good)
    assert good is not None
    return good


def why(layout: DeviceFolders) -> memory.Returned:
    returned = memory.load(memory.Returned, layout.returned)
    assert returned is not None
    return returned
