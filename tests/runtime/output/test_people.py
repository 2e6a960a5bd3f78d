"""Lines for people: words, colours where they belong, and a bar that says how long it will take."""

from __future__ import annotations

import io
import re
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fieldlens.runtime.bundle.decision import Outcome
from fieldlens.runtime.cli import main
from fieldlens.runtime.output.people import HumanSink
from fieldlens.runtime.output.progress import ProgressSink, bar, duration
from fieldlens.runtime.prediction import ALWAYS, Failure, Finding, Notice, Prediction, Result
from fieldlens.runtime.sources.count import images_ahead
from tests.runtime.conftest import ORIGIN, jpeg, scene

DISPLAY = {"clear": "No sign", "sign": "Sign of cataract"}


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def prediction(outcome: Outcome, score: float | None, threshold: float | None = 0.364) -> Prediction:
    zeros = np.zeros((2, 7, 7), np.float32)
    share = score or 0.36
    findings = (Finding("brightness", 12.0, 40.0, "too dark: switch the lamp on"),)
    return Prediction(
        "ward/a.jpg", outcome, {"clear": 1 - share, "sign": share}, score, zeros[:, 0, 0], zeros,
        findings if outcome is Outcome.RETAKE else (), None, dict.fromkeys(ALWAYS, 1.0) | {"total": 8.2},
        replace(ORIGIN, threshold=threshold, band=(0.3, 0.4)), "sign", DISPLAY,
    )  # fmt: skip


def line(result: Result, *, verbose: bool = False, top_k: int = 0, stream: io.StringIO | None = None) -> str:
    out = stream or io.StringIO()
    HumanSink(top_k, out, verbose=verbose).write(result)
    return out.getvalue().removesuffix("\n")


@pytest.fixture
def colours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        (
            prediction(Outcome.REFER, 0.62),
            "ward/a.jpg  refer          Sign of cataract: score 62.0%, refers from 36.4%  8.2 ms",
        ),
        (prediction(Outcome.NO_SIGN_FOUND, 0.36), "ward/a.jpg  no sign found  score 36.0%, refers from 36.4%  8.2 ms"),
        (
            prediction(Outcome.UNCERTAIN, 0.3639),
            "ward/a.jpg  uncertain      Sign of cataract: score 36.39%, refers from 36.40%, uncertain from 30.00% to "
            "40.00%  8.2 ms",
        ),
        (prediction(Outcome.RETAKE, 0.9), "ward/a.jpg  retake         too dark: switch the lamp on  8.2 ms"),
        (prediction(Outcome.CLASSIFIED, None, None), "ward/a.jpg  classified     No sign 64.0%  8.2 ms"),
        (Failure("b.jpg", "b.jpg: cut short"), "b.jpg  not classified: cut short"),
        (Notice("csi://0", "lost", "camera lost: silent"), "csi://0  camera lost: silent"),
    ],
)
def test_a_line_for_each_kind_of_result(result: Result, expected: str) -> None:
    assert line(result) == expected


def test_no_sign_found_never_stands_beside_a_finding() -> None:
    assert "cataract" not in line(prediction(Outcome.NO_SIGN_FOUND, 0.36))


def test_classes_and_details_where_they_are_asked_for() -> None:
    found = prediction(Outcome.REFER, 0.62)
    assert "; Sign of cataract 62.0%, No sign 38.0%  8.2 ms" in line(found, top_k=2)
    assert line(found, verbose=True).endswith("  8.2 ms  (decode 1.0, preprocess 1.0, inference 1.0, postprocess 1.0)")
    assert "brightness 12 (limit 40)" in line(prediction(Outcome.RETAKE, 0.9), verbose=True)


@pytest.mark.usefixtures("colours")
def test_colours_on_a_terminal_only(monkeypatch: pytest.MonkeyPatch) -> None:
    found = prediction(Outcome.REFER, 0.62)
    plain, coloured = line(found), line(found, stream=Terminal())
    assert "\x1b" not in plain
    assert "\x1b[1;31mrefer        \x1b[0m" in coloured
    assert re.sub(r"\x1b\[[\d;]*m", "", coloured) == plain
    assert "\x1b[2J" not in line(Failure("a\x1b[2J", "\x1b[2J"), stream=Terminal())  # a name paints nothing
    monkeypatch.setenv("NO_COLOR", "1")
    assert line(found, stream=Terminal()) == plain
    monkeypatch.setenv("NO_COLOR", "")  # "when present and not an empty string"
    assert line(found, stream=Terminal()) == coloured
    monkeypatch.setenv("TERM", "dumb")
    assert line(found, stream=Terminal()) == plain


@pytest.mark.parametrize(
    ("done", "total", "seconds", "expected"),
    [
        (125, 500, 4.0, "[#####...............] 125 of 500, 12 s left"),
        (500, 500, 4.0, "[####################] 500 of 500, 0 s left"),
        (0, 500, 0.0, "[....................] 0 of 500, 0 s left"),
        (600, 500, 4.0, "[####################] 600 of 600, 0 s left"),
        (1, 5000, 1.0, "[....................] 1 of 5,000, 1 h 23 min left"),
    ],
)
def test_the_bar(done: int, total: int, seconds: float, expected: str) -> None:
    assert bar(done, total, seconds) == expected
    assert len(bar(done, total, seconds, 30)) < 30


def test_durations() -> None:
    assert [duration(seconds) for seconds in (0.4, 59.4, 59.6, 3599, 3600)] == [
        "0 s", "59 s", "1 min 0 s", "59 min 59 s", "1 h 0 min",
    ]  # fmt: skip


@pytest.mark.usefixtures("colours")
def test_the_bar_leaves_nothing_behind_and_counts_no_news(monkeypatch: pytest.MonkeyPatch) -> None:
    out, err = Terminal(), Terminal()
    monkeypatch.setattr(sys, "stdout", out)
    with_bar = ProgressSink(HumanSink(0, out), 3, err)
    with_bar.write(Failure("a.jpg", "cut short"))
    with_bar.write(Notice("csi://0", "lost", "gone"))
    with_bar.write(Failure("b.jpg", "cut short"))
    with_bar.close()
    assert "2 of 3" in err.getvalue()
    assert "3 of 3" not in err.getvalue()
    assert err.getvalue().endswith("\r\x1b[K")
    assert out.getvalue().count("\n") == 3


def test_a_terminal_that_is_gone_costs_the_bar_and_not_the_run() -> None:
    class Gone(Terminal):
        def write(self, _: str) -> int:
            raise BrokenPipeError

    ProgressSink(None, 3, Gone()).write(Failure("a.jpg", "cut short"))


def test_what_can_be_counted_is_counted(tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    for name in ("a.jpg", "below/b.png", "notes.txt", ".hidden.jpg", "clip.mp4"):
        (tmp_path / name).write_bytes(b"")
    assert images_ahead([str(tmp_path)]) == 2
    assert images_ahead([str(tmp_path), str(tmp_path / "a.jpg")]) == 3
    for endless in ("-", "v4l2://0", str(tmp_path / "*.jpg"), str(tmp_path / "clip.mp4")):
        assert images_ahead([str(tmp_path), endless]) is None


@pytest.fixture
def classify(bundle_folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """``classify FOLDER`` in this process, its output in a pipe; what it says."""

    def run(folder: Path, *options: str) -> str:
        words = ["--bundle", bundle_folder, "--state", tmp_path / "state", "--backend", "fake", *options]
        assert main(list(map(str, ("classify", folder, *words)))) in (0, 3)
        said = capfd.readouterr()
        begun = [] if "--quiet" in options else [f"classify: {folder} with {bundle_folder} …"]
        assert said.err.splitlines() == begun  # no bar in a pipe
        assert "\x1b" not in said.out
        return said.out

    return run


def test_how_much_a_run_says(classify: Callable[..., str], tmp_path: Path) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    for index in range(12):
        (folder / f"{index}.jpg").write_bytes(jpeg(scene(1, 120, 160)))
    brief = classify(folder)
    answers, end = brief.split("\n\n")
    assert len(answers.splitlines()) == 1 + 12  # the note of an unsigned bundle comes first
    assert [line.split()[0] for line in end.splitlines()] == ["12", "half", "fake", "note:"]
    assert "stage (ms)" not in brief
    assert "stage (ms)" in classify(folder, "--latency")
    verbose = classify(folder, "--verbose")
    assert "stage (ms)" in verbose
    assert "(decode " in verbose
    (folder / "broken.jpg").write_bytes(b"")
    quiet = classify(folder, "--quiet")
    assert quiet.splitlines()[0] == "inputs that could not be classified: 1"
    assert len(quiet.splitlines()) == 2


def test_from_thirty_images_on_the_table_comes_by_itself(classify: Callable[..., str], tmp_path: Path) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    for index in range(30):
        (folder / f"{index}.jpg").write_bytes(jpeg(scene(1, 120, 160)))
    assert "stage (ms)" in classify(folder)
