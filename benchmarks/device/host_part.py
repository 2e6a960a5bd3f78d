"""What only a host can do, loaded by its name where its libraries are installed."""

from __future__ import annotations

import importlib
from typing import Any

from fieldlens.runtime.errors import KitError


class HostOnly(KitError):
    """A part of the benchmarks that cannot run here, because a library of the host is missing."""


def host_part(module: str, what: str) -> Any:
    """The module ``fieldlens.benchmarks.<module>``. ``what`` needs it, in words. Raises HostOnly."""
    try:
        return importlib.import_module(f"fieldlens.benchmarks.{module}")
    except ModuleNotFoundError as error:
        missing = error.name or "a library"
        raise HostOnly(
            f"{what} belongs to the host: {missing} is missing here", "on a host: pip install 'fieldlens[host]'"
        ) from error
