"""A bundle's files written again, each checked on the way: for sticks, devices, and partial copies."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from fieldlens.runtime.bundle.open import MANIFEST, SIGNATURE, read_manifest_bytes, read_signature
from fieldlens.runtime.bundle.opened import Bundle
from fieldlens.runtime.files import atomic


def copy_into(folder: Path, bundle: Bundle, names: Iterable[str] | None = None) -> None:
    """Write ``names`` (None: all files that are there), the signature, and last the manifest, byte for byte.

    Raises BundleError for a file that is not what the manifest lists, and OSError.
    """
    listed = bundle.manifest.files if names is None else names
    for name in (each for each in listed if each not in bundle.absent):
        atomic.make_folder((folder / name).parent, atomic.PUBLIC_FOLDER)
        (folder / name).write_bytes(bundle.read(name))
    if (signature := read_signature(bundle.path)) is not None:
        (folder / SIGNATURE).write_bytes(signature)
    (folder / MANIFEST).write_bytes(read_manifest_bytes(bundle.path))
