"""Colour where a person looks at a terminal: never in a pipe or a file, never against the user's will."""

from __future__ import annotations

import os
from typing import TextIO

RED, GREEN, YELLOW, BLUE, MAGENTA = 31, 32, 33, 34, 35


def wanted(stream: TextIO) -> bool:
    """Whether ``stream`` is a terminal that takes colours. ``NO_COLOR`` (https://no-color.org) switches them off."""
    return is_terminal(stream) and not os.environ.get("NO_COLOR")


def is_terminal(stream: TextIO) -> bool:
    """Whether somebody looks at ``stream`` through a terminal that can move its cursor."""
    try:
        return stream.isatty() and os.environ.get("TERM", "dumb") != "dumb"
    except ValueError:  # closed
        return False


def painted(text: str, colour: int) -> str:
    """``text``, bold and in ``colour``; it must be printable already."""
    return f"\x1b[1;{colour}m{text}\x1b[0m"
