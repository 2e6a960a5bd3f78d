"""Opening a bundle: every byte is hashed before anything in it is used, and used from the bytes that were hashed.

A file is opened, recognised as an ordinary one and measured before its first byte is read.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path, PurePosixPath

from fieldlens.runtime.bundle.contents import check_contents
from fieldlens.runtime.bundle.manifest import FileInfo, Manifest, parse_manifest
from fieldlens.runtime.bundle.opened import COPY_AGAIN, Bundle, unreadable
from fieldlens.runtime.bundle.precision import model_file
from fieldlens.runtime.bundle.signature import Policy, check_signature, device_policy
from fieldlens.runtime.errors import BundleError
from fieldlens.runtime.files import bounds
from fieldlens.runtime.files.trusted import UntrustedError, open_regular, read_open

MANIFEST = "manifest.json"
SIGNATURE = "manifest.json.sig"


def open_bundle(
    path: Path, *, check_files: bool = True, allow_unsigned: bool = False, signers: Policy | None = None
) -> Bundle:
    """Open the bundle folder ``path``.

    Where this device has a signature policy, the signature is checked before anything is parsed; ``allow_unsigned``
    only counts where the policy itself allows the override (a host). ``signers``: a policy that counts beside it.

    ``check_files`` hashes every listed file now and looks at what it holds; without it each is hashed when it is read.
    A partial copy lacks some of the listed model files (``Bundle.absent``), and nothing else.

    Raises BundleError: not a bundle, unknown format, wrong hash, missing or unlisted file, no model file at all,
    anything but ordinary files and folders, anything too large, a path that leaves the folder; SignatureRefused.
    """
    _check_folder(path)
    data, signature = read_manifest_bytes(path), read_signature(path)
    signer = None
    for policy in (device_policy(), signers):
        if policy is not None and not (allow_unsigned and policy.override):
            signer = check_signature(data, signature, policy)
    digest = hashlib.sha256(data).hexdigest()
    bundle = Bundle(path, parse_manifest(data), digest, signer, signature is not None)
    bundle = replace(bundle, absent=_check_listing(bundle))
    if check_files:
        for name in bundle.manifest.files:
            if name not in bundle.absent:
                bundle.check(name)
        check_contents(bundle)
    return bundle


def read_signature(path: Path) -> bytes | None:
    """The signature beside a bundle's manifest, or None. Raises BundleError for anything but an ordinary file."""
    try:
        return _read(path, SIGNATURE, bounds.SIGNATURE_BYTES)
    except FileNotFoundError:
        return None


def read_manifest_bytes(path: Path) -> bytes:
    """``manifest.json`` as it is, unparsed: what a signature is over. Raises BundleError."""
    try:
        return _read(path, MANIFEST, bounds.MANIFEST_BYTES)
    except FileNotFoundError as error:
        raise unreadable(path, MANIFEST, error) from error


def _check_folder(path: Path) -> None:
    hint = "give the folder NAME.bundle that `fieldlens convert bundle` made"
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        raise BundleError(f"{path} does not exist", hint) from None
    except OSError as error:
        raise BundleError(f"{path} cannot be opened ({error.strerror})", hint) from error
    if not stat.S_ISDIR(mode):
        raise BundleError(f"{path} is not a folder", hint)


def _check_listing(bundle: Bundle) -> tuple[str, ...]:
    """The folder holds exactly what the manifest lists, as ordinary files; the model files that it may be without."""
    listed = set(bundle.manifest.files)
    found = set(_walk(bundle, listed))
    models = [model_file(name) for name in bundle.manifest.precisions]
    if missing := sorted(listed - found - set(models)):
        raise BundleError(f"{bundle.path.name}: {missing[0]} is missing", COPY_AGAIN)
    if models and not found & set(models):
        raise BundleError(f"{bundle.path.name}: all model files are missing ({', '.join(models)})", COPY_AGAIN)
    return tuple(name for name in models if name not in found)


def _walk(bundle: Bundle, listed: set[str]) -> Iterator[str]:
    """Names of the listed files that are there. Stops at the first thing that has no place in a bundle."""
    inner = {parent.as_posix() for name in listed for parent in PurePosixPath(name).parents} - {"."}
    folders = [""]
    while folders:
        folder = folders.pop()
        try:
            with os.scandir(bundle.path / folder) as entries:
                for entry in entries:
                    name = f"{folder}/{entry.name}" if folder else entry.name
                    _check_entry(bundle, entry, name, listed, inner)
                    if name in inner:
                        folders.append(name)
                    else:
                        yield name
        except OSError as error:
            raise unreadable(bundle.path, folder or ".", error) from error


def _check_entry(bundle: Bundle, entry: os.DirEntry[str], name: str, listed: set[str], inner: set[str]) -> None:
    shown = name if name.isprintable() else repr(name)
    if entry.is_symlink():
        raise BundleError(f"{bundle.path.name}: {shown} is a symbolic link", COPY_AGAIN)
    if name not in inner | listed | {MANIFEST, SIGNATURE}:
        raise BundleError(
            f"{bundle.path.name}: {shown} is not listed in the manifest", "a bundle is never edited: remove it"
        )
    if entry.is_dir() != (name in inner):
        what = "a folder" if entry.is_dir() else "a file in a folder's place"
        raise BundleError(f"{bundle.path.name}: {shown} is {what}", COPY_AGAIN)


def _read(path: Path, name: str, limit: int) -> bytes:
    """All bytes of an ordinary file of a bundle. FileNotFoundError goes to the caller."""
    try:
        handle = open_regular(path / name)
        try:
            return read_open(handle, path / name, limit)
        finally:
            os.close(handle)
    except FileNotFoundError:
        raise
    except (UntrustedError, OSError) as error:
        raise unreadable(path, name, error) from error


def describe_files(folder: Path) -> dict[str, FileInfo]:
    """Hash and size of every file below ``folder`` (but the manifest and its signature), for a new manifest."""
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    return {name: describe_file(folder / name) for name in names if name not in (MANIFEST, SIGNATURE)}


def describe_file(path: Path) -> FileInfo:
    """Hash and size of a file."""
    data = path.read_bytes()
    return FileInfo(hashlib.sha256(data).hexdigest(), len(data))


def manifest_bytes(manifest: Manifest) -> bytes:
    """The exact bytes of ``manifest.json``."""
    return (json.dumps(manifest.to_json(), indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()
