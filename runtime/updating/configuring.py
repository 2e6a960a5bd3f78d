"""New settings of a device: checked, written, tried; and those before again where the service does not answer.

As with an update, what was interrupted ends before the next start of the service: the settings before come back.
"""

from __future__ import annotations

import contextlib
import ipaddress
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NoReturn

from fieldlens.runtime.errors import ConfigError, KitError
from fieldlens.runtime.files import atomic, records
from fieldlens.runtime.updating import memory, power, store
from fieldlens.runtime.updating.arguments import RUNTIME
from fieldlens.runtime.updating.layout import DeviceFolders, UpdateRefused, UpdateReturned
from fieldlens.runtime.updating.proof import Proof, as_service_user
from fieldlens.runtime.updating.recovery import alone, is_updating, settle
from fieldlens.runtime.updating.service import DeviceService, choose_unit
from fieldlens.runtime.updating.settings import StationSetup, certificate_of, inbox_of, read_setup

_FIRST_PORT = 1024
_NAME = "station.clinic.example"


@dataclass(frozen=True)
class PendingSettings:
    """The settings before those that are being tried; None: there were none."""

    before: StationSetup | None


class Configuration:
    """Changes the settings of a device."""

    def __init__(self, layout: DeviceFolders, service: DeviceService) -> None:
        self._layout, self._service = layout, service

    def plan(self, given: Mapping[str, Any]) -> list[str]:
        """What would change, in words. Raises as :meth:`apply`."""
        before, wanted = self._before(), self._wanted(given)
        return _changes(before or StationSetup(), wanted) or ["the settings stay as they are"]

    def apply(self, given: Mapping[str, Any]) -> list[str]:
        """Take ``given`` over the settings that are there; what a person has to know.

        The service is started again where something changed and a bundle serves. Raises UpdateRefused (nothing was
        changed) and UpdateReturned (the settings before are there again).
        """
        with alone(self._layout):
            self._settle()
            before, wanted = self._before(), self._wanted(given)
            if before == wanted or (before is None and not given):
                choose_unit(self._layout)
                return power.apply(self._layout, wanted.power_mode, wanted.jetson_clocks)
            if wanted.camera == (before or StationSetup()).camera and before is not None and before.runs == wanted.runs:
                self._service.remember()
            memory.save(self._layout.pending_settings, PendingSettings(before))
            try:
                notes = self._try(wanted)
            except (KitError, OSError) as error:
                self._go_back(before, error)
            changed = "; ".join(_changes(before or StationSetup(), wanted))
            memory.attempt(lambda: memory.note(self._layout, "settings", None, detail=changed))
            memory.forget(self._layout.pending_settings)
            return notes

    def _settle(self) -> None:
        """What was interrupted before ends first: a trial of settings, and an update. A device on which nothing can
        serve may get settings, too."""
        end_interrupted(self._layout, alone=True)
        try:
            settle(self._layout, self._service.restart, Proof(self._layout))
        except UpdateRefused as error:
            if error.reason != "no-version":
                raise

    def _before(self) -> StationSetup | None:
        return read_setup(self._layout) if self._layout.settings.exists() else None

    def _wanted(self, given: Mapping[str, Any]) -> StationSetup:
        kept = asdict(self._before() or StationSetup())
        wanted = records.read(StationSetup, {**kept, **given}, "the settings", ConfigError)
        check(self._layout, wanted)
        return wanted

    def _try(self, wanted: StationSetup) -> list[str]:
        _write(self._layout, wanted)
        notes = power.apply(self._layout, wanted.power_mode, wanted.jetson_clocks)
        choose_unit(self._layout)
        version = store.serving(self._layout)
        if version is not None:
            self._service.restart()
            self._service.check(version)
        return notes

    def _go_back(self, before: StationSetup | None, error: KitError | OSError) -> NoReturn:
        why = error.message if isinstance(error, KitError) else str(error)
        reason = error.reason if isinstance(error, UpdateRefused) else "health"
        _restore(self._layout, before)
        memory.attempt(lambda: memory.note(self._layout, "settings-returned", None, reason, why))
        with contextlib.suppress(KitError):  # it serves with them from its next start on
            choose_unit(self._layout)
            if store.serving(self._layout) is not None:
                self._service.restart()
        memory.forget(self._layout.pending_settings)
        raise UpdateReturned(
            reason, f"the new settings did not work: {why}; the settings before are there again",
            "`fieldlens device logs` shows what the service said",
        ) from error  # fmt: skip


def _write(layout: DeviceFolders, setup: StationSetup) -> None:
    atomic.make_folder(layout.settings.parent, atomic.PUBLIC_FOLDER)
    atomic.write_json(layout.settings, asdict(setup), atomic.PUBLIC)


def _restore(layout: DeviceFolders, before: StationSetup | None) -> None:
    if before is None:
        memory.forget(layout.settings)
    else:
        _write(layout, before)


def end_interrupted(layout: DeviceFolders, *, alone: bool = False) -> bool:
    """Before the service starts: whether a trial of settings was cut short, so that those before are there again.

    ``alone``: the caller is the updater.
    """
    pending, _ = memory.look(PendingSettings, layout.pending_settings)
    if pending is None or (not alone and is_updating(layout)):
        return False
    _restore(layout, pending.before)
    memory.attempt(lambda: memory.note(layout, "settings-returned", None, "interrupted"))
    memory.forget(layout.pending_settings)
    return True


def _changes(before: StationSetup, after: StationSetup) -> list[str]:
    was = asdict(before)
    return [f"{name}: {was[name]!r} → {value!r}" for name, value in asdict(after).items() if value != was[name]]


def check(layout: DeviceFolders, setup: StationSetup) -> None:
    """What this device cannot serve with. Raises UpdateRefused."""
    power.check(layout, setup.power_mode, setup.jetson_clocks)
    if setup.runs == RUNTIME:
        _check_runtime(layout, setup)
    else:
        _check_station(layout, setup)


def _check_runtime(layout: DeviceFolders, setup: StationSetup) -> None:
    if setup.camera and setup.folder:
        raise UpdateRefused("usage", "a device without a page has a camera or a folder, not both", "give one of them")
    folder = inbox_of(layout, setup)
    if not setup.camera and not Path(folder).is_absolute():
        raise UpdateRefused("usage", f"{folder} is not absolute", "give the folder's whole path on the device")
    if setup.folder and not Path(folder).is_dir():
        raise UpdateRefused("no-folder", f"there is no folder {folder} on this device", "make it, then try again")


def _check_station(layout: DeviceFolders, setup: StationSetup) -> None:
    if setup.folder:
        raise UpdateRefused(
            "usage", "a station watches no folder", "its page takes files; a device without one watches"
        )
    try:
        ipaddress.ip_address("127.0.0.1" if setup.host == "localhost" else setup.host)
    except ValueError:
        raise UpdateRefused(
            "usage", f"{setup.host} is not an address",
            "0.0.0.0 for every network of the device, or one of its own addresses",
        ) from None  # fmt: skip
    if not _FIRST_PORT <= setup.port <= 65535:
        raise UpdateRefused("usage", f"the service may not have port {setup.port}", "one from 1024 to 65535: 8443")
    if setup.beyond and (missing := _missing(layout)):
        data = f"--data {layout.records}"
        user = "" if as_service_user(layout) == {} else "sudo -u fieldlens "
        program = f"{user}{layout.root / 'opt/fieldlens/bin/fieldlens'}"
        raise UpdateRefused(
            "no-accounts", f"the page has no {missing} yet, so only this device itself may reach it",
            f"on the device: {program} station init --name {_NAME} {data}; accounts for the others: "
            f"{program} station account NAME {data}; then run this again",
        )  # fmt: skip


def _missing(layout: DeviceFolders) -> str:
    """What others' access needs and is not there. The accounts are the station's, which this side does not import."""
    certificate = certificate_of(layout)
    if not (certificate.is_file() and certificate.with_name("tls.key").is_file()):
        return "accounts and no certificate"
    done = subprocess.run(
        [sys.executable, "-m", "fieldlens", "station", "account", "--data", str(layout.records)],
        capture_output=True, text=True, errors="replace", check=False, stdin=subprocess.DEVNULL,
        **as_service_user(layout),
    )  # fmt: skip
    return "" if any(line.split()[:1] == ["admin"] for line in done.stdout.splitlines()) else "admin's account"
