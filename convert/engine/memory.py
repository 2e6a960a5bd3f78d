"""Is there memory for TensorRT's builder? Looked at before a build, because the kernel kills a process that takes too
much, without a word. A look is no measurement, so it warns and never refuses."""

from __future__ import annotations

import re
from pathlib import Path

from fieldlens.runtime.machine.host import ROOT, memory_kb, read

BUILDER_MB = 3000
"""Host memory that loading the builder's kernels took: 2,954 MiB with TensorRT 8.6.1 on x86-64. Other versions and a
Jetson's were not measured."""


def warning(root: Path = ROOT) -> str:
    """What is short and what to do, or an empty string. ``root`` stands for ``/``.

    zram counts for nothing: it is a part of the same memory, compressed, and a builder's kernels compress badly.
    """
    found = memory_kb(root)
    if "MemAvailable" not in found:
        return ""
    zram_mb = _free_zram_mb(root)
    disk_mb = max(found.get("SwapFree", 0) // 1024 - zram_mb, 0)
    free_mb = found["MemAvailable"] // 1024
    if free_mb + disk_mb >= BUILDER_MB:
        return ""
    zram = f" (and {zram_mb:,} MB of zram, which is a part of the memory)" if zram_mb else ""
    return (
        f"{free_mb:,} MB of memory and {disk_mb:,} MB of swap on disk are free{zram}; TensorRT's builder alone took "
        f"about {BUILDER_MB:,} MB where it was measured. If the kernel ends this build, the last good engine stays. "
        "Close other programs (on a Jetson the desktop, too: sudo systemctl isolate multi-user.target), or add swap: "
        "sudo fallocate -l 4G /swapfile && sudo chmod 600 /swapfile && sudo mkswap /swapfile && sudo swapon /swapfile"
    )


def _free_zram_mb(root: Path) -> int:
    """``/proc/swaps``: name, kind, size and used in kB, priority."""
    rows = re.findall(r"^/dev/zram\d+\s+\S+\s+(\d+)\s+(\d+)", read(root / "proc/swaps"), flags=re.MULTILINE)
    return sum(int(size) - int(used) for size, used in rows) // 1024
