"""A power cut between any two file operations of an update leaves a device that starts and answers."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

import pytest

from fieldlens.runtime.errors import KitError
from fieldlens.runtime.updating import memory
from fieldlens.runtime.updating.layout import DeviceFolders
from fieldlens.runtime.updating.recovery import before_start
from tests.runtime.updating.device import Supervisor, number, serves, updater
from tests.runtime.updating.power_cut import Recorder, after_a_cut

KINDS = ("everything", "synced", "mixed-1")
MORE_KINDS = tuple(f"mixed-{number}" for number in range(2, 12))


def replay(
    layout: DeviceFolders, work: Callable[[], object], check: Callable[[DeviceFolders, str], None], kinds: Iterable[str]
) -> int:
    """Record ``work``; call ``check`` for each different disk that a cut could leave. How many there were."""
    recorder, seen = Recorder(layout.root), set[str]()
    with recorder.recording(), suppress(KitError):
        work()
    for index, moment in enumerate(recorder.moments):
        for kind in kinds:
            after = DeviceFolders(layout.root.with_name("after"))
            digest = after_a_cut(moment, after.root, kind)
            if digest not in seen:
                seen.add(digest)
                check(after, f"before operation {index} ({moment.operation}), {kind}")
    return len(seen)


def starts_and_answers(after: DeviceFolders, case: str, allowed: tuple[int, ...]) -> None:
    try:
        before_start(after)
    except KitError as error:
        raise AssertionError(f"{case}: {error.message}") from error
    service = Supervisor(after)
    service.restart()
    found = number(after)
    assert found in allowed, case
    assert serves(after) == found, case
    assert not after.pending.exists(), case
    good = memory.load(memory.Good, after.good)
    assert good is None or good.version.number == found, case
    assert updater(after).install(after.root.parent / "made/3").number == 3, case


@pytest.mark.parametrize(("outcome", "allowed"), [("good", (1, 2)), ("sick", (1,)), ("back", (1, 2))])
def test_a_power_cut_between_any_two_operations(
    layout: DeviceFolders, made: Path, tmp_path: Path, outcome: str, allowed: tuple[int, ...],
    monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest,
) -> None:  # fmt: skip
    (tmp_path / "made").symlink_to(made)
    updater(layout).install(made / "1")
    if outcome == "back":
        updater(layout).install(made / "2")

    def work() -> object:
        if outcome == "back":
            return updater(layout).rollback()
        return updater(layout, sick=(2,) if outcome == "sick" else ()).install(made / "2")

    def check(after: DeviceFolders, case: str) -> None:
        with monkeypatch.context() as quick:
            quick.setattr("os.fsync", lambda _: None)
            starts_and_answers(after, case, allowed)

    kinds = (*KINDS, *MORE_KINDS) if request.config.getoption("--full") else KINDS
    states = replay(layout, work, check, kinds)
    assert states >= 15


def test_a_disk_without_our_syncs_would_be_seen(
    layout: DeviceFolders, made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The model can fail: without fsync, a cut leaves files that are empty, which no recovery can make whole."""
    updater(layout).install(made / "1")
    recorder = Recorder(layout.root)
    with recorder.recording():
        monkeypatch.setattr("os.fsync", lambda _: None)
        updater(layout).install(made / "2")
    after = DeviceFolders(layout.root.with_name("after"))
    after_a_cut(recorder.moments[-1], after.root, "synced")
    assert not (after.bundles / "tiny/2").exists()
