"""What a process that is the command line's own may do and a library may not."""

from __future__ import annotations

import sys


def start() -> None:
    """To be called first. ``import openvino`` then leaves out its model converter (it allows for its absence): that
    takes a third of the import's time, and brings a telemetry client that no device needs."""
    if "openvino" not in sys.modules:
        sys.modules["openvino.tools.ovc"] = None  # type: ignore[assignment]
