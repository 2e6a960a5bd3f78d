"""What a person sees while an engine is built."""

from __future__ import annotations

import io
import time

import pytest

from fieldlens.convert.engine.progress import BuildProgress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_without_phases_the_time_is_told() -> None:
    now = [0.0]
    progress = BuildProgress("building", io.StringIO(), clock=lambda: now[0])
    now[0] = 61.0
    assert progress.line() == "building: 61 s so far"


def test_the_last_time_is_told_where_it_is_known() -> None:
    out = io.StringIO()
    with BuildProgress("building", out, clock=lambda: 0.0, last_s=82.4) as progress:
        assert progress.line() == "building: 0 s so far (the last time: 82 s)"
    assert "the last time this took 82 s on this device" in out.getvalue()


def test_phases_give_a_share() -> None:
    progress = BuildProgress("building", io.StringIO(), clock=lambda: 0.0)
    progress.phase("outer", None, 4)
    assert progress.step("outer", 0)
    progress.phase("inner", "outer", 2)
    progress.step("inner", 0)
    assert progress.line() == "building: 38% (inner), 0 s so far"
    progress.finish("inner")
    assert progress.line() == "building: 25% (outer), 0 s so far"
    progress.step("unknown", 3)


@pytest.mark.parametrize("out", [io.StringIO(), Terminal()])
def test_it_prints_while_the_block_runs_and_at_the_end(out: io.StringIO) -> None:
    with BuildProgress("building", out, every_s=0.01):
        time.sleep(0.1)
    text = out.getvalue()
    assert "several minutes on a small device" in text
    assert "s so far" in text
    assert text.endswith("building: ended after 0 s\n")


def test_a_failure_is_told_apart() -> None:
    out = io.StringIO()
    with pytest.raises(ValueError, match="no"), BuildProgress("building", out):
        raise ValueError("no")
    assert "given up after" in out.getvalue()
