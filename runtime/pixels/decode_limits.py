"""What decoding one image may cost, and what it will, estimated from the file's header before anything is decoded.

The costs were measured on two cores of an AMD EPYC virtual machine (OpenCV 4.8 and 5.0, simplejpeg 1.9) with the files
that are worst for each decoder. They are fixed figures, not measured again: a file that is refused here is refused on
every device, and in training and conversion too.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

from fieldlens.runtime.errors import ConfigError, ImageError

RESERVED_MB = 200.0
"""Part of ``memory_mb`` that is not the image's: Python, OpenCV, the network and its library (measured: 50 MB without a
network, 135 MB with OpenVINO and a ResNet-18, once it is loaded)."""


class Work(NamedTuple):
    """What decoding a file takes: seconds at least and at most, and bytes beside the file itself and its pixels."""

    least_s: float
    most_s: float
    decoder_bytes: int = 0


class TooLargeAhead(Exception):
    """An image that several threads are not to decode at once, each its own."""


@dataclass(frozen=True)
class DecodeLimits:
    """What one image may take: ``seconds`` of decoding, and ``memory_mb`` (10^6 bytes), the peak of the process that
    decodes it. ``ahead_mb``: what it may take where it is one of several that are decoded at once."""

    seconds: float = 2.0
    memory_mb: float = 600.0
    ahead_mb: float = math.inf

    def __post_init__(self) -> None:
        if not 0 < self.seconds < 1e6:
            raise ConfigError(f"a decoding limit of {self.seconds:g} s", "give a positive number of seconds")
        if not RESERVED_MB + 50 <= self.memory_mb < 1e6:
            raise ConfigError(
                f"a memory limit of {self.memory_mb:g} MB for decoding",
                f"give {RESERVED_MB + 50:.0f} or more: {RESERVED_MB:.0f} of them are the program's own",
            )

    @property
    def image_bytes(self) -> float:
        """What an image may take: its file, its pixels, and the decoder's own copies."""
        return (self.memory_mb - RESERVED_MB) * 1e6

    def admit(self, name: str, size: tuple[int, int], work: Work, file_bytes: int, pixel_bytes: int) -> bool:
        """Whether the image (``size``: width and height, px) is within the limits whatever its data hold.

        False: the header cannot tell, so decode it where it can be stopped. Raises ImageError where it is surely over,
        and TooLargeAhead.
        """
        needed = file_bytes + pixel_bytes + work.decoder_bytes
        if needed > self.image_bytes:
            raise ImageError(
                f"{name}: {size[0]}×{size[1]} pixels would take {needed / 1e6:,.0f} MB to decode, over the limit of "
                f"{self.image_bytes / 1e6:,.0f} (decompression bomb?)",
                "export the image at a smaller size, or as an ordinary JPEG; --decode-memory sets the limit",
            )
        if work.least_s > self.seconds:
            raise ImageError(
                f"{name}: {size[0]}×{size[1]} pixels would take {work.least_s:,.1f} s to decode, over the limit of "
                f"{self.seconds:g} (decompression bomb?)",
                "export the image at a smaller size, or as an ordinary JPEG; --decode-seconds sets the limit",
            )
        if needed > self.ahead_mb * 1e6:
            raise TooLargeAhead
        return work.most_s <= self.seconds
