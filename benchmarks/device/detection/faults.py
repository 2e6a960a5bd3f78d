"""The catalogue of faults that the gate has to see, each in several strengths."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from fieldlens.runtime.quality.optics import Pixels, Random, defocused, exposed, grainy, shaken


@dataclass(frozen=True)
class Fault:
    """One fault at one strength. ``make``: uint8 RGB ``[H,W,3]``, strength, random numbers → the same, spoilt.

    ``unit``: ``side`` for a share of the shorter side (some pixels at the capture's size, fewer at the network's),
    ``stops``, or ``levels`` of 255.
    """

    kind: str
    name: str
    strength: float
    unit: str
    make: Callable[[Pixels, float, Random], Pixels]

    def spoil(self, pixels: Pixels, random: Random) -> Pixels:
        """At full size."""
        return self.make(pixels, self.strength, random)

    def stated(self, side: int, size: int) -> str:
        """The strength for a capture whose shorter side has ``side`` pixels and a network of ``size``."""
        if self.unit == "side":
            return f"{self.strength * side:.1f} px of {side} = {self.strength * size:.2f} px of {size}"
        if self.unit == "stops":
            return f"{self.strength:+g} stops"
        left = self.strength * min(1, size / side)  # white grain, averaged over what becomes one pixel
        return f"σ {self.strength:g} of 255 = {left:.1f} at {size} px"


def catalogue() -> Iterator[Fault]:
    """From what a model should bear to what leaves little of the image."""
    for radius in (0.005, 0.01, 0.02, 0.03, 0.045):
        yield Fault("blurred", "defocus, radius", radius, "side", defocused)
    for length in (0.02, 0.04, 0.08, 0.12, 0.18):
        yield Fault("blurred", "shake, length", length, "side", shaken)
    for stops in (1.0, 2.0, 3.0, 4.0, 5.0):
        yield Fault("dark", "underexposed", -stops, "stops", exposed)
    for stops in (0.5, 1.0, 2.0, 3.0, 4.0):
        yield Fault("overexposed", "overexposed", stops, "stops", exposed)
    for deviation in (15.0, 30.0, 60.0, 90.0, 120.0):
        yield Fault("noise", "grain", deviation, "levels", grainy)


def inverted(pixels: Pixels) -> Pixels:
    """A negative: the same shapes and sharpness, in colours that no subject has."""
    return np.asarray(255 - pixels, np.uint8)


def static(random: Random, grain_px: int) -> Pixels:
    """No image at all: random colours, ``grain_px`` wide, uint8 RGB ``[480,640,3]``."""
    cells = random.integers(0, 256, (480 // grain_px, 640 // grain_px, 3), np.uint8)
    return np.asarray(cells.repeat(grain_px, axis=0).repeat(grain_px, axis=1), np.uint8)
