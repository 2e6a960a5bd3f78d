"""From a camera's address to an opened link: a connection of our own for MJPEG over HTTP, else a process."""

from __future__ import annotations

from runtime.address import Address
from runtime.capture import ProcessLink, command_for, spec_for
from runtime.link import Link
from runtime.mjpeg import MjpegLink


def open_link(address: Address) -> Link:
    """Raises SourceError, with the command that mends it."""
    if address.kind in ("http", "https"):
        return MjpegLink(address)
    return ProcessLink(address, command_for(spec_for(address)))
