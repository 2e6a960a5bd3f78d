"""What a device could not keep for its next start: the run goes on without it, and says so."""

from __future__ import annotations

from pathlib import Path

from fieldlens.runtime.errors import KitError

_REFUSED: dict[str, Path] = {}
"""Why something could not be kept, and the first place where that was so."""


def refused(folder: Path, error: OSError | KitError) -> None:
    """Remember that nothing could be kept in ``folder``."""
    reason = error.message if isinstance(error, KitError) else error.strerror or str(error)
    if folder not in _REFUSED.values():
        _REFUSED.setdefault(reason, folder)


def notes() -> list[str]:
    """For people: what could not be kept, and what to do about it. Empty where all was."""
    return [
        f"nothing is kept in {folder} ({reason}), so that each start prepares and tests again; "
        "give a --state DIR that can be written"
        for reason, folder in _REFUSED.items()
    ]
