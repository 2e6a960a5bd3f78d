"""What one visitor may ask of the station. Everything that can be counted is refused before a body is read."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class RequestLimits:
    """Sizes in bytes, times in seconds. ``bodies``: uploads that are read at the same time, so that their memory is
    bounded by ``bodies`` times ``upload_bytes``. ``rate``: requests a second and visitor, ``burst`` at once."""

    image_bytes: int = 32_000_000
    upload_bytes: int = 64_000_000
    images: int = 32
    pixels: int = 64_000_000
    json_bytes: int = 16_384
    bodies: int = 8
    connections: int = 128
    rate: float = 200.0
    burst: int = 400
    header_s: float = 10.0
    chunk_s: float = 10.0
    body_s: float = 60.0
