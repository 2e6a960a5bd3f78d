"""The look at memory before a build: it warns, and a build goes on."""

from __future__ import annotations

from pathlib import Path

import pytest

from fieldlens.convert.engine.memory import warning
from tests.runtime.layouts import meminfo, write

ZRAM = "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n/dev/zram0 partition 1950704 0 5\n"


@pytest.mark.parametrize(
    ("available_kb", "swap_kb", "swaps", "words"),
    [
        (6_000_000, 0, "", ""),
        (1_500_000, 4_000_000, "", ""),
        (2_000_000, 0, "", "1,953 MB of memory and 0 MB of swap on disk are free; "),
        (2_000_000, 1_950_704, ZRAM, "0 MB of swap on disk are free (and 1,904 MB of zram"),
    ],
)
def test_what_is_short_is_said_with_what_to_do(
    tmp_path: Path, available_kb: int, swap_kb: int, swaps: str, words: str
) -> None:
    """``/proc/swaps`` as in proc_swaps(5), zram as JetPack's nvzramconfig sets it up."""
    write(tmp_path, "proc/meminfo", meminfo(4_000_000, available_kb, swap_kb))
    write(tmp_path, "proc/swaps", swaps)
    said = warning(tmp_path)
    assert words in said
    assert bool(said) == bool(words)
    assert ("swapon" in said) == bool(words)


def test_where_memory_is_not_visible_nothing_is_said(tmp_path: Path) -> None:
    assert warning(tmp_path) == ""
