"""What a tensor gives back stays with the process.

glibc maps every array above 32 MB anew and unmaps it when it is freed, so each layer with large activations begins with
a page fault for every 4 kB. On a virtual machine those took a seventh of the time of converting a ResNet-18 at 224 px.
For 1.5% more memory: in training it would be 15% more for 5% of the time, so ``train`` leaves it as it is.
"""

from __future__ import annotations

import ctypes
from typing import Any

_TRIM_THRESHOLD, _MMAP_MAX = -1, -4
"""``mallopt``'s parameters (glibc's ``malloc.h``)."""
_MOST = 2**31 - 1


def keep_freed_memory() -> bool:
    """From here on large arrays come from the heap, and its free top stays. False where the C library is not glibc."""
    mallopt = _mallopt()
    return mallopt is not None and bool(mallopt(_MMAP_MAX, 0) and mallopt(_TRIM_THRESHOLD, _MOST))


def is_glibc() -> bool:
    """Whether the C library has ``mallopt``."""
    return _mallopt() is not None


def _mallopt() -> Any:
    try:
        return ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return None
