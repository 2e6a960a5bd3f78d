"""What time it is, in UTC, and how far the clock can be trusted: a device without a battery starts in 1970."""

from __future__ import annotations

import ctypes
import functools
import time
from datetime import datetime, timezone

NOT_SET = "clock not set"
SYNCHRONISED = "synchronised"
UNSYNCHRONISED = "not synchronised"
SET = "set"
"""Somebody set it; whether it is synchronised cannot be known here."""
STATES = (SYNCHRONISED, UNSYNCHRONISED, SET, NOT_SET)
_FIRST_YEAR = 2024
"""This software is younger: a clock that shows an earlier year was never set."""
_ASK_EVERY_S = 30.0
_STATUS = 40
"""Where ``struct timex`` of a 64-bit Linux has its ``status``, in bytes (linux/timex.h)."""
_STA_UNSYNC = 0x40
_TIMEX_BYTES = 256  # the structure has 208


def time_utc(time_s: float) -> str | None:
    """Seconds since 1970 as ``2026-03-01T07:30:00.125Z``; None where the clock was not set by then."""
    if not is_set(time_s):
        return None
    text = datetime.fromtimestamp(time_s, timezone.utc).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")


def is_set(time_s: float) -> bool:
    """Whether a clock that shows ``time_s`` can be right."""
    return time.gmtime(time_s).tm_year >= _FIRST_YEAR


def clock_state(time_s: float) -> str:
    """One of :data:`STATES`, for a record made at ``time_s``."""
    return _kernel_state(int(time.monotonic() / _ASK_EVERY_S)) if is_set(time_s) else NOT_SET


@functools.lru_cache(maxsize=1)
def _kernel_state(_tick: int) -> str:
    """What the kernel says (adjtimex(2), which reads only and needs no rights); asked again after a while."""
    timex = (ctypes.c_char * _TIMEX_BYTES)()
    try:
        if ctypes.sizeof(ctypes.c_long) != 8 or ctypes.CDLL(None).adjtimex(timex) < 0:
            return SET
    except (OSError, AttributeError):
        return SET
    status = int.from_bytes(timex.raw[_STATUS : _STATUS + 4], "little")
    return UNSYNCHRONISED if status & _STA_UNSYNC else SYNCHRONISED
