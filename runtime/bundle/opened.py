"""An opened bundle: its files are compared with the manifest whenever they are read."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fieldlens.runtime.bundle.manifest import FileInfo, Manifest
from fieldlens.runtime.bundle.precision import model_file
from fieldlens.runtime.errors import BundleError
from fieldlens.runtime.files.trusted import UntrustedError, open_regular, read_open

COPY_AGAIN = "copy the bundle again from where it was made"
COPY_WHOLE = "copy the whole bundle from where it was made"
_BLOCK = 1 << 20


@dataclass(frozen=True)
class Bundle:
    """An opened bundle. ``hash`` is the SHA-256 of its manifest, which in turn fixes every other file.

    ``signer``: whose signature was checked and counts on this device; None where nobody's was, with a signature
    (``has_signature``) or without. ``absent``: names of listed model files that a partial copy is without. ``kept``:
    what opening has read and checked already, for its first user.
    """

    path: Path
    manifest: Manifest
    hash: str
    signer: str | None = None
    has_signature: bool = False
    absent: tuple[str, ...] = ()
    kept: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)

    def read(self, name: str) -> bytes:
        """The bytes of a listed file, checked against the manifest. Raises BundleError."""
        info = self.manifest.files.get(name)
        if info is None:
            raise BundleError(f"{self.path.name} has no file {name!r}", "make the bundle with that target")
        if name in self.absent:
            raise BundleError(self.left_out(name), COPY_WHOLE)
        handle = self._open(name, info)
        try:
            data = read_open(handle, self.path / name, info.size)
        except (UntrustedError, OSError) as error:
            raise unreadable(self.path, name, error) from error
        finally:
            os.close(handle)
        self._compare(name, hashlib.sha256(data), info)
        return data

    def check(self, name: str) -> None:
        """Compare a listed file with the manifest, whatever its size in little memory. Raises BundleError."""
        info, digest = self.manifest.files[name], hashlib.sha256()
        handle, left = self._open(name, info), info.size + 1
        try:
            while left > 0 and (block := os.read(handle, min(_BLOCK, left))):
                digest.update(block)
                left -= len(block)
        except OSError as error:
            raise unreadable(self.path, name, error) from error
        finally:
            os.close(handle)
        self._compare(name, digest, info)

    def model(self, precision: str) -> bytes:
        """The ONNX file of a precision, as bytes."""
        return self.read(model_file(precision))

    @property
    def precisions(self) -> tuple[str, ...]:
        """Model files that are here, the reference first: ``fp32``, ``int8-cpu``, …"""
        return tuple(name for name in self.manifest.precisions if model_file(name) not in self.absent)

    @property
    def partial(self) -> str:
        """What a partial copy is without, in words; empty for a whole bundle."""
        return f"partial copy, without {', '.join(self.absent)}" if self.absent else ""

    @property
    def matching(self) -> str:
        """That the files were checked, how many, and which model files are not here."""
        count = len(self.manifest.files) - len(self.absent)
        return f"{count} files match their hashes" + (f"; {self.partial}" if self.absent else "")

    def left_out(self, name: str) -> str:
        """That a listed model file is not in this copy, and which ones are."""
        return f"{self.path.name} is a partial copy without {name}; it has {', '.join(self.precisions)}"

    @property
    def title(self) -> str:
        """Name and version, for people and records."""
        return f"{self.manifest.name} {self.manifest.version.label}"

    @property
    def signed(self) -> str:
        """Who vouches for the bundle, in words."""
        if self.signer is not None:
            return f"signed by {self.signer}"
        if self.has_signature:
            return "unverified: it is signed, but this device has no policy that says whose signature counts"
        return "unsigned: nothing says who made this bundle, or whether it was changed"

    def _open(self, name: str, info: FileInfo) -> int:
        """A handle on an ordinary file of the size that the manifest says."""
        try:
            handle = open_regular(self.path / name)
        except (UntrustedError, OSError) as error:
            raise unreadable(self.path, name, error) from error
        size = os.fstat(handle).st_size
        if size != info.size:
            os.close(handle)
            raise BundleError(
                f"{self.path.name}: {name} does not match its hash in the manifest ({size} bytes, not {info.size})",
                COPY_AGAIN,
            )
        return handle

    def _compare(self, name: str, digest: Any, info: FileInfo) -> None:
        if digest.hexdigest() != info.sha256:
            raise BundleError(f"{self.path.name}: {name} does not match its hash in the manifest", COPY_AGAIN)


def unreadable(path: Path, name: str, error: UntrustedError | OSError) -> BundleError:
    if isinstance(error, FileNotFoundError):
        return BundleError(f"{path.name}: {name} is missing", COPY_AGAIN)
    if isinstance(error, UntrustedError):
        return BundleError(f"{path.name}: {error.message}", COPY_AGAIN)
    return BundleError(f"{path.name}: {name} cannot be read ({error.strerror})", COPY_AGAIN)
