"""An opened camera, whatever its kind: the seam between the watchdog and the libraries that read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from fieldlens.runtime.sources.cameras.health import Mark
from fieldlens.runtime.sources.item import Encoded, Frame


def _nothing() -> None:
    """Most frames own their memory."""


@dataclass(frozen=True)
class Shot:
    """One image as a link hands it to the watchdog, with what only the watchdog needs to know of it.

    ``image.timing.captured_at`` is from the driver where it says so, else when the image's first byte was here.
    ``number`` counts every image the camera gave, so that gaps are images nobody looked at. ``release`` gives the
    image's memory back.
    """

    number: int
    image: Encoded | Frame
    mark: Mark
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
