"""Versions on the disk: copied from checked bytes, whole or not at all; old ones removed."""

from __future__ import annotations

import errno
import shutil
from pathlib import Path

from fieldlens.runtime.bundle.copying import copy_into
from fieldlens.runtime.bundle.open import SIGNATURE, open_bundle, read_signature
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


def leads_to(layout: DeviceFolders) -> str:
    """Where the link ``current`` leads, as ``NAME/NUMBER``; empty where there is none."""
    try:
        return str(layout.current.readlink())
    except OSError:
        return ""


def installed(layout: DeviceFolders) -> list[InstalledVersion]:
    """Every folder whose manifest can be read and whose place fits it, whether its files are whole or not."""
    found = []
    for folder in _folders(layout):
        try:
            version = version_of(open_bundle(folder, check_files=False))
        except KitError:
            continue
        if layout.bundles / version.place == folder:
            found.append(version)
    return found


def _folders(layout: DeviceFolders) -> list[Path]:
    """``NAME/NUMBER``: never through the link, nothing hidden."""
    found = sorted(layout.bundles.glob("*/*"))
    return [folder for folder in found if not folder.parent.is_symlink() and not folder.name.startswith(".")]


def fault(layout: DeviceFolders, version: InstalledVersion) -> str:
    """Why an installed version cannot serve: a byte that is not what its manifest says, a signature that no longer
    counts, another version in its place. Empty where it can."""
    try:
        found = version_of(open_bundle(layout.bundles / version.place))
    except KitError as error:
        return f"{version.title} cannot serve: {error.message}"
    return "" if found == version else f"{version.title} is another bundle than the one that was installed"


def check_space(layout: DeviceFolders, bundle: Bundle) -> None:
    """Raises UpdateRefused where the disk has no room for the bundle and some spare."""
    needs = sum(info.size for name, info in bundle.manifest.files.items() if name not in bundle.absent) + SPARE_BYTES
    place = next(each for each in (layout.bundles, *layout.bundles.parents) if each.exists())
    free = shutil.disk_usage(place).free
    if free < needs:
        raise UpdateRefused(
            "disk-full", f"{layout.bundles} has {free / 1e6:.0f} MB free; the update needs {needs / 1e6:.0f} MB",
            "remove old results or bundles, then try again",
        )  # fmt: skip


def of_the_disk(error: OSError) -> UpdateRefused:
    """What the disk refused, as a refusal."""
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    return UpdateRefused(
        "disk-full" if full else "cannot-write",
        f"{error.filename or 'the disk'} cannot be written ({error.strerror or error})",
        "remove old results or bundles, then try again" if full else "check the disk: `fieldlens doctor`",
    )


def add(layout: DeviceFolders, bundle: Bundle, keeps: tuple[InstalledVersion, ...]) -> InstalledVersion:
    """Copy ``bundle`` to its place from bytes that match their hashes; what lies there whole is used.

    ``keeps``: versions that must not be replaced by another bundle with their number. The same bundle again repairs
    one that is damaged on the disk. Raises UpdateRefused: another bundle has this number; no space. Raises BundleError
    for a byte that changed.
    """
    version = version_of(bundle)
    target = layout.bundles / version.place
    if not fault(layout, version):
        _renew_signature(target, bundle)
        return version
    check_number(version, keeps)
    check_space(layout, bundle)
    try:
        make_room(target)
        with atomic.folder(target, atomic.PUBLIC_FOLDER) as folder:
            copy_into(folder, bundle)
        atomic.fsync_folder(layout.bundles)
    except OSError as error:
        raise of_the_disk(error) from error
    open_bundle(target)
    return version


def _renew_signature(installed: Path, bundle: Bundle) -> None:
    """The same bundle, signed by somebody else: his signature counts from now on, so that the other can be revoked."""
    fresh = read_signature(bundle.path)
    if fresh is not None and fresh != read_signature(installed):
        try:
            atomic.write_bytes(installed / SIGNATURE, fresh, atomic.PUBLIC)
        except OSError as error:
            raise of_the_disk(error) from error


def check_number(version: InstalledVersion, keeps: tuple[InstalledVersion, ...]) -> None:
    """A number means one bundle. Raises UpdateRefused."""
    if any(each.place == version.place and each.hash != version.hash for each in keeps):
        raise UpdateRefused(
            "same-number", f"{version.title} is installed here already, with other contents",
            "give the new bundle a higher --version",
        )  # fmt: skip


def make_room(target: Path) -> None:
    """Move away what lies in a version's place; :func:`prune` removes it."""
    aside = target.with_name(f".{target.name}.old")
    shutil.rmtree(aside, ignore_errors=True)
    if target.exists():
        target.rename(aside)


def point(layout: DeviceFolders, version: InstalledVersion | None) -> None:
    """Let ``current`` lead to ``version`` in one step: the old link or the new one is there, never none.

    None removes the link: nothing served before. Raises OSError.
    """
    if version is None:
        layout.current.unlink(missing_ok=True)
    else:
        ready = layout.way_back if _is_way_to(layout, version) else _fresh(layout, ".current.new", version)
        ready.replace(layout.current)
    atomic.fsync_folder(layout.bundles)


def prepare_way_back(layout: DeviceFolders, version: InstalledVersion | None) -> None:
    """Make the link by which an update is taken back, before it is needed. Raises OSError."""
    layout.way_back.unlink(missing_ok=True)
    if version is not None:
        _fresh(layout, layout.way_back.name, version)


def _fresh(layout: DeviceFolders, name: str, version: InstalledVersion) -> Path:
    link = layout.bundles / name
    link.unlink(missing_ok=True)
    link.symlink_to(version.place)
    return link


def _is_way_to(layout: DeviceFolders, version: InstalledVersion) -> bool:
    return layout.way_back.is_symlink() and str(layout.way_back.readlink()) == version.place


def prune(layout: DeviceFolders, keep: tuple[InstalledVersion | None, ...]) -> list[str]:
    """Remove every version but ``keep``, the service's caches of it, and what was moved away; what was removed."""
    kept = {version.place for version in keep if version is not None}
    hashes = {version.hash for version in keep if version is not None}
    known = {version.place: version.hash for version in installed(layout)}
    removed = []
    for folder in _folders(layout):
        place = folder.relative_to(layout.bundles).as_posix()
        if place not in kept:
            shutil.rmtree(folder, ignore_errors=True)
            removed.append(place)
            if place in known and known[place] not in hashes:
                _forget_caches(layout, known[place])
    for left in layout.bundles.glob("*/.*.old"):
        shutil.rmtree(left, ignore_errors=True)
    return removed


def _forget_caches(layout: DeviceFolders, digest: str) -> None:
    """Engines, compiled models, self-tests. What people decided (a camera's limits, a site's threshold) stays."""
    for kind in ("engines", "compiled", "selftest"):
        shutil.rmtree(layout.service_state / kind / digest[:16], ignore_errors=True)
