"""A bare machine becomes a device: folders, code, libraries, trust, units. Doing it again repairs what is missing."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from fieldlens.convert.delivery import release as releases
from fieldlens.convert.delivery.environment import DeviceEnvironment, ProbedDevice, probe
from fieldlens.convert.delivery.keys import KeyFolder
from fieldlens.convert.delivery.remote import DeliveryFailed, Remote, RemoteResult
from fieldlens.runtime.errors import ConfigError
from fieldlens.runtime.terminal.reporter import SILENT, Reporter
from fieldlens.runtime.updating.keylists import KEYS
from fieldlens.runtime.updating.releases import ENVIRONMENT, LISTING, SIGNATURE
from fieldlens.runtime.updating.service import UNITS
from fieldlens.runtime.updating.settings import StationSetup
from fieldlens.runtime.updating.store import SPARE_BYTES

_LIBRARIES_BYTES = 600_000_000
_NEEDS_BYTES = 900_000_000
"""Libraries, code, and room for two bundles."""
UNIT_FILES = (*UNITS.values(), "fieldlens-recover.service", "fieldlens-recover.timer")
_LAUNCHER = """#!/bin/sh
# The command on this device: the release that the link leads to, with the libraries that it was made for.
set -eu
base="$(dirname -- "$(dirname -- "$(readlink -f -- "$0")")")"
release="$base/release"
read -r environment <"$release/environment"
PYTHONPATH="$release/lib" PYTHONDONTWRITEBYTECODE=1 PYTHONNOUSERSITE=1
export PYTHONPATH PYTHONDONTWRITEBYTECODE PYTHONNOUSERSITE
exec "$base/environments/$environment/bin/python" -m fieldlens "$@"
"""
_SERVICE_USER = """
if ! id fieldlens >/dev/null 2>&1; then
  useradd --system --home-dir /var/lib/fieldlens --shell /usr/sbin/nologin fieldlens
fi
for group in video render; do
  if getent group "$group" >/dev/null; then usermod -a -G "$group" fieldlens; fi
done
for folder in state station results; do
  install -d -m 0700 -o fieldlens -g fieldlens "$R/var/lib/fieldlens/$folder"
done
install -d -m 2770 -o fieldlens -g fieldlens "$R/var/lib/fieldlens/inbox"
"""


@dataclass(frozen=True)
class ProvisionPlan:
    """What `provision` is going to do, before it does it."""

    release: str
    python: str
    environment: str
    steps: list[str] = field(default_factory=list)


class Provision:
    """One device being made. ``python``: an interpreter on the device that has the libraries already.

    ``setup``: all settings, or those that change; None: they stay.
    """

    def __init__(
        self, remote: Remote, keys: KeyFolder, *, setup: StationSetup | Mapping[str, Any] | None = None,
        python: str = "", offline: bool = False, unsigned: bool = False, key: Path | None = None,
        reporter: Reporter = SILENT,
    ) -> None:  # fmt: skip
        self._remote, self._keys = remote, keys
        self._given = asdict(setup) if isinstance(setup, StationSetup) else dict(setup or {})
        self._python, self._offline, self._unsigned, self._reporter = python, offline, unsigned, reporter
        self._key = key

    def do(self, *, dry_run: bool = False) -> ProvisionPlan:
        """Every step in turn; each is safe to do again. Raises KitError."""
        device = probe(self._remote)
        self._check(device)
        self._check_setup(device)
        release = releases.build_release()
        environment = DeviceEnvironment(self._remote, device, self._python, self._offline)
        work: list[tuple[str, Callable[[], None]]] = [
            ("folders and the service's user", lambda: self._folders(device)),
            (f"code: release {release.name}, {release.size_bytes / 1e6:.1f} MB", lambda: self._send_code(release)),
            (f"libraries: {environment.title}", environment.make),
            ("trust: policy, allowed signers, revoked keys", self._send_trust),
            (f"switch to release {release.name}", lambda: self._switch(release, environment)),
            ("units of systemd" if device.systemd and self._remote.root == "/" else "a supervisor, without systemd",
             lambda: self._units(device)),
            (f"settings: {', '.join(self._given) or 'as they are'}", self._configure),
        ]  # fmt: skip
        plan = ProvisionPlan(release.name, environment.interpreter, environment.name, [title for title, _ in work])
        for number, (title, step) in enumerate(work, 1):
            self._reporter.say(f"[{number}/{len(work)}] {'would do: ' if dry_run else ''}{title}")
            if not dry_run:
                step()
        return plan

    def release(self, *, dry_run: bool = False) -> ProvisionPlan:
        """Only the code, which the device itself checks, tries and takes back if it fails. Raises KitError."""
        device = probe(self._remote)
        if not device.provisioned:
            raise DeliveryFailed(
                "not-provisioned", f"{self._remote.host} is no device yet", "./deploy.sh provision HOST"
            )
        release = releases.build_release()
        environment = DeviceEnvironment(self._remote, device, self._python, self._offline)
        steps = [f"send release {release.name}", f"libraries: {environment.title}", "adopt it, or go back"]
        self._check_space(device, release, environment)
        if not dry_run:
            self._send_code(release)
            environment.make()
            self._choose_environment(release, environment)
            words = ["device", "adopt", release.name, "--json", "--root", self._remote.root]
            done = self._remote.fieldlens(words, "adopting the release", 1800.0)
            if done.code != 0:
                raise self._remote.failed("adopting the release", done)
        return ProvisionPlan(release.name, environment.interpreter, environment.name, steps)

    def _check_space(self, device: ProbedDevice, release: releases.Release, environment: DeviceEnvironment) -> None:
        """Before anything is sent: room for the code, which is unpacked beside itself, and for new libraries."""
        needs = 2 * release.size_bytes + SPARE_BYTES + (0 if environment.is_there() else _LIBRARIES_BYTES)
        if device.free_bytes < needs:
            raise DeliveryFailed(
                "disk-full", f"{self._remote.host} has {device.free_bytes / 1e6:.0f} MB free; the release needs "
                f"{needs / 1e6:.0f} MB", "make room on the device; the release that runs was not touched",
            )  # fmt: skip

    def _check(self, device: ProbedDevice) -> None:
        host = self._remote.host
        if device.system != "Linux":
            raise DeliveryFailed("device", f"{host} runs {device.system}, not Linux", "a device is a Linux machine")
        if device.free_bytes < _NEEDS_BYTES and not device.provisioned:
            raise DeliveryFailed(
                "disk-full", f"{host} has {device.free_bytes / 1e6:.0f} MB free and needs {_NEEDS_BYTES / 1e6:.0f}",
                "make room on the device",
            )  # fmt: skip
        if not device.ssh_keygen and not self._unsigned:
            raise DeliveryFailed("no-ssh-keygen", f"{host} cannot check signatures", "apt install openssh-client there")
        if not self._unsigned and not self._keys.all():
            raise ConfigError(
                f"there is no key in {self._keys.folder}, and a device has to know whose bundles it may take",
                "make one: `fieldlens keys new NAME@PLACE`; or say --unsigned for a trial",
            )

    def _shell(self, script: str, step: str, given: bytes = b"", timeout_s: float = 600.0) -> bytes:
        words = self._remote.as_owner(
            ["sh", "-euc", f"umask 022; R={shlex.quote(self._remote.root.rstrip('/'))}\n{script}"]
        )
        return self._remote.must(words, step, given, timeout_s).stdout

    def _folders(self, device: ProbedDevice) -> None:
        script = 'mkdir -p "$R/opt/fieldlens/bin" "$R/opt/fieldlens/releases" "$R/opt/fieldlens/environments"\n'
        script += 'mkdir -p "$R/opt/fieldlens/bundles" "$R/etc/fieldlens" "$R/var/lib/fieldlens/update"\n'
        if device.systemd and self._remote.root == "/":
            script += _SERVICE_USER
        self._shell(script, "making folders")

    def _send_code(self, release: releases.Release) -> None:
        """Nothing where it lies whole already; a damaged one is replaced."""
        place = f'to="$R/opt/fieldlens/releases/{release.name}"\n'
        summing = (
            'cd "$to" 2>/dev/null || exit 0\n'
            "find lib -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum | cut -d ' ' -f 1"
        )
        if self._shell(place + summing, "looking at the code").decode().strip() != release.digest:
            script = (
                'rm -rf "$to.part"; mkdir -p "$to.part"; tar -xzf - -C "$to.part"\n'
                'if [ -f "$to/environment" ]; then cp "$to/environment" "$to.part/"; fi\n'
                'sync; rm -rf "$to"; mv "$to.part" "$to"'
            )
            self._shell(place + script, "sending the code", releases.archive(release.files))
        listed = {LISTING: release.listing}
        if self._key is not None:
            listed[SIGNATURE] = releases.signature_of(release, self._key)
        self._put(f"opt/fieldlens/releases/{release.name}", listed, "sending the list of the code")

    def _send_trust(self) -> None:
        if self._unsigned:
            return
        lists = self._keys.lists()
        self._put("etc/fieldlens", {**lists.files, KEYS: lists.data}, "sending the policy")

    def _configure(self) -> None:
        """The device itself checks the settings, tries them, and goes back to those before if they do not work."""
        done = self._ask_configure()
        if done.code != 0:
            raise self._remote.failed("settings", done)
        for note in done.reported.get("notes", ()):
            self._reporter.say(f"note: {note}")

    def _ask_configure(self, *options: str) -> RemoteResult:
        words = [self._remote.program, "device", "configure", "--json", "--root", self._remote.root, *options]
        return self._remote.run(self._remote.as_owner(words), "settings", json.dumps(self._given).encode())

    def _check_setup(self, device: ProbedDevice) -> None:
        """What the settings need, before anything is changed. Code on the device that is older checks nothing yet."""
        host = self._remote.host
        if not device.jetson and (self._given.get("power_mode") is not None or self._given.get("jetson_clocks")):
            raise DeliveryFailed("no-jetson", f"{host} is no Jetson, so it has no power mode", "leave the option out")
        if device.provisioned and self._given:
            done = self._ask_configure("--dry-run")
            if done.reported.get("ok") is False:
                raise self._remote.failed("settings", done)
        elif StationSetup(host=self._given.get("host", StationSetup.host)).beyond:
            raise DeliveryFailed(
                "no-accounts", f"{host} has no accounts and no certificate yet, so only the device itself may reach "
                "its page", "provision it without --listen first; `fieldlens station init` on the device makes both "
                "(docs/deploy.md#others-on-the-network); then again with --listen",
            )  # fmt: skip

    def _put(self, folder: str, files: dict[str, bytes], step: str, executable: tuple[str, ...] = ()) -> None:
        """Small files, each replaced in one step."""
        moves = "\n".join(f'mv -f "$part/{name}" "$to/{name}"' for name in files)
        script = f'to="$R/{folder}"; part="$to/.part"; rm -rf "$part"; mkdir -p "$part"; tar -xzf - -C "$part"\n'
        self._shell(f'{script}{moves}\nrmdir "$part"; sync', step, releases.archive(files, executable))

    def _switch(self, release: releases.Release, environment: DeviceEnvironment) -> None:
        self._put(
            f"opt/fieldlens/releases/{release.name}", {"environment": f"{environment.name}\n".encode()}, "switching"
        )
        self._put("opt/fieldlens/bin", {"fieldlens": _LAUNCHER.encode()}, "switching", ("fieldlens",))
        script = (
            f'ln -sfn "releases/{release.name}" "$R/opt/fieldlens/.release.new"\n'
            'mv -fT "$R/opt/fieldlens/.release.new" "$R/opt/fieldlens/release"; sync'
        )
        self._shell(script, "switching")
        done = self._remote.fieldlens(["--version"], "asking the new code")
        if done.code != 0:
            raise self._remote.failed("asking the new code", done)

    def _choose_environment(self, release: releases.Release, environment: DeviceEnvironment) -> None:
        chosen = {ENVIRONMENT: f"{environment.name}\n".encode()}
        self._put(f"opt/fieldlens/releases/{release.name}", chosen, "naming its libraries")

    def _units(self, device: ProbedDevice) -> None:
        if not (device.systemd and self._remote.root == "/"):
            return
        units = {name: (releases.checkout() / "deploy" / name).read_bytes() for name in UNIT_FILES}
        self._put("etc/systemd/system", units, "installing the units")
        self._shell(
            "systemctl daemon-reload; systemctl enable -q --now fieldlens-recover.timer", "installing the units"
        )
