"""Updates on a scratch root: what fails, at whatever point, leaves the last good version in place, and the reason."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import signal
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest

from fieldlens.runtime.bundle.manifest import Version
from fieldlens.runtime.bundle.open import open_bundle
from fieldlens.runtime.updating import memory, store
from fieldlens.runtime.updating.layout import DeviceFolders, InstalledVersion, UpdateRefused, UpdateReturned
from fieldlens.runtime.updating.recovery import MOST_STARTS, alone, before_start
from fieldlens.runtime.updating.updater import UNTOUCHED, Updater, refusal_of
from tests.runtime.conftest import seal, tiny_manifest
from tests.runtime.updating.device import Supervisor, events, fail, number, updater, why

CHANGES = {"os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.symlink", "os.chmod", "shutil.rmtree", "open"}
"""Audit events before something on the disk changes; ``open`` only where it is for writing."""


def test_two_updates_and_back(layout: DeviceFolders, made: Path) -> None:
    for step in (1, 2):
        assert updater(layout).install(made / str(step)).number == step
        assert number(layout) == step
    assert updater(layout).rollback().number == 1
    assert number(layout) == 1
    assert updater(layout).install(made / "2").number == 2  # no downgrade: it was the highest
    assert not layout.pending.exists()
    assert events(layout) == ["good", "good", "rollback", "good", "good"]


def test_old_versions_go_and_the_one_before_stays(layout: DeviceFolders, made: Path) -> None:
    for step in (1, 2, 3):
        updater(layout).install(made / str(step))
    left = sorted(path.name for path in layout.bundles.glob("*/*") if not path.parent.is_symlink())
    assert left == ["2", "3"]


def test_the_same_version_again_keeps_the_one_before(layout: DeviceFolders, made: Path) -> None:
    for step in (1, 2, 2):
        updater(layout).install(made / str(step))
    assert updater(layout).rollback().number == 1


def test_an_older_version_is_refused_unless_it_is_meant(layout: DeviceFolders, made: Path) -> None:
    updater(layout).install(made / "2")
    with pytest.raises(UpdateRefused, match="older") as refused:
        updater(layout).install(made / "1")
    assert (refused.value.reason, number(layout)) == ("older", 2)
    updater(layout).install(made / "1", allow_downgrade=True)
    assert number(layout) == 1
    assert events(layout) == ["good", "refused", "downgrade-allowed", "good"]


def test_one_changed_byte_is_refused(layout: DeviceFolders, made: Path, tmp_path: Path) -> None:
    updater(layout).install(made / "1")
    changed = Path(shutil.copytree(made / "2", tmp_path / "changed"))
    model = changed / "model.int8-cpu.onnx"
    model.write_bytes(model.read_bytes()[:-1] + b"\xff")
    with pytest.raises(UpdateRefused, match=r"does not match its hash.*not touched") as refused:
        updater(layout).install(changed)
    assert (refused.value.reason, number(layout)) == ("damaged-bundle", 1)
    assert events(layout) == ["good", "refused"]


def test_other_contents_under_the_number_that_serves(layout: DeviceFolders, made: Path, tmp_path: Path) -> None:
    updater(layout).install(made / "1")
    other = Path(shutil.copytree(made / "1", tmp_path / "other"))
    seal(other, dataclasses.replace(tiny_manifest(), version=Version(1, "one")))
    with pytest.raises(UpdateRefused) as refused:
        updater(layout).install(other)
    assert (refused.value.reason, number(layout)) == ("same-number", 1)


def test_a_failing_self_test_leaves_the_service_alone(layout: DeviceFolders, made: Path) -> None:
    updater(layout).install(made / "1")
    service = Supervisor(layout)
    with pytest.raises(UpdateRefused, match="golden image 3") as refused:
        Updater(layout, service, fail).install(made / "2")
    assert (refused.value.reason, number(layout), service.restarts) == ("self-test", 1, 0)


def test_a_full_disk(layout: DeviceFolders, made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    updater(layout).install(made / "1")
    monkeypatch.setattr(store, "SPARE_BYTES", 2**62)
    with pytest.raises(UpdateRefused, match="MB free") as refused:
        updater(layout).install(made / "2")
    assert (refused.value.reason, number(layout)) == ("disk-full", 1)


def test_a_version_that_does_not_answer_is_taken_back(layout: DeviceFolders, made: Path) -> None:
    updater(layout).install(made / "1")
    with pytest.raises(UpdateReturned, match="version 1 serves again"):
        updater(layout, sick=(2,)).install(made / "2")
    assert number(layout) == 1
    gone = why(layout)
    assert gone.refused is not None
    assert (gone.refused.number, gone.reason, gone.detail) == (2, "health", "it does not answer")
    assert json.loads((layout.root / "serving.json").read_text())["number"] == 1


def test_a_first_version_that_does_not_answer_leaves_nothing(layout: DeviceFolders, made: Path) -> None:
    with pytest.raises(UpdateReturned, match="nothing serves, as before"):
        updater(layout, sick=(1,)).install(made / "1")
    assert number(layout) is None


def test_one_update_at_a_time(layout: DeviceFolders, made: Path) -> None:
    with alone(layout), pytest.raises(UpdateRefused) as refused:
        updater(layout).install(made / "1")
    assert refused.value.reason == "busy"


def test_a_version_that_starts_again_and_again_is_held(layout: DeviceFolders) -> None:
    version = InstalledVersion("tiny", 2, "0" * 64)
    with alone(layout):
        memory.save(layout.pending, memory.Pending(version, None))
        for _ in range(MOST_STARTS):
            before_start(layout)
        with pytest.raises(UpdateRefused) as refused:
            before_start(layout)
    assert refused.value.reason == "restarts"


def test_a_clock_in_1970(layout: DeviceFolders, made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fieldlens.runtime.updating.memory.time.time", lambda: 12.0)
    updater(layout).install(made / "1")
    assert json.loads(layout.events.read_text())["clock_is_set"] is False


# ---------------------------------------------------------------- kill -9 and power cuts


def killed(change: int, root: Path, work: Callable[[], object]) -> bool:
    """Do ``work`` in a child that SIGKILLs itself before its ``change``-th change below ``root``; whether it came so
    far."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        left = [change]

        def watch(event: str, arguments: tuple[object, ...]) -> None:
            if event not in CHANGES or (event == "open" and not _writes(arguments)):
                return
            left[0] -= 1
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(watch)
        try:
            work()
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status)


def _writes(arguments: tuple[object, ...]) -> bool:
    flags = arguments[2] if len(arguments) > 2 else 0
    return isinstance(flags, int) and bool(flags & (os.O_WRONLY | os.O_RDWR))


def check_state(layout: DeviceFolders, allowed: set[int], case: str) -> None:
    """As after a reboot: recovery runs before the service, then one whole version serves, and the records say which."""
    before = memory.load(memory.Pending, layout.pending)
    before_start(layout)
    service = Supervisor(layout)
    service.restart()
    found = number(layout)
    assert found in allowed, case
    assert json.loads(service.file.read_text())["number"] == found, case
    good = memory.load(memory.Good, layout.good)
    assert good is not None, case
    assert good.version.number == found, case
    assert not layout.pending.exists(), case
    if before is not None and found != before.to.number:
        assert why(layout).reason in ("interrupted", "health"), case


@pytest.mark.parametrize("outcome", ["good", "sick"])
def test_a_kill_before_every_change_on_the_disk(made: Path, tmp_path: Path, outcome: str) -> None:
    sick = (2,) if outcome == "sick" else ()
    start = DeviceFolders(tmp_path / "start")
    updater(start).install(made / "1")
    change, cut = 0, True
    while cut:
        change += 1
        layout = DeviceFolders(Path(shutil.copytree(start.root, tmp_path / "root", symlinks=True)))
        cut = killed(change, layout.root, lambda: updater(layout, sick).install(made / "2"))  # noqa: B023
        check_state(layout, {1} if sick else {1, 2}, f"killed before change {change}")
        assert updater(layout).install(made / "2").number == 2, f"again, after change {change}"
        shutil.rmtree(layout.root)
    assert change > 30


def test_a_kill_during_the_recovery_itself(made: Path, tmp_path: Path) -> None:
    start = DeviceFolders(tmp_path / "start")
    updater(start).install(made / "1")
    version = store.add(start, open_bundle(made / "2"), ())
    memory.save(start.pending, memory.Pending(version, store.serving(start)))
    store.point(start, version)
    change, cut = 0, True
    while cut:
        change += 1
        layout = DeviceFolders(Path(shutil.copytree(start.root, tmp_path / "root", symlinks=True)))
        cut = killed(change, layout.root, lambda: before_start(layout))  # noqa: B023
        check_state(layout, {1}, f"killed before change {change} of the recovery")
        shutil.rmtree(layout.root)
    assert change > 5


def test_a_camera_that_is_gone_for_good_is_no_fault_of_the_version(layout: DeviceFolders, made: Path) -> None:
    """The device goes back, and says that going back did not help."""
    updater(layout).install(made / "1")
    service = Supervisor(layout)

    def check(version: InstalledVersion) -> None:
        raise UpdateRefused("camera", "the camera that delivered images before does not with this version", "")

    service.check = check  # type: ignore[method-assign]
    with pytest.raises(UpdateReturned, match=r"tiny version 1 serves again, and has no image .*look at the camera$"):
        Updater(layout, service, lambda folder: None).install(made / "2")
    assert number(layout) == 1


def test_what_was_taken_back_is_not_called_untouched(layout: DeviceFolders, made: Path) -> None:
    updater(layout).install(made / "1")
    with pytest.raises(UpdateReturned) as returned:
        updater(layout, sick=(2,)).install(made / "2")
    assert refusal_of(returned.value) is returned.value
    assert UNTOUCHED not in returned.value.message
