"""An OpenSSH signature beside the manifest (design, decision 7)."""

from __future__ import annotations

from pathlib import Path

from runtime import atomic
from runtime.bundle import SIGNATURE, open_bundle, read_manifest_bytes
from runtime.signature import example_line, sign


def sign_bundle(folder: Path, key: Path) -> None:
    """Sign a whole bundle. Every file is checked first: a signature vouches for all of them. Raises KitError."""
    open_bundle(folder, allow_unsigned=True)
    atomic.write_bytes(folder / SIGNATURE, sign(read_manifest_bytes(folder), key))
    print(f"signed: {folder / SIGNATURE}")
    print(f"a device accepts it with a line like this among its allowed signers: {example_line()}")
