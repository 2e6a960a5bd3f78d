"""From a camera's address to an opened link: a connection of our own for MJPEG over HTTP, else a process."""

from __future__ import annotations

from fieldlens.runtime.sources.cameras.address import Address
from fieldlens.runtime.sources.cameras.capture import COMMAND, ProcessLink, order_for, spec_for
from fieldlens.runtime.sources.cameras.link import Link
from fieldlens.runtime.sources.cameras.mjpeg import MjpegLink


def open_link(address: Address) -> Link:
    """Raises SourceError, with the command that fixes it."""
    if address.kind in ("http", "https"):
        return MjpegLink(address)
    return ProcessLink(address, COMMAND, order_for(spec_for(address)))
