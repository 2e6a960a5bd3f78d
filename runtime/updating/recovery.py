"""What brings a device back to the last good version: after a failed update, a kill, a power cut, a damaged record.

Everything here may be interrupted and done again. What cannot be written down does not keep a device from going back:
the link matters more than its record.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from fieldlens.runtime.errors import KitError
from fieldlens.runtime.files import atomic
from fieldlens.runtime.files.locks import taken
from fieldlens.runtime.updating import memory, store
from fieldlens.runtime.updating.layout import DeviceFolders, InstalledVersion, UpdateRefused
from fieldlens.runtime.updating.memory import Good, Pending, Returned, Starts

MOST_STARTS = 3
"""Of the service while one update is tried; a version that needs more is sick."""
Prove = Callable[[Path], None]
"""Runs the golden images of the bundle in a folder on this device. Raises KitError."""
Restart = Callable[[], None]
"""Lets the service begin with what ``current`` leads to. Raises KitError."""


def _nothing() -> None:
    """The restart of a service that is about to start anyway."""


def _bytes_only(_: Path) -> None:
    """The proof of a version whose bytes are proof enough."""


@dataclass(frozen=True)
class _Found:
    """The records as they are, damaged ones included."""

    good: Good | None
    pending: Pending | None
    faults: tuple[str, ...]

    @property
    def expected(self) -> InstalledVersion | None:
        """What ought to serve, as far as the records say."""
        if self.pending is not None and not self.finished:
            return self.pending.since
        return self.good.version if self.good else None

    @property
    def finished(self) -> bool:
        """The update that the marker names was good already: only the marker was left."""
        return self.good is not None and self.pending is not None and self.good.version == self.pending.to


def settle(layout: DeviceFolders, restart: Restart = _nothing, prove: Prove = _bytes_only) -> Returned | None:
    """End what was interrupted and repair what is damaged; what was taken back, if anything. The caller holds the lock.

    Raises UpdateRefused where no installed version is whole, and OSError where the link cannot be moved.
    """
    good, good_fault = memory.look(Good, layout.good)
    pending, pending_fault = memory.look(Pending, layout.pending)
    found = _Found(good, pending, tuple(filter(None, (good_fault, pending_fault))))
    if wrong := "; ".join(found.faults) or _what_is_wrong(layout, found):
        return _Repair(layout, found, wrong, prove).do(restart)
    return None if pending is None else _end_interrupted(layout, found, pending, restart)


def _what_is_wrong(layout: DeviceFolders, found: _Found) -> str:
    """Empty where the records and the disk agree, or where an interrupted update explains that they do not."""
    expected = found.expected
    if expected is not None:
        leads = store.leads_to(layout)
        astray = found.pending is None and leads != expected.place
        return store.fault(layout, expected) or (f"`current` led to {leads or 'nothing'}" if astray else "")
    lost = found.pending is None and store.leads_to(layout) and store.serving(layout) is None
    return "`current` led to a version that is not there" if lost else ""


def _end_interrupted(layout: DeviceFolders, found: _Found, pending: Pending, restart: Restart) -> Returned | None:
    if found.finished:
        memory.attempt(lambda: memory.note(layout, "good", pending.to, detail="finished after an interruption"))
        memory.forget(layout.pending)
        return None
    return go_back(layout, pending, "interrupted", "the device lost power, or the update was killed", restart)


def go_back(layout: DeviceFolders, pending: Pending, reason: str, detail: str, restart: Restart) -> Returned:
    """The reason first, then the link, the service, the marker: an interruption is finished by the next recovery.

    Raises OSError where the link cannot be moved; the marker stays then.
    """
    kept, _ = memory.look(Returned, layout.returned) if pending.going_back else (None, "")
    done = kept or Returned(pending.to, pending.since, reason, detail, time.time())
    if kept is None:
        memory.attempt(lambda: _write_down(layout, pending, done))
    store.point(layout, pending.since)
    memory.attempt(lambda: memory.forget(layout.starts))
    with contextlib.suppress(KitError):  # it serves the right version from its next start on
        restart()
    memory.attempt(lambda: memory.note(layout, "returned", pending.to, done.reason, done.detail))
    memory.attempt(lambda: memory.forget(layout.pending))
    return done


def _write_down(layout: DeviceFolders, pending: Pending, done: Returned) -> None:
    memory.save(layout.returned, done)
    memory.save(layout.pending, Pending(pending.to, pending.since, going_back=True))


class _Repair:
    """Serves the last version that proves itself, whatever the records say."""

    def __init__(self, layout: DeviceFolders, found: _Found, wrong: str, prove: Prove) -> None:
        self._layout, self._found, self._wrong, self._prove = layout, found, wrong, prove

    def do(self, restart: Restart) -> Returned:
        """Raises UpdateRefused where no version proves itself; the records are sound even then."""
        layout, was = self._layout, store.serving(self._layout)
        chosen = next(filter(self._proves, self._candidates(was)), None)
        if chosen is None:
            memory.attempt(self._set_aside)
            memory.attempt(lambda: memory.note(layout, "nothing-serves", was, "no-version", self._wrong))
            raise UpdateRefused(
                "no-version", f"no version on this device can serve: {self._wrong}",
                "install the bundle again: `fieldlens update BUNDLE`",
            )  # fmt: skip
        detail = f"{self._wrong}; {chosen.title} proved itself here and serves"
        done = Returned(None if was == chosen else was, chosen, "damaged", detail, time.time())
        memory.attempt(lambda: memory.save(layout.returned, done))
        if store.leads_to(layout) != chosen.place:
            store.point(layout, chosen)
        with contextlib.suppress(KitError):
            restart()
        memory.attempt(lambda: self._rewrite(chosen))
        memory.attempt(lambda: memory.note(layout, "repaired", chosen, "damaged", detail))
        return done

    def _candidates(self, was: InstalledVersion | None) -> list[InstalledVersion]:
        """What may serve, the most trusted first: what the records call good, then the events, then what lies there.

        What was taken back or is being tried comes last.
        """
        good, pending = self._found.good, self._found.pending
        known = [good.version if good else None, pending.since if pending else None, good.before if good else None]
        last, _ = memory.look(Returned, self._layout.returned)
        there = sorted(store.installed(self._layout), key=lambda each: -each.number)
        unique = dict.fromkeys([*known, *memory.once_good(self._layout), was, *there])
        tried = None if pending is None or self._found.finished else pending.to
        doubtful = {last.refused if last else None, tried}
        return sorted((each for each in unique if each), key=lambda each: each in doubtful and each not in known)

    def _proves(self, version: InstalledVersion) -> bool:
        if store.fault(self._layout, version):
            return False
        try:
            self._prove(self._layout.bundles / version.place)
        except KitError:
            return False
        return True

    def _rewrite(self, chosen: InstalledVersion) -> None:
        """Sound records again; the damaged ones stay beside them."""
        good = self._found.good or Good(chosen)
        highest = dict(good.highest)
        for version in (chosen, *memory.once_good(self._layout), *store.installed(self._layout)):
            highest[version.name] = max(version.number, highest.get(version.name, 0))
        self._set_aside()
        memory.save(self._layout.good, Good(chosen, good.before if good.before != chosen else None, highest))
        memory.forget(self._layout.pending)

    def _set_aside(self) -> None:
        for kind, path in ((Good, self._layout.good), (Pending, self._layout.pending)):
            if memory.look(kind, path)[1]:
                memory.set_aside(path)


@dataclass(frozen=True)
class ServiceStart:
    """What the service has to serve, and what must be said first."""

    folder: Path
    notes: tuple[str, ...] = ()


def before_start(layout: DeviceFolders, prove: Prove = _bytes_only) -> ServiceStart:
    """What has to run before each start of the service; where to find what it serves.

    A damaged record or version keeps no device from starting, and neither does a disk that cannot be written. Raises
    UpdateRefused: a new version that is tried starts too often, or no version here is whole.
    """
    try:
        with alone(layout):
            done = settle(layout, prove=prove)
            return ServiceStart(layout.current, () if done is None else (done.detail,))
    except OSError as error:
        return _as_it_is(layout, f"{error.filename or layout.bundles}: {error.strerror or error}")
    except UpdateRefused as error:
        if error.reason == "cannot-write":
            return _as_it_is(layout, error.message)
        if error.reason != "busy":
            raise
    return _count_start(layout)


def _count_start(layout: DeviceFolders) -> ServiceStart:
    """An updater lives and is looking at this start; only what is being tried may start too often."""
    pending, _ = memory.look(Pending, layout.pending)
    if pending is None or pending.going_back:
        return ServiceStart(layout.current)
    starts, _ = memory.look(Starts, layout.starts)
    count = (starts.count if starts else 0) + 1
    memory.attempt(lambda: memory.save(layout.starts, Starts(count)))
    if count > MOST_STARTS:
        raise UpdateRefused("restarts", f"the new version was started {count} times", "the updater goes back by itself")
    return ServiceStart(layout.current)


def _as_it_is(layout: DeviceFolders, why: str) -> ServiceStart:
    """A disk that cannot be written: the last good version is served from its own folder, wherever the link leads."""
    good, _ = memory.look(Good, layout.good)
    notes = (f"nothing can be written, and an update cannot be ended or begun: {why}",)
    if good is not None and not store.fault(layout, good.version):
        return ServiceStart(layout.bundles / good.version.place, notes)
    return ServiceStart(layout.current, notes)


@contextlib.contextmanager
def alone(layout: DeviceFolders) -> Iterator[None]:
    """Be the only updater of this device; the lock ends with the process. Raises UpdateRefused."""
    try:
        for folder in (layout.state, layout.bundles):
            make_lasting_folder(folder)
        handle = taken(layout.lock)
    except BlockingIOError:
        raise UpdateRefused("busy", "another update is running on this device", "wait until it has ended") from None
    except OSError as error:
        raise UpdateRefused(
            "cannot-write", f"{error.filename} cannot be written ({error.strerror})",
            "run it as root or as the owner of the device's folders, and check the disk: `fieldlens doctor`",
        ) from error  # fmt: skip
    try:
        yield
    finally:
        os.close(handle)


def is_updating(layout: DeviceFolders) -> bool:
    """Whether an updater lives now."""
    try:
        os.close(taken(layout.lock))
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def make_lasting_folder(folder: Path) -> None:
    """Make ``folder``, readable for all, so that a power cut afterwards does not lose it. Raises OSError."""
    missing = [each for each in (folder, *folder.parents) if not each.exists()]
    atomic.make_folder(folder, atomic.PUBLIC_FOLDER)
    for each in missing:
        atomic.fsync_folder(each.parent)
