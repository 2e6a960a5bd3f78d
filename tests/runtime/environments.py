"""Fresh environments for tests: with uv where the test environment has it, with venv and pip otherwise."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def make_environment(folder: Path, *packages: object) -> Path:
    """A new environment of this Python with ``packages`` (as for ``pip install``); its interpreter."""
    python = folder / "bin" / "python"
    uv = Path(sys.executable).with_name("uv")
    if uv.exists():
        commands = [
            [uv, "venv", "--quiet", "--python", sys.executable, folder],
            [uv, "pip", "install", "--quiet", "--python", python, *packages],
        ]
    else:
        commands = [[sys.executable, "-m", "venv", folder], [python, "-m", "pip", "install", "--quiet", *packages]]
    for command in commands:
        subprocess.run([str(part) for part in command], check=True)
    return python
