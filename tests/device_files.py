"""What a device has of this repository, laid into a folder: whole folders, and the doors to them."""

from __future__ import annotations

import shutil
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("runtime", "convert/engine", "benchmarks/device")
DOORS = (
    "fieldlens/__init__.py",
    "fieldlens/__main__.py",
    "fieldlens/cli.py",
    *(f"{room}/{n}.py" for room in ("convert", "benchmarks") for n in ("__init__", "__main__", "cli", "commands")),
)


def lay_device_files(place: Path) -> None:
    """Copy them into ``place``, with the links of ``fieldlens/``."""
    for folder in FOLDERS:
        shutil.copytree(ROOT / folder, place / folder, ignore=shutil.ignore_patterns("__pycache__", "station"))
    (place / "fieldlens").mkdir()
    for name in DOORS:
        shutil.copy(ROOT / name, place / name)
    for room in ("runtime", "convert", "benchmarks"):
        (place / "fieldlens" / room).symlink_to(f"../{room}")
