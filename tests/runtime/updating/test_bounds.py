"""What grows on a device that nobody looks at for years: versions, caches, events, logs. Each has its end."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from fieldlens.runtime.bundle.open import open_bundle
from fieldlens.runtime.updating import memory, supervisor
from fieldlens.runtime.updating.layout import DeviceFolders
from tests.runtime.updating.device import updater


def cache(layout: DeviceFolders, kind: str, digest: str) -> Path:
    folder = layout.service_state / kind / digest[:16]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "file").touch()
    return folder


def test_an_old_version_takes_its_caches_along(layout: DeviceFolders, made: Path) -> None:
    hashes = [open_bundle(made / name).hash for name in "123"]
    caches = [[cache(layout, kind, digest) for kind in ("engines", "compiled", "selftest")] for digest in hashes]
    limits = cache(layout, "camera", hashes[0])
    for name in "123":
        updater(layout).install(made / name)
    assert sorted(path.name for path in (layout.bundles / "tiny").iterdir()) == ["2", "3"]
    assert [[path.exists() for path in each] for each in caches] == [[False] * 3, [True] * 3, [True] * 3]
    assert limits.exists(), "what a person measured stays"


def test_events_are_kept_in_two_files(layout: DeviceFolders, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "EVENTS_BYTES", 2000)
    layout.state.mkdir(parents=True)
    for number in range(100):
        memory.note(layout, "good", None, detail=str(number))
    sizes = [path.stat().st_size for path in layout.state.iterdir()]
    assert len(sizes) == 2
    assert sum(sizes) < 2 * 2000 + 500
    kept = [int(event["detail"]) for event in memory.events(layout)]
    assert kept == list(range(kept[0], 100)), "in order, and none lost between the two files"
    assert len(kept) > 2000 // 300


def test_a_log_is_bounded_while_the_service_writes_on(layout: DeviceFolders, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "LOG_BYTES", 1000)
    layout.log.parent.mkdir(parents=True)
    keeper = supervisor._Supervisor(layout)
    handle = os.open(layout.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for number in range(300):
        os.write(handle, f"line {number}\n".encode())
        keeper._bound_log()
    os.close(handle)
    old = layout.log.with_suffix(".log.1")
    assert layout.log.stat().st_size <= 1000
    assert old.stat().st_size <= 1100
    lines = (old.read_text() + layout.log.read_text()).splitlines()
    assert lines[-1] == "line 299"
    assert lines == [f"line {number}" for number in range(300 - len(lines), 300)]
