"""An update on a stick: a checked copy of the bundle, which `fieldlens update` takes from there without any network."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from fieldlens.convert.slim import slim
from fieldlens.runtime.bundle.copying import copy_into
from fieldlens.runtime.bundle.open import SIGNATURE, open_bundle, read_signature
from fieldlens.runtime.bundle.opened import Bundle
from fieldlens.runtime.errors import KitError, OutputError
from fieldlens.runtime.files import atomic

HOW = "HOW-TO-UPDATE.txt"
_TEXT = """On the station, as its administrator:

    fieldlens update {place}

The station checks the bundle, tries it beside the version that serves now, and goes back by itself if it does not work.
Nothing happens before somebody types that line.
"""


@dataclass(frozen=True)
class OnStick:
    """Where the copy lies, and what it holds. ``there``: it was there already."""

    path: Path
    bundle: Bundle
    size_bytes: int
    there: bool = False


def write_stick(stick: Path, source: Path, targets: tuple[str, ...] | None = None) -> OnStick:
    """Copy ``source`` to ``stick`` as ``NAME-NUMBER.bundle``, whole or not at all, and read it back.

    ``targets``: only the model files for these. Raises KitError.
    """
    if not stick.is_dir():
        raise OutputError(f"{stick} is not a folder", "give the folder where the stick is mounted")
    bundle = open_bundle(source, allow_unsigned=True)
    target = stick / f"{bundle.manifest.name}-{bundle.manifest.version.number}.bundle"
    if target.exists() and (kept := _same(target, bundle)) is not None:
        return _signed_alike(target, kept, read_signature(source))
    _check_room(stick, bundle)
    if targets is None:
        with atomic.folder(target, atomic.PUBLIC_FOLDER) as folder:
            copy_into(folder, bundle)
    else:
        slim(source, target, targets)
    atomic.write_text(stick / HOW, _TEXT.format(place=f"/media/STICK/{target.name}"), atomic.PUBLIC)
    back = open_bundle(target, allow_unsigned=True)
    return OnStick(target, back, _size(back))


def _same(target: Path, bundle: Bundle) -> Bundle | None:
    """The bundle that lies there, if it is the same and whole. Raises OutputError where it is another one."""
    try:
        found = open_bundle(target, allow_unsigned=True)
    except KitError:
        shutil.rmtree(target)  # a copy that was cut short, or a worn-out stick
        return None
    if found.hash != bundle.hash:
        raise OutputError(
            f"{target} is another bundle with the same number", "give the new bundle a higher --version, or remove it"
        )
    return found


def _signed_alike(target: Path, kept: Bundle, signature: bytes | None) -> OnStick:
    """The same bundle, which may have been signed since, or by somebody else."""
    if signature is None or signature == read_signature(target):
        return OnStick(target, kept, _size(kept), there=True)
    atomic.write_bytes(target / SIGNATURE, signature, atomic.PUBLIC)
    return OnStick(target, open_bundle(target, allow_unsigned=True), _size(kept))


def _size(bundle: Bundle) -> int:
    return sum(info.size for name, info in bundle.manifest.files.items() if name not in bundle.absent)


def _check_room(stick: Path, bundle: Bundle) -> None:
    free, needs = shutil.disk_usage(stick).free, _size(bundle)
    if free < needs + 1_000_000:
        raise OutputError(
            f"{stick} has {free / 1e6:.0f} MB free; the bundle needs {needs / 1e6:.0f} MB",
            "take a larger stick, or copy only what the device needs: --for cpu",
        )
