"""The kit's own code on a device: a new release is checked and tried, and the one before runs again if it fails.

The code that runs now does the checking: nothing of a new release is run before its signature and its files are right.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from fieldlens.runtime.errors import KitError
from fieldlens.runtime.files import atomic, strictjson
from fieldlens.runtime.files.trusted import read_regular
from fieldlens.runtime.updating import memory, store
from fieldlens.runtime.updating.keylists import RELEASE_SIGNERS
from fieldlens.runtime.updating.layout import DeviceFolders, UpdateRefused, UpdateReturned
from fieldlens.runtime.updating.proof import as_service_user
from fieldlens.runtime.updating.recovery import alone, is_updating
from fieldlens.runtime.updating.service import DeviceService
from fieldlens.runtime.updating.trust import check_known

LISTING, SIGNATURE, ENVIRONMENT = "release.json", "release.json.sig", "environment"
_NAME = re.compile(r"[0-9A-Za-z][0-9A-Za-z.+-]{0,99}")
_LISTING_BYTES, _SIGNATURE_BYTES = 2_000_000, 65_536
_TRIAL_S = 900.0


@dataclass(frozen=True)
class PendingRelease:
    """A release that is being tried, and the one before."""

    to: str
    since: str


class Adoption:
    """Changes the release that a device runs."""

    def __init__(self, layout: DeviceFolders, service: DeviceService) -> None:
        self._layout, self._service = layout, service

    def adopt(self, name: str) -> str:
        """Check, try, switch, look; the name. Raises UpdateRefused (untouched) and UpdateReturned (back again)."""
        with alone(self._layout):
            folder = self._layout.releases / name
            if not _NAME.fullmatch(name) or not folder.is_dir():
                raise UpdateRefused("no-release", f"there is no release {name} here", "./deploy.sh release HOST")
            check_release(self._layout, folder)
            self._try_out(folder)
            since = self._layout.code.readlink().name
            self._switch(name)
            if since != name:
                memory.attempt(lambda: prune(self._layout, {name, since}))
            return name

    def _try_out(self, folder: Path) -> None:
        """The new code answers the golden images of what serves."""
        if store.serving(self._layout) is None:
            return
        words = ["selftest", str(self._layout.current), "--state", str(self._layout.service_state)]
        program, environment = _program(self._layout, folder)
        try:
            done = subprocess.run(
                [program, "-m", "fieldlens", *words], env=environment, capture_output=True, text=True, check=False,
                timeout=_TRIAL_S, **as_service_user(self._layout),
            )  # fmt: skip
        except (OSError, subprocess.TimeoutExpired) as error:
            raise UpdateRefused("self-test", f"the new code does not run: {error}", "see its libraries") from error
        if done.returncode != 0:
            said = (done.stderr.strip().splitlines() or [f"it ended with {done.returncode}"])[-1]
            raise UpdateRefused("self-test", f"the new code fails its self-test: {said}", "nothing was switched")

    def _switch(self, name: str) -> None:
        layout, since = self._layout, self._layout.code.readlink().name
        version = store.serving(layout)
        self._service.remember()
        memory.save(layout.pending_release, PendingRelease(name, since))
        try:
            point_code(layout, name)
            if version is not None:
                self._service.restart()
                self._service.check(version)
        except (KitError, OSError) as error:
            why = error.message if isinstance(error, KitError) else str(error)
            point_code(layout, since)
            memory.attempt(lambda: memory.note(layout, "release-returned", version, "health", f"{name}: {why}"))
            memory.forget(layout.pending_release)
            self._service.restart()
            raise UpdateReturned(
                "health", f"release {name} did not work: {why}; {since} runs again", "`fieldlens device logs`"
            ) from error
        memory.attempt(lambda: memory.note(layout, "release", version, detail=f"{since} → {name}"))
        memory.forget(layout.pending_release)


def check_release(layout: DeviceFolders, folder: Path) -> None:
    """Signature, then every file, and no file besides. Raises UpdateRefused."""
    listing = read_regular(folder / LISTING, _LISTING_BYTES)
    if (layout.trust / RELEASE_SIGNERS).exists():
        signature = folder / SIGNATURE
        data = read_regular(signature, _SIGNATURE_BYTES) if signature.exists() else None
        check_known(layout, listing, data, "the release is")
    try:
        wanted = dict(strictjson.loads(listing, _LISTING_BYTES)["files"])
    except (ValueError, KeyError, TypeError) as error:
        raise UpdateRefused("damaged-release", f"{folder.name}: {LISTING} lists no files", "send it again") from error
    found = {path.relative_to(folder).as_posix(): path for path in (folder / "lib").rglob("*") if path.is_file()}
    if set(found) != set(wanted):
        odd = sorted(set(found) ^ set(wanted))[0]
        raise UpdateRefused("damaged-release", f"{folder.name}: {odd} is missing or not listed", "send it again")
    for name, path in found.items():
        if hashlib.sha256(path.read_bytes()).hexdigest() != wanted[name]:
            raise UpdateRefused("damaged-release", f"{folder.name}: {name} is not what the list says", "send it again")


def point_code(layout: DeviceFolders, name: str) -> None:
    """Let the link lead to a release in one step. Raises OSError."""
    fresh = layout.code.with_name(".release.new")
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(f"releases/{name}")
    fresh.replace(layout.code)
    atomic.fsync_folder(layout.code.parent)


def end_interrupted(layout: DeviceFolders) -> str | None:
    """Before the service starts: the release before runs again where a trial was cut short; its name."""
    pending, _ = memory.look(PendingRelease, layout.pending_release)
    if pending is None or is_updating(layout):
        return None
    changed = layout.code.readlink().name != pending.since
    if changed:
        point_code(layout, pending.since)
    memory.attempt(lambda: memory.note(layout, "release-returned", None, "interrupted", pending.to))
    memory.forget(layout.pending_release)
    return pending.since if changed else None


def prune(layout: DeviceFolders, stay: set[str]) -> list[str]:
    """Remove every release but ``stay``, and every set of libraries that none of these needs; what was removed. As with
    bundles, two stay: the one that runs, and the one before. Raises OSError."""
    gone = _all_but(layout.releases, stay)
    needed = {_environment(layout.releases / name) for name in stay}
    return gone + _all_but(layout.releases.with_name("environments"), needed)


def _environment(folder: Path) -> str:
    try:
        return (folder / ENVIRONMENT).read_text(encoding="utf-8").strip()
    except OSError:
        return ""


def _all_but(parent: Path, stay: set[str]) -> list[str]:
    gone = [path for path in sorted(parent.iterdir()) if path.name not in stay] if parent.is_dir() else []
    for path in gone:
        shutil.rmtree(path, ignore_errors=True)
    return [f"{parent.name}/{path.name}" for path in gone]


def _program(layout: DeviceFolders, folder: Path) -> tuple[str, dict[str, str]]:
    """The release's interpreter, and the surroundings in which it finds its own code."""
    environment = (folder / ENVIRONMENT).read_text(encoding="utf-8").strip()
    program = layout.root / "opt/fieldlens/environments" / environment / "bin/python"
    return str(program), {**os.environ, "PYTHONPATH": str(folder / "lib")}
