"""From a folder that somebody names to the bundle that is meant."""

from __future__ import annotations

from pathlib import Path

from fieldlens.runtime.bundle.open import MANIFEST
from fieldlens.runtime.errors import BundleError


def find_bundle(path: Path) -> Path:
    """``path`` itself, or the one bundle directly inside of it. Raises BundleError where there are several.

    What is neither stays as it is: opening it says what is wrong.
    """
    try:
        if (path / MANIFEST).exists() or not path.is_dir():
            return path
        inside = sorted(folder for folder in path.iterdir() if (folder / MANIFEST).is_file())
    except OSError:
        return path
    if len(inside) > 1:
        names = ", ".join(folder.name for folder in inside)
        raise BundleError(f"{path} is no bundle but holds {len(inside)}: {names}", f"name one of them: {inside[0]}")
    return inside[0] if inside else path
