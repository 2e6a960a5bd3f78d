"""How a device serves: a small file that ``provision`` writes and a person may edit, and the command that follows."""

from __future__ import annotations

import ipaddress
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from fieldlens.runtime.errors import ConfigError
from fieldlens.runtime.fields import OneOf
from fieldlens.runtime.files import records
from fieldlens.runtime.updating.arguments import RUNTIME, STATION
from fieldlens.runtime.updating.layout import DeviceFolders

_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}
"""An address that stands for all of this machine's → one of them."""
ROTATE, KEEP = "10M", "100"
"""Results without a page: at most 1 GB, the oldest file goes first."""


@dataclass(frozen=True)
class StationSetup:
    """What a device runs (``runs``), and with which options; empty ones are left at their defaults.

    ``station``: a page on ``host`` and ``port``, beside ``camera`` if there is one. ``runtime``: no page; what
    ``camera`` sees, or what comes into ``folder``, is classified. ``power_mode``: a Jetson's nvpmodel, by number.
    """

    runs: Annotated[str, OneOf((STATION, RUNTIME))] = STATION
    host: str = "127.0.0.1"
    port: int = 8080
    camera: str = ""
    folder: str = ""
    site: str = ""
    backend: str = ""
    precision: str = ""
    keep_images: bool = False
    retention_days: int = 0
    power_mode: int | None = None
    jetson_clocks: bool = False

    @property
    def beyond(self) -> bool:
        """Whether others than this machine may reach the page: then it speaks TLS."""
        try:
            return not ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host != "localhost"

    @property
    def url(self) -> str:
        """Where the service answers this machine itself."""
        host = _EVERYWHERE.get(self.host, self.host)
        return f"{'https' if self.beyond else 'http'}://{f'[{host}]' if ':' in host else host}:{self.port}"


def read_setup(layout: DeviceFolders) -> StationSetup:
    """The device's settings, or the defaults where there are none. Raises ConfigError."""
    if not layout.settings.exists():
        return StationSetup()
    return records.read_file(StationSetup, layout.settings, ConfigError, "compare it with docs/deploy.md")


def certificate_of(layout: DeviceFolders) -> Path:
    """The station's own, as ``fieldlens station init`` leaves it."""
    return layout.records / "tls.crt"


def inbox_of(layout: DeviceFolders, setup: StationSetup) -> str:
    """The folder that a device without a page and without a camera watches."""
    return setup.folder or str(layout.inbox)


def service_command(layout: DeviceFolders, folder: str) -> list[str]:
    """What the service runs, with the bundle in ``folder``. Raises ConfigError."""
    setup = read_setup(layout)
    words = _station(layout, setup, folder) if setup.runs == STATION else _runtime(layout, setup, folder)
    chosen = _given({"--backend": setup.backend, "--precision": setup.precision})
    source = [] if setup.runs == STATION else ["--", setup.camera or inbox_of(layout, setup)]
    return [sys.executable, "-m", "fieldlens", *words, "--state", str(layout.service_state), *chosen, *source]


def _station(layout: DeviceFolders, setup: StationSetup, folder: str) -> list[str]:
    given = {
        "--camera": setup.camera, "--site": setup.site, "--retention-days": str(setup.retention_days or ""),
    }  # fmt: skip
    return [
        "serve", "--bundle", folder, "--host", setup.host, "--port", str(setup.port), "--data", str(layout.records),
        *_given(given), *(["--keep-images"] if setup.keep_images else []),
    ]  # fmt: skip


def _runtime(layout: DeviceFolders, setup: StationSetup, folder: str) -> list[str]:
    return [
        "classify", "--bundle", folder, "--json", str(layout.results / "results.jsonl"), "--rotate", ROTATE,
        "--keep", KEEP, "--heartbeat", str(layout.heartbeat), "--quiet", *([] if setup.camera else ["--watch"]),
    ]  # fmt: skip


def _given(options: dict[str, str]) -> list[str]:
    return [word for name, value in options.items() if value for word in (name, value)]
