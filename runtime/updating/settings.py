"""How a device serves: a small file that ``provision`` writes and a person may edit."""

from __future__ import annotations

import sys
from dataclasses import dataclass

from fieldlens.runtime.errors import ConfigError
from fieldlens.runtime.files import records
from fieldlens.runtime.updating.layout import DeviceFolders


@dataclass(frozen=True)
class StationSetup:
    """Options of ``fieldlens serve``; empty ones are left at their defaults."""

    port: int = 8080
    camera: str = ""
    site: str = ""
    backend: str = ""
    precision: str = ""
    keep_images: bool = False
    retention_days: int = 0

    @property
    def url(self) -> str:
        """Where the service answers, for this machine alone."""
        return f"http://127.0.0.1:{self.port}"


def read_setup(layout: DeviceFolders) -> StationSetup:
    """The device's settings, or the defaults where there are none. Raises ConfigError."""
    if not layout.settings.exists():
        return StationSetup()
    return records.read_file(StationSetup, layout.settings, ConfigError, "compare it with docs/deploy.md")


def serve_command(layout: DeviceFolders, folder: str) -> list[str]:
    """What the service runs, with the bundle in ``folder``. Raises ConfigError."""
    setup = read_setup(layout)
    given = {
        "--camera": setup.camera, "--site": setup.site, "--backend": setup.backend, "--precision": setup.precision,
        "--retention-days": str(setup.retention_days or ""),
    }  # fmt: skip
    options = [word for name, value in given.items() if value for word in (name, value)]
    return [
        sys.executable, "-m", "fieldlens", "serve", "--bundle", folder, "--port", str(setup.port),
        "--data", str(layout.records), "--state", str(layout.service_state), *options,
        *(["--keep-images"] if setup.keep_images else []),
    ]  # fmt: skip
