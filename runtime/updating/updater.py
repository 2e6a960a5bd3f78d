"""The update itself: prove, mark, switch, look whether it answers; and back to the last good version otherwise.

The order makes every interruption safe. The marker is written before the link moves, and the new version counts as good
before the marker goes. So a marker without a living updater means: interrupted, go back (:func:`recover`).
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

from fieldlens.runtime.bundle.open import open_bundle
from fieldlens.runtime.errors import KitError
from fieldlens.runtime.files import atomic
from fieldlens.runtime.files.locks import taken
from fieldlens.runtime.updating import memory, store
from fieldlens.runtime.updating.layout import DeviceFolders, InstalledVersion, UpdateRefused, UpdateReturned, version_of
from fieldlens.runtime.updating.memory import Good, Pending, Returned, Starts

MOST_STARTS = 3
"""Of the service while one update is tried; a version that needs more is sick."""


class Service(Protocol):
    """The program that serves ``current``. Both raise KitError, which takes an update back."""

    def restart(self) -> None:
        """Begin to serve what ``current`` leads to now."""

    def check(self, version: InstalledVersion) -> None:
        """Wait until the service answers with ``version``."""


Prove = Callable[[Path], None]
"""Runs the golden images of the bundle in a folder on this device. Raises KitError."""


class Updater:
    """Changes the version that a device serves. One at a time: a second one is refused."""

    def __init__(self, layout: DeviceFolders, service: Service, prove: Prove) -> None:
        self._layout, self._service, self._prove = layout, service, prove

    def install(self, source: Path, *, allow_downgrade: bool = False) -> InstalledVersion:
        """Install the bundle in ``source`` and serve it. The version that serves now stays until the new one answers.

        Raises UpdateRefused (the service was not touched), UpdateReturned (the last good version serves again), and
        SignatureRefused and BundleError for the bundle itself.
        """
        with alone(self._layout):
            self._recover()
            bundle = open_bundle(source)
            good = memory.load(Good, self._layout.good)
            since = good.version if good else None
            version = version_of(bundle)
            down = self._check_order(version, good, allow_downgrade)
            store.add(self._layout, bundle, since)
            self._prove_it(version)
            if down:
                memory.note(self._layout, "downgrade-allowed", version)
            self._try(version, since)
            now = memory.load(Good, self._layout.good)
            store.prune(self._layout, (version, now.before if now else since))
            return version

    def rollback(self) -> InstalledVersion:
        """Serve the good version before this one again. Raises as :meth:`install`."""
        with alone(self._layout):
            self._recover()
            good = memory.load(Good, self._layout.good)
            if good is None or good.before is None or not store.lies_whole(self._layout, good.before):
                raise UpdateRefused("no-version-before", "there is no earlier version to go back to", "push a bundle")
            memory.note(self._layout, "rollback", good.before)
            self._prove_it(good.before)
            self._try(good.before, good.version)
            return good.before

    def recover(self) -> Returned | None:
        """End an update that was interrupted, and restart the service where it may serve the wrong version."""
        with alone(self._layout):
            return self._recover()

    def _recover(self) -> Returned | None:
        gone_back = finish_interrupted(self._layout)
        if gone_back is not None:
            with contextlib.suppress(KitError):  # it serves the right version from its next start on
                self._service.restart()
        return gone_back

    def _check_order(self, version: InstalledVersion, good: Good | None, allow_downgrade: bool) -> bool:
        """Whether this is a downgrade. Numbers only grow, over everything that was ever good here."""
        highest = good.highest.get(version.name, -1) if good else -1
        if version.number >= highest:
            return False
        if not allow_downgrade:
            memory.note(self._layout, "refused", version, "older")
            raise UpdateRefused(
                "older", f"{version.title} is older than {highest}, which this device had",
                "push a newer bundle; --allow-downgrade goes back on purpose, and is recorded",
            )  # fmt: skip
        return True

    def _prove_it(self, version: InstalledVersion) -> None:
        try:
            self._prove(self._layout.bundles / version.place)
        except KitError as error:
            memory.note(self._layout, "refused", version, "self-test", error.message)
            raise UpdateRefused(
                "self-test", f"{version.title} fails on this device: {error.message}; the service was not touched",
                error.hint,
            ) from error  # fmt: skip

    def _try(self, version: InstalledVersion, since: InstalledVersion | None) -> None:
        layout = self._layout
        memory.forget(layout.starts)
        memory.save(layout.pending, Pending(version, since))
        try:
            store.point(layout, version)
            self._service.restart()
            self._service.check(version)
        except (KitError, OSError) as error:
            self._go_back(Pending(version, since), str(error))
        self._count_as_good(version, since)

    def _count_as_good(self, version: InstalledVersion, since: InstalledVersion | None) -> None:
        before = memory.load(Good, self._layout.good)
        highest = dict(before.highest) if before else {}
        highest[version.name] = max(version.number, highest.get(version.name, 0))
        keeps = before.before if before and since == version else since
        memory.save(self._layout.good, Good(version, keeps, highest))
        memory.forget(self._layout.pending)
        memory.note(self._layout, "good", version)

    def _go_back(self, pending: Pending, why: str) -> None:
        _return(self._layout, pending, "health", why)
        to = pending.since
        answers = "nothing serves, as before" if to is None else f"{to.title} serves again"
        try:
            self._service.restart()
            if to is not None:
                self._service.check(to)
        except KitError as error:
            answers = f"the device went back, but the service does not answer ({error.message})"
        raise UpdateReturned(
            "health", f"{pending.to.title} did not work: {why}; {answers}", "`fieldlens device status` keeps the reason"
        )


def finish_interrupted(layout: DeviceFolders) -> Returned | None:
    """Bring ``current`` to the last good version after a kill or a power cut; what was taken back, if anything.

    The caller holds the lock. Doing it twice, or being interrupted on the way, changes nothing.
    """
    pending = memory.load(Pending, layout.pending)
    if pending is None:
        return None
    good = memory.load(Good, layout.good)
    if good is not None and good.version == pending.to and pending.to != pending.since:
        memory.forget(layout.pending)  # it was good already: only the marker was left
        return None
    return _return(layout, pending, "interrupted", "the device lost power, or the update was killed")


def _return(layout: DeviceFolders, pending: Pending, reason: str, detail: str) -> Returned:
    """The reason first, then the link, then the marker: an interruption here is finished by the next recovery."""
    if pending.going_back and (kept := memory.load(Returned, layout.returned)) is not None:
        done = kept  # the recovery was interrupted: the first reason is the true one
    else:
        done = Returned(pending.to, pending.since, reason, detail, time.time())
        memory.save(layout.returned, done)
        memory.save(layout.pending, Pending(pending.to, pending.since, going_back=True))
    store.point(layout, pending.since)
    memory.note(layout, "returned", pending.to, done.reason, done.detail)
    memory.forget(layout.pending)
    return done


def before_start(layout: DeviceFolders) -> Returned | None:
    """What has to run before each start of the service. Raises UpdateRefused where a new version starts too often."""
    try:
        with alone(layout):
            return finish_interrupted(layout)
    except UpdateRefused as error:
        if error.reason != "busy":
            raise
    starts = memory.load(Starts, layout.starts)
    count = (starts.count if starts else 0) + 1
    memory.save(layout.starts, Starts(count))
    if count > MOST_STARTS:
        raise UpdateRefused("restarts", f"the new version was started {count} times", "the updater goes back by itself")
    return None


@contextlib.contextmanager
def alone(layout: DeviceFolders) -> Iterator[None]:
    """Be the only updater of this device; the lock ends with the process. Raises UpdateRefused."""
    try:
        atomic.make_folder(layout.state, atomic.PUBLIC_FOLDER)
        atomic.make_folder(layout.bundles, atomic.PUBLIC_FOLDER)
        handle = taken(layout.lock)
    except BlockingIOError:
        raise UpdateRefused("busy", "another update is running on this device", "wait until it has ended") from None
    except OSError as error:
        raise UpdateRefused(
            "cannot-write", f"{error.filename} cannot be written ({error.strerror})", "run it as the service's user"
        ) from error
    try:
        yield
    finally:
        os.close(handle)
