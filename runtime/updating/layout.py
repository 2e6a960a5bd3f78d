"""Where a device keeps its versions and what it knows about them. ``root`` is ``/``, or a scratch folder."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from fieldlens.runtime.bundle.manifest import Manifest
from fieldlens.runtime.bundle.opened import Bundle
from fieldlens.runtime.errors import KitError

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_+.-]{0,99}")
_TAKEN = "current"


class UpdateRefused(KitError):
    """An update that was not begun, or that the device took back. ``reason`` is a word for programs."""

    def __init__(self, reason: str, message: str, hint: str) -> None:
        super().__init__(message, hint)
        self.reason = reason


class UpdateReturned(UpdateRefused):
    """The new version was switched to and failed: the last good one serves again."""


@dataclass(frozen=True)
class InstalledVersion:
    """One installed bundle: its name, the manifest's number that only grows, and the SHA-256 of its manifest."""

    name: str
    number: int
    hash: str

    @property
    def place(self) -> str:
        """Its folder, relative to the folder of bundles."""
        return f"{self.name}/{self.number}"

    @property
    def title(self) -> str:
        """For people."""
        return f"{self.name} version {self.number}"


def version_of(bundle: Bundle) -> InstalledVersion:
    """What an opened bundle is. Raises UpdateRefused for a name that cannot be a folder's."""
    return version_in(bundle.manifest, bundle.hash)


def version_in(manifest: Manifest, digest: str) -> InstalledVersion:
    """The same of a manifest, whose bytes have the SHA-256 ``digest``."""
    name = manifest.name
    if not _NAME.fullmatch(name) or name == _TAKEN:
        raise UpdateRefused(
            "name", f"a bundle named {name!r} cannot be installed",
            "make it again with --name: letters, digits and - _ + . only, and not 'current'",
        )  # fmt: skip
    return InstalledVersion(name, manifest.version.number, digest)


@dataclass(frozen=True)
class DeviceFolders:
    """The device's folders below ``root``."""

    root: Path

    @property
    def bundles(self) -> Path:
        """Versions, as ``NAME/NUMBER``, and the link ``current`` to the one that serves."""
        return self.root / "opt/fieldlens/bundles"

    @property
    def current(self) -> Path:
        """A relative link: it holds wherever the root is mounted."""
        return self.bundles / _TAKEN

    @property
    def way_back(self) -> Path:
        """The link that becomes ``current`` when an update is taken back: made before it is needed, because a full disk
        still allows a rename."""
        return self.bundles / ".current.back"

    @property
    def state(self) -> Path:
        """What the updater keeps."""
        return self.root / "var/lib/fieldlens/update"

    @property
    def lock(self) -> Path:
        """Held by the one process that updates."""
        return self.state / "lock"

    @property
    def good(self) -> Path:
        """The last version that passed its health check, the one before it, and the highest numbers so far."""
        return self.state / "good.json"

    @property
    def pending(self) -> Path:
        """There while an update is being tried."""
        return self.state / "pending.json"

    @property
    def starts(self) -> Path:
        """How often the service was started while an update was being tried."""
        return self.state / "starts.json"

    @property
    def returned(self) -> Path:
        """Why the device last went back."""
        return self.state / "returned.json"

    @property
    def events(self) -> Path:
        """One JSON object a line: everything that was done, refused or taken back."""
        return self.state / "events.jsonl"

    @property
    def old_events(self) -> Path:
        """What was in it before it grew too large."""
        return self.state / "events.1.jsonl"

    @property
    def code(self) -> Path:
        """The link to the release of this kit that runs."""
        return self.root / "opt/fieldlens/release"

    @property
    def releases(self) -> Path:
        """Releases, one folder each."""
        return self.root / "opt/fieldlens/releases"

    @property
    def pending_release(self) -> Path:
        """There while a release is being tried."""
        return self.state / "pending-release.json"

    @property
    def settings(self) -> Path:
        """How this device serves: a page or none, camera, address, site."""
        return self.root / "etc/fieldlens/station.json"

    @property
    def pending_settings(self) -> Path:
        """There while new settings are being tried: those before."""
        return self.state / "pending-settings.json"

    @property
    def trust(self) -> Path:
        """The folder of the policy, with the lists of those whose signatures count."""
        return self.root / "etc/fieldlens"

    @property
    def policy(self) -> Path:
        """Whose bundles this device takes."""
        return self.root / "etc/fieldlens/policy.json"

    @property
    def service_state(self) -> Path:
        """What the service keeps: engines, compiled models, self-tests."""
        return self.root / "var/lib/fieldlens/state"

    @property
    def records(self) -> Path:
        """The station's results."""
        return self.root / "var/lib/fieldlens/station"

    @property
    def results(self) -> Path:
        """What a device without a page answered."""
        return self.root / "var/lib/fieldlens/results"

    @property
    def inbox(self) -> Path:
        """Where the images come in on a device with neither a page nor a camera."""
        return self.root / "var/lib/fieldlens/inbox"

    @property
    def heartbeat(self) -> Path:
        """The last sign of life of a service without a page."""
        return self.run / "heartbeat.json"

    @property
    def selftest(self) -> Path:
        """The last self-test before a switch."""
        return self.state / "selftest.json"

    @property
    def run(self) -> Path:
        """Gone after a restart of the machine."""
        return self.root / "run/fieldlens"

    @property
    def log(self) -> Path:
        """What the service says, where no systemd keeps it."""
        return self.root / "var/log/fieldlens/station.log"
