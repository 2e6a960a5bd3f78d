"""Which Jetson a board carries, by the part number in its device tree.

A developer kit's own name says neither how much memory its module has nor, up to JetPack 5, that it is a Jetson at all
(``NVIDIA Orin Nano Developer Kit``). Numbers and names: NVIDIA, Jetson Linux Developer Guide, "Quick Start", table of
modules and configurations; the Thor developer kit's as its owners listed it (rbonghi/jetson_stats#711).
"""

from __future__ import annotations

import re

_MODULES = {
    "p3834-0008": "Jetson AGX Thor T5000",
    "p3701-0000": "Jetson AGX Orin (developer kit)",
    "p3701-0004": "Jetson AGX Orin 32 GB",
    "p3701-0005": "Jetson AGX Orin 64 GB",
    "p3701-0008": "Jetson AGX Orin Industrial",
    "p3767-0000": "Jetson Orin NX 16 GB",
    "p3767-0001": "Jetson Orin NX 8 GB",
    "p3767-0003": "Jetson Orin Nano 8 GB",
    "p3767-0004": "Jetson Orin Nano 4 GB",
    "p3767-0005": "Jetson Orin Nano 8 GB (developer kit)",
    "p3668-0000": "Jetson Xavier NX (developer kit)",
    "p3668-0001": "Jetson Xavier NX 8 GB",
    "p3668-0003": "Jetson Xavier NX 16 GB",
    "p2888-0001": "Jetson AGX Xavier 16 GB",
    "p2888-0004": "Jetson AGX Xavier 32 GB",
    "p2888-0005": "Jetson AGX Xavier 64 GB",
    "p2888-0008": "Jetson AGX Xavier Industrial",
    "p3448-0000": "Jetson Nano (developer kit)",
    "p3448-0002": "Jetson Nano",
}
_FAMILIES = {
    "p3834": "Jetson Thor",
    "p3701": "Jetson AGX Orin",
    "p3767": "Jetson Orin NX or Nano",
    "p3668": "Jetson Xavier NX",
    "p2888": "Jetson AGX Xavier",
    "p3448": "Jetson Nano",
}


def module_of(compatible: str) -> str:
    """``Jetson Orin Nano 8 GB, p3767-0003``, of ``/proc/device-tree/compatible``; empty for what is no Jetson.

    The carrier board stands first, and a board that fits several modules lists all: the first known module counts. A
    newer one of a known family keeps its family's name.
    """
    numbers = re.findall(r"p\d{4}-\d{4}", compatible)
    for number in numbers:
        if number in _MODULES:
            return f"{_MODULES[number]}, {number}"
    for number in numbers:
        if family := _FAMILIES.get(number[:5]):
            return f"{family}, {number}"
    return ""
