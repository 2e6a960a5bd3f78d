"""The hashed locks that `./deploy.sh lock` writes for devices, and whether a resolution keeps to one."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from fieldlens.convert.delivery.release import checkout
from fieldlens.runtime.errors import KitError

_PINNED = re.compile(r"([A-Za-z0-9._-]+)==([^\s;\\]+)")
_HASH = re.compile(r"--hash=(\S+)")


@dataclass(frozen=True)
class DeviceLock:
    """Of a device's Python, ``3.12``, with everything that its service needs. ``build``: what compiles pycuda there."""

    python: str
    jetson: bool = False
    build: bool = False

    @property
    def name(self) -> str:
        """Of the file."""
        kind = "station" if not self.jetson else "jetson-build" if self.build else "jetson"
        return f"{kind}-py{self.python}.txt"

    @property
    def files(self) -> list[Path]:
        """The lock; none for a Python that has none."""
        path = checkout() / "locks" / self.name
        return [path] if path.is_file() else []

    @property
    def sources(self) -> list[Path]:
        """The ranges that it pins."""
        runtime = checkout() / "runtime"
        if self.build:
            return [runtime / "requirements-jetson-build.txt"]
        board = "requirements-jetson.txt" if self.jetson else "requirements.txt"
        return [runtime / board, runtime / "station/requirements.txt"]

    def check(self, resolved: str) -> None:
        """Whether every version and every hash of ``resolved`` is in the lock. Raises KitError."""
        if not self.files:
            return
        locked: dict[tuple[str, str], set[str]] = {}
        for block in blocks(self.files[0].read_text(encoding="utf-8")):
            if pinned := _PINNED.match(block):
                locked.setdefault((normal(pinned[1]), pinned[2]), set()).update(_HASH.findall(block))
        for block in blocks(resolved):
            pinned = _PINNED.match(block)
            known = locked.get((normal(pinned[1]), pinned[2]), set()) if pinned else set()
            if pinned is None or not set(_HASH.findall(block)) <= known:
                what = block.split()[0] if block.split() else "an empty line"
                raise KitError(
                    f"{what} is not what locks/{self.name} has: another version, or a file that the lock does not know",
                    "./deploy.sh lock writes it again; look at the difference before you commit it",
                )


def blocks(text: str) -> list[str]:
    """One requirement with its hashes each; comments are left out."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    return [block for block in re.split(r"\n(?=[A-Za-z0-9])", "\n".join(lines).strip()) if block]


def pinned(text: str) -> list[str]:
    """The normal names of what ``text`` pins."""
    return [normal(found[1]) for block in blocks(text) if (found := _PINNED.match(block))]


def normal(name: str) -> str:
    """A distribution's name as PEP 503 compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()
