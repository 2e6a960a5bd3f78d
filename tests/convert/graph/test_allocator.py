"""Freed memory stays: no page faults for arrays that come and go."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from fieldlens.convert.graph import allocator

ROOT = Path(__file__).resolve().parents[3]
_CODE = """
import ctypes, resource, sys
import numpy as np
from fieldlens.convert.graph.allocator import keep_freed_memory
assert ctypes.CDLL(None).prctl(41, 1, 0, 0, 0) == 0  # PR_SET_THP_DISABLE: pages of 4 kB on every machine
if sys.argv[1] == "kept":
    assert keep_freed_memory()

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        np.ones(64 << 17)  # 64 MB
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

faults()
print(faults())
"""


def _faults(how: str) -> int:
    done = subprocess.run([sys.executable, "-c", _CODE, how], cwd=ROOT, capture_output=True, text=True, check=True)
    return int(done.stdout)


@pytest.mark.skipif(not allocator.is_glibc(), reason="the C library has no mallopt")
def test_an_array_that_comes_again_costs_no_page_faults() -> None:
    """640 MB of arrays are 163,840 pages: mapped anew each time, or once."""
    assert _faults("as it is") > 100_000
    assert _faults("kept") < 10_000


def test_another_c_library_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ctypes.CDLL", lambda _: object())
    assert not allocator.keep_freed_memory()
