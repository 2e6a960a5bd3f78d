"""When something was, for people: the local time with its distance from UTC, so that it can be matched to a record."""

from __future__ import annotations

from datetime import datetime

from fieldlens.runtime.machine.clock import NOT_SET, is_set


def local_words(time_s: float) -> str:
    """Seconds since 1970 as ``2026-03-01 08:30:00 +01:00`` (``UTC`` where that is local), or ``clock not set``."""
    if not is_set(time_s):
        return NOT_SET
    local = datetime.fromtimestamp(time_s).astimezone()
    distance = local.isoformat()[-6:] if local.utcoffset() else "UTC"
    return f"{local:%Y-%m-%d %H:%M:%S} {distance}"


def ago(seconds: float) -> str:
    """An age in one or two units: ``7 s ago``, ``3 min ago``, ``2 h 5 min ago``, ``4 days ago``."""
    whole = max(0, int(seconds))
    if whole < 60:
        return f"{whole} s ago"
    if whole < 3600:
        return f"{whole // 60} min ago"
    if whole < 86_400:
        return f"{whole // 3600} h {whole % 3600 // 60} min ago"
    days = whole // 86_400
    return f"{days} day{'s' if days > 1 else ''} ago"
