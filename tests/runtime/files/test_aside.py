"""Calls that may hang are made aside."""

from __future__ import annotations

import threading
import time

from fieldlens.runtime.files.aside import Aside


def test_the_last_call_is_over_before_the_process_may_end() -> None:
    """A thread that comes back from a library while the interpreter ends aborts the process (seen once: exit -6)."""
    aside, done = Aside("reader"), threading.Event()
    assert aside(lambda: 7) == 7

    def release() -> None:
        time.sleep(0.2)
        done.set()

    aside.end(release)
    assert done.is_set()
    assert "reader" not in [thread.name for thread in threading.enumerate()]


def test_a_last_call_that_hangs_is_left_behind() -> None:
    aside, never = Aside("reader"), threading.Event()
    began = time.monotonic()
    aside.end(never.wait)
    assert time.monotonic() - began < 3
    never.set()
