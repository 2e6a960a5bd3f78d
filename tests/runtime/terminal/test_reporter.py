"""Long work speaks through what it is handed, and is silent without it."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

from fieldlens.runtime.terminal.reporter import SILENT, Lines
from fieldlens.train.console import Console

ROOT = Path(__file__).resolve().parents[3]
MAY_PRINT = {"commands.py", "cli.py", "reporter.py", "console.py"}
SENT = "probe.py"
"""Runs on a device, alone: its output is what the host reads."""


def test_a_step_says_how_long_it_took(capsys: pytest.CaptureFixture[str]) -> None:
    with Lines().step("read", "the data"):
        pass
    assert re.fullmatch(r"read        the data … \d\.\d s\n", capsys.readouterr().out)


def test_a_step_that_fails_ends_its_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match="no"), Lines().step("read", "the data"):
        raise ValueError("no")
    assert capsys.readouterr().out == "read        the data … stopped\n"


def test_the_hosts_reporter_shows_bars_to_people_only(capsys: pytest.CaptureFixture[str]) -> None:
    reporter = Console()
    assert list(reporter.each([1, 2], "counting", 2)) == [1, 2]
    with reporter.progress("fit", 2) as bar:
        bar.update()
        reporter.say("one")
    assert capsys.readouterr() == ("one\n", "")


def test_silence(capsys: pytest.CaptureFixture[str]) -> None:
    SILENT.say("a word")
    with SILENT.step("read", "the data"), SILENT.progress("fit", 1) as bar:
        bar.update()
    assert list(SILENT.each([1], "counting", 1)) == [1]
    assert capsys.readouterr() == ("", "")


def test_the_functions_are_silent_unless_they_are_handed_a_reporter() -> None:
    from fieldlens.convert import bundle, verify
    from fieldlens.convert.engine.build import build_engine
    from fieldlens.convert.sign import sign_bundle
    from fieldlens.train import crossval, evaluate, fit
    from fieldlens.train.demo_data.photographs import make_demo_data

    for function in (bundle, verify, build_engine, sign_bundle, crossval, evaluate, fit, make_demo_data):
        assert inspect.signature(function).parameters["reporter"].default is SILENT


def test_nothing_behind_these_functions_prints_by_itself() -> None:
    files = [path for room in ("train", "convert") for path in (ROOT / room).rglob("*.py")]
    found = {
        str(path.relative_to(ROOT))
        for path in files
        if path.name not in {*MAY_PRINT, SENT}
        and re.search(r"^ +(print|tqdm)\(", path.read_text("utf-8"), re.MULTILINE)
    }
    assert found == set()
