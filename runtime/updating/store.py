"""Versions on the disk: copied from checked bytes, whole or not at all; old ones removed."""

from __future__ import annotations

import shutil
from pathlib import Path

from fieldlens.runtime.bundle.open import MANIFEST, SIGNATURE, open_bundle, read_manifest_bytes, read_signature
from fieldlens.runtime.bundle.opened import Bundle
from fieldlens.runtime.errors import KitError
from fieldlens.runtime.files import atomic
from fieldlens.runtime.updating.layout import DeviceFolders, InstalledVersion, UpdateRefused, version_of

SPARE_BYTES = 64 * 2**20
"""Left free beside a new version, for results and for the small files of an update."""


def serving(layout: DeviceFolders) -> InstalledVersion | None:
    """The version that ``current`` leads to; None where there is none, or where it is not a bundle."""
    try:
        return version_of(open_bundle(layout.current, check_files=False))
    except KitError:
        return None


def lies_whole(layout: DeviceFolders, version: InstalledVersion) -> bool:
    """Whether every byte of an installed version is what its manifest says, and the version is the one meant."""
    try:
        return version_of(open_bundle(layout.bundles / version.place)) == version
    except KitError:
        return False


def check_space(layout: DeviceFolders, bundle: Bundle) -> None:
    """Raises UpdateRefused where the disk has no room for the bundle and some spare."""
    needs = sum(info.size for name, info in bundle.manifest.files.items() if name not in bundle.absent) + SPARE_BYTES
    free = shutil.disk_usage(layout.bundles).free
    if free < needs:
        raise UpdateRefused(
            "disk-full", f"{layout.bundles} has {free / 1e6:.0f} MB free; the update needs {needs / 1e6:.0f} MB",
            "remove old results or bundles, then push again",
        )  # fmt: skip


def add(layout: DeviceFolders, bundle: Bundle, serving_now: InstalledVersion | None) -> InstalledVersion:
    """Copy ``bundle`` to its place from bytes that match their hashes; what lies there whole is used.

    Raises UpdateRefused: another bundle has this number; no space. Raises BundleError for a byte that changed.
    """
    version = version_of(bundle)
    target = layout.bundles / version.place
    if lies_whole(layout, version):
        return version
    if serving_now is not None and serving_now.place == version.place:
        raise UpdateRefused(
            "same-number", f"{version.title} is installed here already, with other contents",
            "give the new bundle a higher --version",
        )  # fmt: skip
    check_space(layout, bundle)
    if target.exists():
        shutil.rmtree(target)
    try:
        with atomic.folder(target, atomic.PUBLIC_FOLDER) as folder:
            _copy(bundle, folder)
    except OSError as error:
        raise UpdateRefused(
            "cannot-write", f"{target} cannot be written ({error.strerror})", "check the disk: `fieldlens doctor`"
        ) from error
    open_bundle(target)
    return version


def _copy(bundle: Bundle, folder: Path) -> None:
    for name in bundle.manifest.files:
        if name not in bundle.absent:
            atomic.make_folder((folder / name).parent, atomic.PUBLIC_FOLDER)
            (folder / name).write_bytes(bundle.read(name))
    if (signature := read_signature(bundle.path)) is not None:
        (folder / SIGNATURE).write_bytes(signature)
    (folder / MANIFEST).write_bytes(read_manifest_bytes(bundle.path))


def point(layout: DeviceFolders, version: InstalledVersion | None) -> None:
    """Let ``current`` lead to ``version`` in one step: the old link or the new one is there, never none.

    None removes the link: nothing served before. Raises OSError.
    """
    if version is None:
        layout.current.unlink(missing_ok=True)
    else:
        fresh = layout.bundles / ".current.new"
        fresh.unlink(missing_ok=True)
        fresh.symlink_to(version.place)
        fresh.replace(layout.current)
    atomic.fsync_folder(layout.bundles)


def prune(layout: DeviceFolders, keep: tuple[InstalledVersion | None, ...]) -> list[str]:
    """Remove every version but ``keep``; what was removed."""
    kept = {version.place for version in keep if version is not None}
    removed = []
    for folder in sorted(layout.bundles.glob("*/*")):
        place = folder.relative_to(layout.bundles).as_posix()
        if folder.parent.is_symlink() or folder.name.startswith(".") or place in kept:
            continue
        shutil.rmtree(folder, ignore_errors=True)
        removed.append(place)
    return removed
