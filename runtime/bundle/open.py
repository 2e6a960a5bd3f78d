"""Opening a bundle: every byte is hashed before anything in it is used, and used from the bytes that were hashed."""

from __future__ import annotations

import hashlib
import json
import os
import stat
from dataclasses import dataclass
from pathlib import Path

from fieldlens.runtime.bundle.manifest import FileInfo, Manifest, parse_manifest
from fieldlens.runtime.bundle.signature import check_signature, device_policy
from fieldlens.runtime.errors import BundleError

MANIFEST = "manifest.json"
SIGNATURE = "manifest.json.sig"
_COPY_AGAIN = "copy the bundle again from where it was made"


@dataclass(frozen=True)
class Bundle:
    """An opened bundle. ``hash`` is the SHA-256 of its manifest, which in turn fixes every other file."""

    path: Path
    manifest: Manifest
    hash: str

    def read(self, name: str) -> bytes:
        """The bytes of a listed file, checked against the manifest. Raises BundleError."""
        info = self.manifest.files.get(name)
        if info is None:
            raise BundleError(f"{self.path.name} has no file {name!r}", "make the bundle with that target")
        data = _read(self.path / name, self.path)
        if len(data) != info.size or hashlib.sha256(data).hexdigest() != info.sha256:
            raise BundleError(f"{self.path.name}: {name} does not match its hash in the manifest", _COPY_AGAIN)
        return data

    def model(self, precision: str) -> bytes:
        """The ONNX file of a precision, as bytes."""
        return self.read(f"model.{precision}.onnx")

    @property
    def title(self) -> str:
        """Name and version, for people and records."""
        return f"{self.manifest.name} {self.manifest.version.label}"


def open_bundle(path: Path, *, check_files: bool = True, allow_unsigned: bool = False) -> Bundle:
    """Open the bundle folder ``path``.

    Where this device has a signature policy, the signature is checked before anything is parsed; ``allow_unsigned``
    only counts where the policy itself allows the override (a host).

    ``check_files`` hashes every listed file now; without it each is hashed when it is read. Raises BundleError:
    not a bundle, unknown format, wrong hash, missing or unlisted file, symbolic link, path that leaves the folder.
    """
    if not path.is_dir():
        what = "is not a folder" if path.exists() else "does not exist"
        raise BundleError(f"{path} {what}", "give the folder NAME.bundle that `python -m convert bundle` made")
    data = _read(path / MANIFEST, path)
    policy = device_policy()
    if policy is not None and not (allow_unsigned and policy.override):
        check_signature(data, read_signature(path), policy)
    bundle = Bundle(path, parse_manifest(data), hashlib.sha256(data).hexdigest())
    _check_listing(bundle)
    if check_files:
        for name in bundle.manifest.files:
            bundle.read(name)
    return bundle


def read_signature(path: Path) -> bytes | None:
    """The signature beside a bundle's manifest, or None. Raises BundleError for a link."""
    return _read(path / SIGNATURE, path) if os.path.lexists(path / SIGNATURE) else None


def read_manifest_bytes(path: Path) -> bytes:
    """``manifest.json`` as it is, unparsed: what a signature is over. Raises BundleError."""
    return _read(path / MANIFEST, path)


def _check_listing(bundle: Bundle) -> None:
    """The folder holds exactly what the manifest lists, as ordinary files."""
    listed = set(bundle.manifest.files)
    for name in listed:
        if name.startswith("/") or "\\" in name or any(part in ("", ".", "..") for part in name.split("/")):
            raise BundleError(f"{bundle.path.name}: the manifest lists a forbidden path {name!r}", _COPY_AGAIN)
    found = set()
    for root, folders, files in os.walk(bundle.path):
        for name in (*folders, *files):
            path = Path(root, name)
            if path.is_symlink():
                raise BundleError(f"{bundle.path.name}: {_inside(path, bundle)} is a symbolic link", _COPY_AGAIN)
        found |= {_inside(Path(root, name), bundle) for name in files}
    if unlisted := sorted(found - listed - {MANIFEST, SIGNATURE}):
        raise BundleError(
            f"{bundle.path.name}: {unlisted[0]} is not listed in the manifest", "a bundle is never edited: remove it"
        )
    if missing := sorted(listed - found):
        raise BundleError(f"{bundle.path.name}: {missing[0]} is missing", _COPY_AGAIN)


def _inside(path: Path, bundle: Bundle) -> str:
    return path.relative_to(bundle.path).as_posix()


def _read(path: Path, bundle: Path) -> bytes:
    """All bytes of an ordinary file. O_NOFOLLOW: a link put there after the listing was checked is refused, too."""
    name = path.relative_to(bundle).as_posix()
    try:
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0))
    except FileNotFoundError:
        raise BundleError(f"{bundle.name}: {name} is missing", _COPY_AGAIN) from None
    except OSError as error:
        raise BundleError(f"{bundle.name}: {name} cannot be read ({error.strerror})", _COPY_AGAIN) from error
    with os.fdopen(handle, "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise BundleError(f"{bundle.name}: {name} is not an ordinary file", _COPY_AGAIN)
        return file.read()


def describe_files(folder: Path) -> dict[str, FileInfo]:
    """Hash and size of every file below ``folder`` (but the manifest and its signature), for a new manifest."""
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    infos = {}
    for name in names:
        if name not in (MANIFEST, SIGNATURE):
            data = (folder / name).read_bytes()
            infos[name] = FileInfo(hashlib.sha256(data).hexdigest(), len(data))
    return infos


def manifest_bytes(manifest: Manifest) -> bytes:
    """The exact bytes of ``manifest.json``."""
    return (json.dumps(manifest.to_json(), indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()
