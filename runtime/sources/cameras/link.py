"""An opened camera, whatever its kind: the seam between the watchdog and the libraries that read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from fieldlens.runtime.pixels.preprocess import Pixels
from fieldlens.runtime.sources.cameras.health import Mark


def _nothing() -> None:
    """Most frames own their memory."""


@dataclass(frozen=True)
class Shot:
    """One frame: ``data`` (JPEG, not decoded yet) or ``frame_bgr`` (uint8 BGR ``[H,W,3]``).

    ``captured_at``: monotonic seconds, from the driver where it says so, else when the frame's first byte was here.
    ``number`` counts every frame the camera gave, so that gaps are frames nobody looked at. ``release`` gives the
    frame's memory back.
    """

    number: int
    captured_at: float
    mark: Mark
    data: bytes | None = None
    frame_bgr: Pixels | None = None
    decode_ms: float = 0.0
    release: Callable[[], None] = _nothing


class Link(Protocol):
    """Made by opening, which raises SourceError.

    ``opening``: the camera is still being started, so that a missing frame is no fault yet.
    """

    opening: bool

    def read(self, timeout_s: float) -> Shot | None:
        """The next frame, or None when there was none in time. Raises SourceError when the link is broken."""

    def interrupt(self) -> None:
        """End a ``read`` in which another thread is; it raises SourceError."""

    def close(self) -> None:
        """Give everything back, within about a second; by the thread that reads."""
