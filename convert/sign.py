"""An OpenSSH signature beside the manifest (design, decision 7)."""

from __future__ import annotations

from pathlib import Path

from fieldlens.runtime.bundle.open import SIGNATURE, open_bundle, read_manifest_bytes
from fieldlens.runtime.bundle.signature import example_line, sign
from fieldlens.runtime.files import atomic


def sign_bundle(folder: Path, key: Path) -> None:
    """Sign a whole bundle. Every file is checked first: a signature vouches for all of them. Raises KitError."""
    open_bundle(folder, allow_unsigned=True)
    atomic.write_bytes(folder / SIGNATURE, sign(read_manifest_bytes(folder), key), atomic.PUBLIC)
    print(f"signed: {folder / SIGNATURE}")
    print(f"a device accepts it with a line like this among its allowed signers: {example_line()}")
