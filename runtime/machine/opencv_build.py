"""What the installed OpenCV was built with. Wheels have no GStreamer, and the headless ones no window."""

from __future__ import annotations

import os
import re
from functools import lru_cache

import cv2

GSTREAMER_HINT = (
    "use JetPack's own OpenCV: sudo apt install python3-opencv, make the environment with `python3 -m venv "
    "--system-site-packages .venv`, and in it: pip uninstall opencv-python opencv-python-headless"
)
WINDOW_HINT = (
    "look at it in a browser with --stream 8080, or: pip uninstall opencv-python-headless && pip install opencv-python"
)


@lru_cache(maxsize=1)
def build_information() -> str:
    """OpenCV's own text about its build."""
    return str(cv2.getBuildInformation())


def has(feature: str, information: str | None = None) -> bool:
    """Whether a line ``feature: YES …`` is there; ``GStreamer``, ``FFMPEG`` or ``v4l/v4l2``."""
    text = build_information() if information is None else information
    found = re.search(rf"^\s*{re.escape(feature)}:\s*(\S+)", text, flags=re.MULTILINE)
    return found is not None and found[1] == "YES"


def has_window(information: str | None = None) -> bool:
    """Whether ``cv2.imshow`` can work: built with a GUI, and a display is there (without one, Qt ends the process)."""
    text = build_information() if information is None else information
    gui = re.search(r"^\s*GUI:\s*(\S+)", text, flags=re.MULTILINE)
    toolkit = re.search(r"^\s*(GTK\+|QT|Win32 UI|Cocoa):\s*YES", text, flags=re.MULTILINE | re.IGNORECASE)
    built = toolkit is not None or (gui is not None and gui[1] not in ("NONE", "NO", ""))
    return built and any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY"))
