"""After an interruption, and with damaged records: a device starts, with the last version that proves itself."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

import pytest

from fieldlens.runtime.bundle.open import open_bundle
from fieldlens.runtime.errors import KitError
from fieldlens.runtime.updating import memory, store
from fieldlens.runtime.updating.layout import DeviceFolders, InstalledVersion, UpdateRefused, UpdateReturned
from fieldlens.runtime.updating.recovery import before_start
from fieldlens.runtime.updating.updater import Updater
from tests.runtime.updating.device import (
    Supervisor,
    events,
    fail,
    kept,
    last_event,
    number,
    prove,
    serves,
    updater,
    why,
)

DAMAGE = {
    "empty": b"",
    "half": b'{"version": {"na',
    "zeros": bytes(64),
    "another form": b'{"version": 3}',
    "no text": b"\xff\xfe",
}


def interrupted(layout: DeviceFolders, made: Path) -> InstalledVersion:
    """Version 1 is good; the link leads to version 2, the service serves it, and its updater was killed."""
    updater(layout).install(made / "1")
    version = store.add(layout, open_bundle(made / "2"), ())
    memory.save(layout.pending, memory.Pending(version, store.serving(layout)))
    store.point(layout, version)
    Supervisor(layout).restart()
    return version


@pytest.mark.parametrize("damage", DAMAGE, ids=lambda name: name.replace(" ", "-"))
@pytest.mark.parametrize("record", ["good", "pending", "both"])
def test_a_damaged_record_keeps_no_device_from_starting(
    layout: DeviceFolders, made: Path, record: str, damage: str
) -> None:
    interrupted(layout, made)
    for name in ("good", "pending") if record == "both" else (record,):
        getattr(layout, name).write_bytes(DAMAGE[damage])
    start = before_start(layout)
    assert number(layout) == 1, "the one that was good, not the one that was being tried"
    assert "version 1 proved itself here and serves" in start.notes[0]
    assert f"{'good' if record == 'both' else record}.json" in start.notes[0]
    assert (kept(layout).version.number, why(layout).reason) == (1, "damaged")
    assert last_event(layout)["event"] == "repaired"
    assert before_start(layout).notes == (), "once"
    assert updater(layout).install(made / "2").number == 2


def test_a_damaged_record_stays_beside_the_new_one(layout: DeviceFolders, made: Path) -> None:
    updater(layout).install(made / "1")
    layout.good.write_bytes(b"?")
    before_start(layout)
    assert layout.good.with_name("good.json.damaged").read_bytes() == b"?"


def test_the_highest_number_outlives_its_record(layout: DeviceFolders, made: Path) -> None:
    for step in (1, 2):
        updater(layout).install(made / str(step))
    updater(layout).rollback()
    layout.good.write_bytes(b"")
    before_start(layout)
    assert (number(layout), kept(layout).highest) == (1, {"tiny": 2})


def test_a_damaged_record_and_no_events(layout: DeviceFolders, made: Path) -> None:
    updater(layout).install(made / "1")
    layout.good.write_bytes(b"")
    layout.events.unlink()
    before_start(layout)
    assert number(layout) == 1


def test_a_damaged_record_of_starts_is_no_start_too_many(layout: DeviceFolders, made: Path) -> None:
    interrupted(layout, made)
    layout.starts.write_bytes(b"?")
    before_start(layout)
    assert number(layout) == 1


@pytest.mark.parametrize("damage", ["a byte", "the manifest", "the folder", "the link"])
def test_a_damaged_version_gives_way_to_the_one_before(layout: DeviceFolders, made: Path, damage: str) -> None:
    for step in (1, 2):
        updater(layout).install(made / str(step))
    folder = layout.bundles / "tiny/2"
    if damage == "a byte":
        (folder / "model.int8-cpu.onnx").write_bytes(b"\x08")
    elif damage == "the manifest":
        (folder / "manifest.json").write_bytes(b"{")
    elif damage == "the folder":
        shutil.rmtree(folder)
    else:
        layout.current.unlink()
    start = before_start(layout)
    expected = 2 if damage == "the link" else 1
    assert (number(layout), kept(layout).version.number) == (expected, expected)
    assert "proved itself here and serves" in start.notes[0]
    assert updater(layout).install(made / "2").number == 2, "the same bundle again repairs it"
    assert number(layout) == 2


def test_what_serves_must_prove_itself(layout: DeviceFolders, made: Path) -> None:
    """Whole bytes are not enough where the records are lost: the golden images decide."""
    for step in (1, 2):
        updater(layout).install(made / str(step))
    layout.good.write_bytes(b"")

    def only_one(folder: Path) -> None:
        if folder.name != "1":
            raise KitError("golden image 3 differs", "")

    before_start(layout, only_one)
    assert number(layout) == 1


def test_nothing_left_to_serve_is_said_and_the_next_update_helps(layout: DeviceFolders, made: Path) -> None:
    updater(layout).install(made / "1")
    (layout.bundles / "tiny/1/model.int8-cpu.onnx").write_bytes(b"\x08")
    with pytest.raises(UpdateRefused, match=r"no version on this device can serve.*does not match its hash") as refused:
        before_start(layout)
    assert refused.value.reason == "no-version"
    assert updater(layout).install(made / "1").number == 1
    assert number(layout) == 1


def test_lost_records_of_a_serving_device(layout: DeviceFolders, made: Path) -> None:
    """What serves counts as good: an update that fails goes back to it."""
    updater(layout).install(made / "1")
    shutil.rmtree(layout.state)
    with pytest.raises(UpdateReturned, match="version 1 serves again"):
        updater(layout, sick=(2,)).install(made / "2")
    assert number(layout) == 1


# ---------------------------------------------------------------- going back, whatever the disk does


def refuse_writing(monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    def refuse(*_: object) -> None:
        raise OSError(code, os.strerror(code), "state")

    monkeypatch.setattr("fieldlens.runtime.files.atomic.write_json", refuse)
    monkeypatch.setattr(Path, "symlink_to", refuse)


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EROFS])
def test_a_disk_that_takes_no_record_does_not_keep_the_new_version(
    layout: DeviceFolders, made: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    updater(layout).install(made / "1")
    service = Supervisor(layout)

    def check(version: InstalledVersion) -> None:
        if version.number == 2:
            refuse_writing(monkeypatch, code)
            raise KitError("it does not answer", "")

    monkeypatch.setattr(service, "check", check)
    with pytest.raises(UpdateReturned, match="it does not answer; tiny version 1 serves again"):
        Updater(layout, service, prove).install(made / "2")
    assert (number(layout), serves(layout)) == (1, 1)
    monkeypatch.undo()
    assert before_start(layout).folder == layout.current
    assert number(layout) == 1


def test_a_link_that_cannot_be_moved_is_moved_at_the_next_start(
    layout: DeviceFolders, made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    updater(layout).install(made / "1")
    point = store.point

    def stuck(folders: DeviceFolders, version: InstalledVersion | None) -> None:
        if version is not None and version.number == 1:
            raise OSError(errno.EROFS, "Read-only file system", "current")
        point(folders, version)

    monkeypatch.setattr(store, "point", stuck)
    with pytest.raises(UpdateReturned, match=r"cannot go back.*Read-only") as returned:
        updater(layout, sick=(2,)).install(made / "2")
    assert returned.value.reason == "cannot-go-back"
    start = before_start(layout)
    assert start.folder == layout.bundles / "tiny/1", "served from its folder as long as the link is stuck"
    assert "nothing can be written" in start.notes[0]
    monkeypatch.undo()
    before_start(layout)
    assert (number(layout), why(layout).reason) == (1, "health")


def test_a_disk_that_cannot_be_written_still_starts(
    layout: DeviceFolders, made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    updater(layout).install(made / "1")

    def refuse(_: Path) -> int:
        raise OSError(errno.EROFS, "Read-only file system", str(layout.lock))

    monkeypatch.setattr("fieldlens.runtime.updating.recovery.taken", refuse)
    start = before_start(layout)
    assert start.folder == layout.bundles / "tiny/1"
    assert "Read-only file system" in start.notes[0]


# ---------------------------------------------------------------- recovery without a restart


def test_recovery_restarts_the_service_before_the_marker_goes(layout: DeviceFolders, made: Path) -> None:
    """The updater died after the service had begun to serve the new version, and the machine goes on."""
    interrupted(layout, made)
    assert serves(layout) == 2
    service, seen = Supervisor(layout), list[bool]()
    restart = service.restart

    def watched() -> None:
        seen.append(layout.pending.exists())
        restart()

    service.restart = watched  # type: ignore[method-assign]
    Updater(layout, service, prove).recover()
    assert (number(layout), serves(layout), seen) == (1, 1, [True])
    assert not layout.pending.exists()


def test_recovery_of_a_sound_device_restarts_nothing(layout: DeviceFolders, made: Path) -> None:
    updater(layout).install(made / "1")
    service = Supervisor(layout)
    assert Updater(layout, service, prove).recover() is None
    assert service.restarts == 0


def test_going_back_is_not_one_start_too_many(layout: DeviceFolders, made: Path) -> None:
    """The starts of the version that failed do not count against the one that serves again."""
    updater(layout).install(made / "1")
    service = Supervisor(layout)
    restart = service.restart

    def as_systemd_does() -> None:
        before_start(layout)
        restart()

    service.restart = as_systemd_does  # type: ignore[method-assign]

    def check(version: InstalledVersion) -> None:
        if version.number == 2:
            for _ in range(2):
                as_systemd_does()
            raise KitError("it ends again and again", "")

    service.check = check  # type: ignore[method-assign]
    with pytest.raises(UpdateReturned, match="version 1 serves again"):
        Updater(layout, service, prove).install(made / "2")
    assert serves(layout) == 1


# ---------------------------------------------------------------- reasons and events


def test_every_refusal_is_an_event_with_its_reason(layout: DeviceFolders, made: Path, tmp_path: Path) -> None:
    updater(layout).install(made / "2")
    attempts = {
        "older": lambda: updater(layout).install(made / "1"),
        "damaged-bundle": lambda: updater(layout).install(tmp_path),
        "self-test": lambda: updater(layout, proof=fail).install(made / "3"),
    }
    for reason, attempt in attempts.items():
        with pytest.raises(UpdateRefused, match="the service was not touched") as refused:
            attempt()
        assert refused.value.reason == reason
        assert (last_event(layout)["event"], last_event(layout)["reason"]) == ("refused", reason)


def test_the_reason_of_a_health_check_is_kept(layout: DeviceFolders, made: Path) -> None:
    updater(layout).install(made / "1")
    service = Supervisor(layout)

    def check(version: InstalledVersion) -> None:
        if version.number == 2:
            raise UpdateRefused("camera", "the camera is not found any more", "")

    service.check = check  # type: ignore[method-assign]
    with pytest.raises(UpdateReturned) as returned:
        Updater(layout, service, prove).install(made / "2")
    assert (returned.value.reason, why(layout).reason, last_event(layout)["reason"]) == ("camera", "camera", "camera")


def test_an_interrupted_reinstallation_took_nothing_back(layout: DeviceFolders, made: Path) -> None:
    updater(layout).install(made / "1")
    version = kept(layout).version
    memory.save(layout.pending, memory.Pending(version, version))
    assert before_start(layout).notes == ()
    assert not layout.returned.exists()
    assert (number(layout), events(layout)) == (1, ["good", "good"])


def test_a_reinstalled_version_that_fails_once_says_what_happened(layout: DeviceFolders, made: Path) -> None:
    updater(layout).install(made / "1")
    service, answers = Supervisor(layout), iter((False, True))

    def check(version: InstalledVersion) -> None:
        if not next(answers):
            raise KitError("it does not answer", "")

    service.check = check  # type: ignore[method-assign]
    with pytest.raises(UpdateReturned, match="it does not answer; it was restarted and answers now: tiny version 1"):
        Updater(layout, service, prove).install(made / "1")
    assert (number(layout), kept(layout).version.number) == (1, 1)


def test_half_a_line_of_events_spoils_no_other(layout: DeviceFolders, made: Path) -> None:
    updater(layout).install(made / "1")
    with layout.events.open("ab") as file:
        file.write(b'{"event": "go')
    updater(layout).install(made / "2")
    assert events(layout) == ["good", "good"]
