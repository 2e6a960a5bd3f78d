"""The update itself: prove, mark, switch, look whether it answers; and back to the last good version otherwise.

The order makes every interruption safe. The marker is written before the link moves, and the new version counts as good
before the marker goes. So a marker without a living updater means: interrupted, go back (``recovery.settle``).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn, Protocol

from fieldlens.runtime.bundle.manifest import Manifest
from fieldlens.runtime.bundle.open import open_bundle
from fieldlens.runtime.bundle.opened import Bundle
from fieldlens.runtime.bundle.signature import SignatureRefused
from fieldlens.runtime.errors import BundleError, KitError, OutputError
from fieldlens.runtime.updating import memory, store
from fieldlens.runtime.updating.layout import (
    DeviceFolders,
    InstalledVersion,
    UpdateRefused,
    UpdateReturned,
    version_in,
    version_of,
)
from fieldlens.runtime.updating.memory import Good, Pending, Returned
from fieldlens.runtime.updating.recovery import Prove, alone, go_back, settle

UNTOUCHED = "the service was not touched"


class Service(Protocol):
    """The program that serves ``current``. All raise KitError; an UpdateRefused's ``reason`` is kept."""

    def remember(self) -> None:
        """Look at what the new version must not lose (a camera), before anything changes."""

    def restart(self) -> None:
        """Begin to serve what ``current`` leads to now."""

    def check(self, version: InstalledVersion) -> None:
        """Wait until the service answers with ``version``."""


class Updater:
    """Changes the version that a device serves. One at a time: a second one is refused."""

    def __init__(self, layout: DeviceFolders, service: Service, prove: Prove) -> None:
        self._layout, self._service, self._prove = layout, service, prove

    def install(self, source: Path, *, allow_downgrade: bool = False) -> InstalledVersion:
        """Install the bundle in ``source`` and serve it. The version that serves now stays until the new one answers.

        Raises UpdateRefused (the service was not touched) and UpdateReturned (the last good version serves again); both
        are among the events.
        """
        with alone(self._layout):
            self._settle()
            bundle = self._opened(source)
            version = version_of(bundle)
            good = self._good()
            with self._noted(version):
                down = self._check_order(version, good, allow_downgrade)
                store.add(self._layout, bundle, _kept(good))
                self._prove_it(version)
                if down:
                    memory.note(self._layout, "downgrade-allowed", version)
            self._try(version, good.version if good else None)
            now = self._good()
            store.prune(self._layout, (version, now.before if now else None))
            return version

    def check_offer(self, manifest: Manifest, digest: str, *, allow_downgrade: bool = False) -> None:
        """What can be refused before a byte of the bundle is here. Raises UpdateRefused."""
        version, good = version_in(manifest, digest), self._good_or_none()
        self._check_order(version, good, allow_downgrade)
        store.check_number(version, _kept(good))

    def _good_or_none(self) -> Good | None:
        """A damaged record refuses no offer: the update itself repairs it first."""
        try:
            return self._good()
        except UpdateRefused:
            return None

    def plan(self, source: Path, *, allow_downgrade: bool = False) -> list[str]:
        """What :meth:`install` would do, in words; nothing is changed. Raises as :meth:`install`."""
        bundle = open_bundle(source)
        version, good = version_of(bundle), self._good()
        down = self._check_order(version, good, allow_downgrade)
        store.check_number(version, _kept(good))
        new = bool(store.fault(self._layout, version))
        if new:
            store.check_space(self._layout, bundle)
        return [
            f"copy {version.title} to {self._layout.bundles / version.place}" if new else f"{version.title} lies here",
            "build its engine where this device has TensorRT, and answer its golden images",
            *([f"record the downgrade from {good.version.title}"] if down and good else []),
            f"switch from {good.version.title if good else 'nothing'}, restart the service, wait for its answer",
        ]

    def rollback(self) -> InstalledVersion:
        """Serve the good version before this one again. Raises as :meth:`install`."""
        with alone(self._layout):
            self._settle()
            good = self._good()
            if good is None or good.before is None or store.fault(self._layout, good.before):
                raise UpdateRefused(
                    "no-version-before", "there is no earlier version to go back to", "install a bundle"
                )
            with self._noted(good.before):
                memory.note(self._layout, "rollback", good.before)
                self._prove_it(good.before)
            self._try(good.before, good.version)
            return good.before

    def recover(self) -> Returned | None:
        """End an update that was interrupted, and restart the service where it may serve the wrong version."""
        with alone(self._layout):
            return settle(self._layout, self._service.restart, self._prove)

    def _settle(self) -> None:
        """A device on which nothing can serve any more is one that needs an update."""
        try:
            settle(self._layout, self._service.restart, self._prove)
        except UpdateRefused as error:
            if error.reason != "no-version":
                raise

    def _opened(self, source: Path) -> Bundle:
        with self._noted(None):
            return open_bundle(source)

    @contextmanager
    def _noted(self, version: InstalledVersion | None) -> Iterator[None]:
        """Every refusal is an event with a reason, and says that the service was not touched."""
        try:
            yield
        except (KitError, OSError) as error:
            refusal = refusal_of(error)
            memory.attempt(lambda: memory.note(self._layout, "refused", version, refusal.reason, refusal.message))
            raise refusal from error

    def _good(self) -> Good | None:
        """The record; on a device whose records were lost, what serves counts as good."""
        good = memory.load(Good, self._layout.good)
        if good is None and (serves := store.serving(self._layout)) is not None:
            return Good(serves, None, {serves.name: serves.number})
        return good

    def _check_order(self, version: InstalledVersion, good: Good | None, allow_downgrade: bool) -> bool:
        """Whether this is a downgrade. Numbers only grow, over everything that was ever good here."""
        highest = good.highest.get(version.name, -1) if good else -1
        if version.number >= highest:
            return False
        if not allow_downgrade:
            raise UpdateRefused(
                "older", f"{version.title} is older than {highest}, which this device had",
                "give a newer bundle; --allow-downgrade goes back on purpose, and is recorded",
            )  # fmt: skip
        return True

    def _prove_it(self, version: InstalledVersion) -> None:
        try:
            self._service.remember()
            self._prove(self._layout.bundles / version.place)
        except KitError as error:
            reason = error.reason if isinstance(error, UpdateRefused) else "self-test"
            raise UpdateRefused(reason, f"{version.title} fails on this device: {error.message}", error.hint) from error

    def _try(self, version: InstalledVersion, since: InstalledVersion | None) -> None:
        layout, pending = self._layout, Pending(version, since)
        with self._noted(version):
            memory.forget(layout.starts)
            store.prepare_way_back(layout, since)
            memory.save(layout.pending, pending)
        try:
            store.point(layout, version)
            self._service.restart()
            self._service.check(version)
            self._count_as_good(version, since)
        except (KitError, OSError) as error:
            self._go_back(pending, error)

    def _count_as_good(self, version: InstalledVersion, since: InstalledVersion | None) -> None:
        before = memory.load(Good, self._layout.good)
        highest = dict(before.highest) if before else {}
        highest[version.name] = max(version.number, highest.get(version.name, 0))
        keeps = before.before if before and since == version else since
        memory.save(self._layout.good, Good(version, keeps, highest))
        # From here on the new version is the good one: nothing below takes it back.
        memory.attempt(lambda: memory.note(self._layout, "good", version))
        memory.attempt(lambda: memory.forget(self._layout.pending))

    def _go_back(self, pending: Pending, error: KitError | OSError) -> NoReturn:
        why = error.message if isinstance(error, KitError) else refusal_of(error).message
        reason = error.reason if isinstance(error, UpdateRefused) else "health"
        same = pending.to == pending.since
        try:
            go_back(self._layout, pending, reason, why, self._service.restart)
        except OSError as fault:
            raise UpdateReturned(
                "cannot-go-back", f"{pending.to.title} did not work ({why}), and the device cannot go back: "
                f"{refusal_of(fault).message}", "check the disk (`fieldlens doctor`), then restart the device: it goes "
                "back before its service starts",
            ) from error  # fmt: skip
        raise UpdateReturned(
            reason, f"{pending.to.title} did not work: {why}; {self._answers(pending.since, same)}",
            "`fieldlens device status` keeps the reason",
        ) from error  # fmt: skip

    def _answers(self, to: InstalledVersion | None, same: bool) -> str:
        if to is None:
            return "nothing serves, as before"
        try:
            self._service.check(to)
        except KitError as error:
            if isinstance(error, UpdateRefused) and error.reason == "camera":
                return f"{to.title} serves again, and has no image from the camera either: look at the camera"
            return f"the device went back to {to.title}, but the service does not answer ({error.message})"
        return f"it was restarted and answers now: {to.title}" if same else f"{to.title} serves again"


def _kept(good: Good | None) -> tuple[InstalledVersion, ...]:
    """What no other bundle may replace."""
    return tuple(filter(None, (good.version, good.before))) if good else ()


def refusal_of(error: KitError | OSError) -> UpdateRefused:
    """Any failure before the switch as a refusal, with its word for programs. What was taken back says so itself."""
    if isinstance(error, UpdateReturned):
        return error
    if isinstance(error, UpdateRefused):
        return type(error)(error.reason, _untouched(error.message), error.hint)
    if isinstance(error, OutputError) and isinstance(error.__cause__, OSError):
        error = error.__cause__
    if isinstance(error, OSError):
        return store.of_the_disk(error)
    reasons = {SignatureRefused: "signature", BundleError: "damaged-bundle"}
    reason = next((word for kind, word in reasons.items() if isinstance(error, kind)), "refused")
    return UpdateRefused(reason, _untouched(error.message), error.hint)


def _untouched(message: str) -> str:
    return message if UNTOUCHED in message else f"{message}; {UNTOUCHED}"
