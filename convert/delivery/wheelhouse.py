"""Libraries for a device without internet: wheels for its Python, processor and C library, fetched here, with hashes.

uv resolves for the other machine within the versions and the hashes of the device's lock, where it has one; pip
fetches. Everything is a wheel but pycuda, which has none: its sdist travels with what builds it, and is compiled there
against the board's CUDA.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from fieldlens.convert.delivery.locks import DeviceLock, blocks, normal, pinned
from fieldlens.runtime.errors import KitError
from fieldlens.runtime.files import atomic

BUILT_THERE = "pycuda"
_OLDEST_MINOR = 17
_INSTALLED, _BUILDERS = "requirements.txt", "builders.txt"


@dataclass(frozen=True)
class WheelTarget:
    """The machine that the libraries are for. ``glibc``: its C library's version, as ``2.35``."""

    python: str
    machine: str
    glibc: str
    jetson: bool = False

    @property
    def name(self) -> str:
        """A folder's name."""
        return f"{'jetson' if self.jetson else 'device'}-py{self.python}-{self.machine}-glibc{self.glibc}"

    @property
    def _minor(self) -> int:
        return int(self.glibc.partition(".")[2])

    @property
    def uv_platform(self) -> str:
        """As uv names it."""
        return f"{self.machine}-manylinux_2_{min(self._minor, 40)}"

    @property
    def tags(self) -> list[str]:
        """Every tag of a wheel that runs there, as pip names them."""
        minors = range(_OLDEST_MINOR, self._minor + 1)
        return [*(f"manylinux_2_{minor}_{self.machine}" for minor in minors), f"manylinux2014_{self.machine}"]


@dataclass(frozen=True)
class Wheelhouse:
    """A folder of files that pip installs from with ``--no-index``; ``requirements``: with hashes."""

    folder: Path
    target: WheelTarget

    @property
    def requirements(self) -> Path:
        """What to install, version and hashes of each."""
        return self.folder / _INSTALLED

    @property
    def builders(self) -> Path:
        """What to install before, on a board that compiles pycuda; there only for a Jetson."""
        return self.folder / _BUILDERS

    @property
    def files(self) -> list[Path]:
        """Wheels, and pycuda's sdist."""
        return sorted([*self.folder.glob("*.whl"), *self.folder.glob("*.tar.gz")])

    @property
    def size_bytes(self) -> int:
        """Of all files."""
        return sum(path.stat().st_size for path in self.files)


def make_wheelhouse(target: WheelTarget, parent: Path) -> Wheelhouse:
    """Resolve and fetch into ``parent``; what is there already is not fetched again. Raises KitError."""
    made = Wheelhouse(parent / target.name, target)
    atomic.make_folder(made.folder, atomic.PUBLIC_FOLDER)
    lock = DeviceLock(target.python, target.jetson)
    text = resolve(target, lock.sources, lock.files)
    lock.check(text)
    atomic.write_text(made.requirements, text, atomic.PUBLIC)
    wheels = "\n".join(block for block in blocks(text) if not block.startswith(f"{BUILT_THERE}=="))
    _fetch(made, wheels, target)
    if target.jetson:
        _fetch_sdist(made, next(block for block in blocks(text) if block.startswith(f"{BUILT_THERE}==")))
        build = DeviceLock(target.python, target.jetson, build=True)
        builders = resolve(target, build.sources, build.files)
        build.check(builders)
        atomic.write_text(made.builders, builders, atomic.PUBLIC)
        _fetch(made, builders, target)
    check_complete(made)
    return made


def resolve(target: WheelTarget, sources: Sequence[Path], constraints: Iterable[Path]) -> str:
    """Pinned versions with hashes, all of them wheels for ``target`` but pycuda. Raises KitError."""
    words = ["pip", "compile", "--quiet", "--python-version", target.python, "--python-platform", target.uv_platform]
    words += ["--generate-hashes", "--no-emit-index-url", "--no-annotate", "--no-header", "--only-binary", ":all:"]
    words += ["--no-binary", BUILT_THERE] if target.jetson else []
    words += [word for path in constraints for word in ("-c", str(path))]
    return _run([_uv(), *words, *map(str, sources)]).stdout


def check_complete(made: Wheelhouse) -> None:
    """Every requirement has its file. Raises KitError."""
    have = {normal(path.name.split("-")[0]) for path in made.files}
    lists = [path for path in (made.requirements, made.builders) if path.exists()]
    wanted = {name for path in lists for name in pinned(path.read_text(encoding="utf-8"))}
    if lacking := sorted(wanted - have):
        raise KitError(f"{made.folder}: {lacking[0]} is missing", "run it again, with a network")


def _fetch(made: Wheelhouse, requirements: str, target: WheelTarget) -> None:
    if not requirements.strip():
        return
    file = made.folder / ".fetch.txt"
    file.write_text(requirements + "\n", encoding="utf-8")
    abi = f"cp{target.python.replace('.', '')}"
    platforms = [word for tag in reversed(target.tags) for word in ("--platform", tag)]
    abis = [word for name in (abi, "abi3", "none") for word in ("--abi", name)]
    words = ["--only-binary", ":all:", "--python-version", target.python, "--implementation", "cp", *platforms, *abis]
    _pip([*words, "--require-hashes", "--no-deps", "-r", str(file)], made)
    file.unlink()


def _fetch_sdist(made: Wheelhouse, requirement: str) -> None:
    file = made.folder / ".fetch.txt"
    file.write_text(requirement + "\n", encoding="utf-8")
    _pip(["--no-binary", BUILT_THERE, "--no-deps", "--require-hashes", "-r", str(file)], made)
    file.unlink()


def _pip(words: list[str], made: Wheelhouse) -> None:
    common = ["download", "--quiet", "--disable-pip-version-check", "--dest", str(made.folder)]
    _run([sys.executable, "-m", "pip", *common, *words])


def _uv() -> str:
    beside = Path(sys.executable).with_name("uv")
    found = str(beside) if beside.exists() else shutil.which("uv")
    if found is None:
        raise KitError("uv is not installed here", "./deploy.sh setup brings it")
    return found


def _run(command: list[str]) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        said = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        words = " ".join(said[-4:]) or f"it ended with {done.returncode}"
        raise KitError(f"{Path(command[0]).name}: {words}", "fetching needs a network")
    return done
