"""An OpenSSH signature beside the manifest (design, decision 7)."""

from __future__ import annotations

from pathlib import Path

from fieldlens.runtime.bundle.open import SIGNATURE, open_bundle, read_manifest_bytes
from fieldlens.runtime.bundle.signature import example_line, sign
from fieldlens.runtime.errors import BundleError
from fieldlens.runtime.files import atomic
from fieldlens.runtime.terminal.reporter import SILENT, Reporter


def sign_bundle(folder: Path, key: Path, reporter: Reporter = SILENT) -> Path:
    """Sign a whole bundle; the signature's path. Every file is checked first: a signature vouches for all of them.

    Raises KitError.
    """
    bundle = open_bundle(folder, allow_unsigned=True)
    if bundle.absent:
        raise BundleError(
            f"{folder.name} is a {bundle.partial}: a signature vouches for every file, and these cannot be checked",
            "sign the whole bundle; a partial copy of it keeps the signature",
        )
    path = folder / SIGNATURE
    atomic.write_bytes(path, sign(read_manifest_bytes(folder), key), atomic.PUBLIC)
    reporter.say(f"signed: {path}")
    reporter.say(f"a device accepts it with a line like this among its allowed signers: {example_line()}")
    return path
