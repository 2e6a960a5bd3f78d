"""The kit's own code as a device gets it: the files of its wheel, and a list of them with their hashes."""

from __future__ import annotations

import functools
import hashlib
import io
import json
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

import fieldlens
from fieldlens.runtime.bundle.signature import RELEASE_NAMESPACE, sign
from fieldlens.runtime.errors import KitError

_ROOMS = ("train", "convert", "runtime", "benchmarks", "recipes", "fieldlens")
_SOURCES = ("pyproject.toml", "setup.py", "MANIFEST.in", "README.md", "LICENSE", "requirements.txt")


def checkout() -> Path:
    """The folder with deploy.sh. Raises KitError where the kit was installed without its sources."""
    folder = Path(fieldlens.__file__).parent.parent
    if not (folder / "deploy.sh").is_file() or not (folder / "deploy").is_dir():
        raise KitError("this kit was installed without its sources", "run ./deploy.sh in a checkout")
    return folder


@dataclass(frozen=True)
class Release:
    """``files``: path below the release's folder → bytes. ``name``: version and the first digits of their hash."""

    name: str
    files: dict[str, bytes]
    listing: bytes

    @property
    def digest(self) -> str:
        """SHA-256 over what ``sha256sum`` prints of the files in the order of their names."""
        lines = (f"{hashlib.sha256(data).hexdigest()}  {name}\n" for name, data in sorted(self.files.items()))
        return hashlib.sha256("".join(lines).encode()).hexdigest()

    @property
    def size_bytes(self) -> int:
        """Of all files."""
        return sum(map(len, self.files.values()))


@functools.cache
def build_release() -> Release:
    """Build the wheel of this checkout and take it apart. Raises KitError."""
    with tempfile.TemporaryDirectory(prefix="fieldlens-release-") as name:
        files = _unpacked(_wheel(Path(name)))
    hashes = {path: hashlib.sha256(data).hexdigest() for path, data in sorted(files.items())}
    digest = hashlib.sha256(json.dumps(hashes).encode()).hexdigest()
    title = f"{fieldlens.__version__}-{digest[:12]}"
    listing = json.dumps({"format": 1, "name": title, "files": hashes}, indent=1).encode() + b"\n"
    return Release(title, files, listing)


def _wheel(place: Path) -> Path:
    root = checkout()
    for folder in _ROOMS:
        shutil.copytree(
            root / folder, place / folder, symlinks=True, ignore=shutil.ignore_patterns("__pycache__", "ready")
        )
    for file in _SOURCES:
        shutil.copy(root / file, place)
    (place / "dist").mkdir()
    code = "from setuptools import build_meta\nbuild_meta.build_wheel('dist')"
    done = subprocess.run([sys.executable, "-c", code], cwd=place, capture_output=True, text=True, check=False)
    wheels = list((place / "dist").glob("*.whl"))
    if done.returncode != 0 or not wheels:
        last = (done.stderr.strip().splitlines() or ["no wheel was written"])[-1]
        raise KitError(f"the wheel cannot be built: {last}", "./deploy.sh setup brings what it needs")
    return wheels[0]


def _unpacked(wheel: Path) -> dict[str, bytes]:
    """Without RECORD and WHEEL, which change with the build and not with the code."""
    with zipfile.ZipFile(wheel) as archive:
        names = [name for name in archive.namelist() if not name.endswith(("/", "/RECORD", "/WHEEL"))]
        return {f"lib/{name}": archive.read(name) for name in names}


def signature_of(release: Release, key: Path) -> bytes:
    """With the namespace of releases: a key that may sign models need not sign programs. Raises SignatureRefused."""
    return sign(release.listing, key, RELEASE_NAMESPACE)


def archive(files: dict[str, bytes], executable: tuple[str, ...] = ()) -> bytes:
    """A tar of ``files``, all of them for everybody to read."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz", compresslevel=6) as tar:
        for name, data in sorted(files.items()):
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(data), 0o755 if name in executable else 0o644
            tar.addfile(info, io.BytesIO(data))
    return buffer.getvalue()
