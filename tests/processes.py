"""What Linux tells about a process, also about one that ends while it is asked."""

from __future__ import annotations

import re
from pathlib import Path


def alive(process: int) -> bool:
    """Whether it runs: not ended, nor waiting to be reaped."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def resident_mb(process: int) -> float:
    """Resident memory in MB (10^6 bytes). Raises ProcessLookupError for one that has ended."""
    try:
        status = Path(f"/proc/{process}/status").read_text()
    except FileNotFoundError as error:
        raise ProcessLookupError(process) from error
    found = re.search(r"^VmRSS:\s+(\d+) kB", status, flags=re.MULTILINE)
    if found is None:  # ended, not reaped yet
        raise ProcessLookupError(process)
    return int(found[1]) * 1024 / 1e6
